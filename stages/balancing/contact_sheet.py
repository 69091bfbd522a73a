"""A picture of a training set: originals beside the faces made from them, by emotion."""

from typing import Any

import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure

from stages.dataset.faces import SIZE, TrainingSet

CELLS = 10
"""Faces per line."""
COPIES_SHOWN = 4
"""Largest number of copies shown beside their original."""
SPARE_LINES = 2
"""Every emotion has one line; the emotions with copies share this number of lines more."""

# Pixels.
SCALE = 2
FRAME = 3
CELL = SCALE * SIZE + 2 * FRAME
GAP = 12
MARGIN = 24
TITLE = 60
HEADING = 36
WIDTH = 2 * MARGIN + CELLS * CELL + (CELLS // 2 - 1) * GAP

DPI = 100
BLUE, ORANGE, GREY = "#1f6fb2", "#e8871e", "#555555"

Group = list[int]
"""Indices of an original and then of its copies."""


def contact_sheet(faces: TrainingSet) -> Figure:
    """Draw examples of every emotion, each original followed by its copies.

    A face is a copy if a face before it has the same `row`. The originals shown are spread evenly
    over those with copies, or over all of an emotion without copies. Save the figure at its own
    resolution: then a pixel of a face covers 2 × 2 pixels of the picture.
    """
    labels, row = faces.labels, faces.row
    is_copy = np.ones(len(row), dtype=bool)
    is_copy[np.unique(row, return_index=True)[1]] = False
    copies: dict[int, list[int]] = {}
    for index in np.flatnonzero(is_copy):
        copies.setdefault(int(row[index]), []).append(int(index))
    with_copies = set(labels[is_copy].tolist())
    strips = [
        _lines(
            [
                [index, *copies.get(int(row[index]), [])]
                for index in np.flatnonzero((labels == label) & ~is_copy).tolist()
            ],
            limit=1 + SPARE_LINES // len(with_copies) if label in with_copies else 1,
        )
        for label in range(len(faces.emotions))
    ]

    height = TITLE + sum(HEADING + len(lines) * CELL for lines in strips) + MARGIN
    canvas = np.full((height, WIDTH, 3), 255, dtype=np.uint8)
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI)
    _write_title(figure, bool(is_copy.any()), bool(faces.augmented.any()))
    top = TITLE
    for label, lines in enumerate(strips):
        added = int((is_copy & (labels == label)).sum())
        kept = int((labels == label).sum()) - added
        _write(figure, MARGIN, top + HEADING / 2, faces.emotions[label], weight="bold")
        _write(
            figure,
            MARGIN + max(90, 11 * len(faces.emotions[label])),
            top + HEADING / 2,
            f"{kept:,} originals, {added:,} added" if added else f"{kept:,} originals, none added",
            color=GREY,
        )
        top += HEADING
        for groups in lines:
            _paint(canvas[top : top + CELL], faces.images, groups)
            top += CELL
    figure.figimage(canvas)
    return figure


def _lines(groups: list[Group], limit: int) -> list[list[Group]]:
    """Choose the groups to show and break them into at most `limit` lines."""
    with_copies = [group[: 1 + COPIES_SHOWN] for group in groups if len(group) > 1]
    shown = with_copies or groups
    if not shown:
        return []
    a_line = CELLS // max(map(len, shown))
    count = min(len(shown), a_line * limit)
    chosen = [shown[place] for place in np.linspace(0, len(shown) - 1, count).astype(int)]
    return [chosen[start : start + a_line] for start in range(0, count, a_line)]


def _paint(line: np.ndarray, images: np.ndarray, groups: list[Group]) -> None:
    """Draw one line of framed faces into `line`, uint8 [CELL, WIDTH, 3]."""
    left = MARGIN
    for group in groups:
        for place, index in enumerate(group):
            colour = matplotlib.colors.to_rgb(ORANGE if place else BLUE)
            line[:, left : left + CELL] = np.round(np.multiply(colour, 255))
            # 64 grey levels look like 256 and make a much smaller file.
            face = np.kron(images[index] & 0xFC, np.ones((SCALE, SCALE), dtype=np.uint8))
            inside = slice(left + FRAME, left + CELL - FRAME)
            line[FRAME:-FRAME, inside] = face[:, :, np.newaxis]
            left += CELL
        left += GAP if len(group) > 1 else 0


def _write_title(figure: Figure, copies: bool, augmented: bool) -> None:
    if not copies:
        _write(figure, MARGIN, TITLE / 2, "Originals only: no copies were made", color=BLUE)
        return
    made = "a new image made from it" if augmented else "an exact copy of it"
    _write(figure, MARGIN, TITLE / 2, "blue: an original", color=BLUE, fontsize=14)
    _write(figure, MARGIN + 180, TITLE / 2, f"orange: {made}", color=ORANGE, fontsize=14)


def _write(figure: Figure, left: float, middle: float, text: str, **style: Any) -> None:
    """Write at a place in pixels from the upper left corner."""
    width, height = figure.get_size_inches() * DPI
    figure.text(left / width, 1 - middle / height, text, va="center", **{"fontsize": 12, **style})
