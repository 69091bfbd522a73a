"""Draws a box around each face, its emotion, and a bar for each probability."""

from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial
from itertools import product

import cv2
import numpy as np
from PIL import Image, ImageDraw

from recognizer.cli.lettering import text_width, write
from recognizer.detectors.base import Box
from recognizer.recognizer import UNSURE, RecognizedFace
from recognizer.video.tracking import TrackedFace

COLOURS = {
    "angry": "#ee6f3b",
    "disgust": "#2bb98e",
    "fear": "#d98dba",
    "happy": "#e9ab2d",
    "sad": "#4d8edb",
    "surprise": "#84cdf3",
    "neutral": "#a09b91",
}
INK, PALE, TRACK, PAPER = "#ffffff", "#c4beb2", "#4a463f", "#171614"

SHORTEST = 640
"""A picture with a shorter long side, in pixels, is enlarged, so that the text is legible."""

TEXT_SIZES = (0.018, 0.015, 0.012)
"""Heights of a capital letter in a panel, divided by the longer side of the picture. The first one
with which all panels fit is used."""

TAG_TEXT = 0.008
"""Height of a capital letter in a tag, divided by the longer side of the picture."""

SMALLEST_TEXT = 8
"""Least legible height of a capital letter in pixels."""

SMALLEST_STRIP = 0.056
"""Least legible width of a strip, divided by the longer side of the picture."""

OPACITY = 0.88
"""Opacity of a label over the picture, 0 … 1."""

STEPS = 64
"""Number of positions along each side of the picture that are tried for a tag."""

Label = np.ndarray
"""The drawn label of a face: uint8 [h, w, 3], BGR."""


def draw(image: np.ndarray, faces: Sequence[RecognizedFace]) -> np.ndarray:
    """Draw a box around each face and a label beside it, on a copy of a picture.

    All faces get the same kind of label, the first one that fits without covering a box or another
    label: a panel with names, bars and numbers; a strip with the emotion and bars; a tag with the
    emotion. A line connects a tag with a distant box.

    Parameters
    ----------
    image : uint8 [H, W, 3]
        BGR.
    faces : sequence of RecognizedFace
        Their boxes are in pixels of `image`.

    Returns
    -------
    uint8 [s · H, s · W, 3]
        s is the smallest whole number with which the longer side has at least 640 pixels.
    """
    scale = -(-SHORTEST // max(image.shape[:2]))
    picture = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    boxes = [Box(*(scale * side for side in astuple(face.box))) for face in faces]
    stroke = max(1, round(max(picture.shape[:2]) / 400))
    labels = place_labels(picture.shape, faces, boxes, 3 * stroke)
    for face, box, (_, place) in zip(faces, boxes, labels, strict=True):
        ends = _nearest_points(box, place)
        if np.hypot(*np.subtract(*ends)) > 4 * stroke:
            cv2.line(picture, *ends, _bgr(PAPER), 3 * stroke, cv2.LINE_AA)
            cv2.line(picture, *ends, _bgr(_colour(face.emotion)), stroke, cv2.LINE_AA)
    for face, box in zip(faces, boxes, strict=True):
        corners = (box.x, box.y), (box.x + box.width - 1, box.y + box.height - 1)
        # The dark border is visible on a bright picture, the colour on a dark one.
        cv2.rectangle(picture, *corners, _bgr(PAPER), 3 * stroke, cv2.LINE_AA)
        cv2.rectangle(picture, *corners, _bgr(_colour(face.emotion)), stroke, cv2.LINE_AA)
    for label, place in labels:
        ground = picture[place.y :, place.x :][: place.height, : place.width]
        ground[:] = cv2.addWeighted(label, OPACITY, ground, 1 - OPACITY, 0)
    return picture


# ---------------------------------------------------------------- positions of the labels


def place_labels(
    shape: tuple[int, ...], faces: Sequence[RecognizedFace], boxes: list[Box], gap: int
) -> list[tuple[Label, Box]]:
    """Draw a label for each face and choose its position in the picture.

    Parameters
    ----------
    shape : (int, int, …)
        Height and width of the picture in pixels.
    faces : sequence of RecognizedFace
    boxes : list of Box
        Boxes of the faces in this picture.
    gap : int
        Pixels between a box and its label.
    """
    side = max(shape)
    panels = [partial(_panel, size=max(SMALLEST_TEXT, round(size * side))) for size in TEXT_SIZES]
    for panel in panels:
        if labels := _labels_beside(shape, faces, boxes, gap, panel, BESIDE):
            return labels
    if len(faces) == 1:
        # One face always gets a panel, at the position where it covers the least of the box.
        label = panels[-1](faces[0], boxes[0])
        places = _places(label, boxes[0], gap, shape, BESIDE)
        return [(_cut(label, shape), min(places, key=lambda place: _covered(place, boxes)))]
    strip = partial(_strip, smallest=round(SMALLEST_STRIP * side))
    if labels := _labels_beside(shape, faces, boxes, gap, strip, BELOW):
        return labels
    return _tags(shape, faces, boxes, gap)


BESIDE, BELOW = "beside", "below"
"""The preferred position of a label that fits on several sides of a box."""


def _labels_beside(
    shape: tuple[int, ...],
    faces: Sequence[RecognizedFace],
    boxes: list[Box],
    gap: int,
    kind: Callable[[RecognizedFace, Box], Label],
    preferred: str,
) -> list[tuple[Label, Box]] | None:
    """Place labels of one kind next to their boxes; return None if one of them does not fit."""
    labels, taken = [], list(boxes)
    for face, box in zip(faces, boxes, strict=True):
        label = kind(face, box)
        places = _places(label, box, gap, shape, preferred)
        free = next((place for place in places if not _covered(place, taken)), None)
        if free is None:
            return None
        labels.append((_cut(label, shape), free))
        taken.append(free)
    return labels


def _places(label: Label, box: Box, gap: int, shape: tuple[int, ...], preferred: str) -> list[Box]:
    """Positions at the right, at the left, below and above a box; the preferred ones first."""
    tall, wide = label.shape[:2]
    right, left = box.x + box.width, box.x - wide
    low, high = box.y + box.height, box.y - tall
    middle = box.x + (box.width - wide) // 2
    beside = list(product((right + gap, left - gap), (box.y, low - tall)))
    below = [(x, y) for y in (low + gap, high - gap) for x in (middle, box.x, right - wide)]
    corners = beside + below if preferred == BESIDE else below + beside
    return [_inside(x, y, label, shape) for x, y in corners]


def _inside(x: int, y: int, label: Label, shape: tuple[int, ...]) -> Box:
    """The position of a label, moved into the picture."""
    tall, wide = min(label.shape[0], shape[0]), min(label.shape[1], shape[1])
    return Box(min(max(0, x), shape[1] - wide), min(max(0, y), shape[0] - tall), wide, tall)


def _cut(label: Label, shape: tuple[int, ...]) -> Label:
    """A label, cropped to the size of the picture."""
    return label[: shape[0], : shape[1]]


def _tags(
    shape: tuple[int, ...], faces: Sequence[RecognizedFace], boxes: list[Box], gap: int
) -> list[tuple[Label, Box]]:
    """Draw small labels, each as close to its box as it fits."""
    # Half of the border of a box, which is `gap` pixels wide, is outside the box.
    labels, taken = [], [_enlarged(box, gap // 2 + 1) for box in boxes]
    for face, box in zip(faces, boxes, strict=True):
        label = _tag(face, max(SMALLEST_TEXT, round(TAG_TEXT * max(shape))))
        near = _places(label, box, gap, shape, BELOW)
        places = np.vstack([_sides(near), _everywhere(label, shape)])
        place = _best_place(places, box, gap, taken)
        labels.append((_cut(label, shape), place))
        taken.append(place)
    return labels


def _enlarged(box: Box, margin: int) -> Box:
    return Box(box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin)


def _everywhere(label: Label, shape: tuple[int, ...]) -> np.ndarray:
    """Positions on a grid over the picture, int [N, 4]: x, y, width, height."""
    tall, wide = min(label.shape[0], shape[0]), min(label.shape[1], shape[1])
    columns = np.linspace(0, shape[1] - wide, STEPS).round().astype(int)
    rows = np.linspace(0, shape[0] - tall, STEPS).round().astype(int)
    x, y = (side.ravel() for side in np.meshgrid(columns, rows))
    return np.column_stack([x, y, np.full_like(x, wide), np.full_like(y, tall)])


def _best_place(places: np.ndarray, box: Box, gap: int, taken: list[Box]) -> Box:
    """The position that covers the fewest pixels; among equal ones the closest to the box."""
    covered = np.sum([_shared(places, other) for other in taken], axis=0)
    x, y, width, height = places.T
    distances = np.maximum(
        np.maximum(x - box.x - box.width, box.x - x - width),
        np.maximum(y - box.y - box.height, box.y - y - height),
    )
    best = np.lexsort((np.maximum(gap, distances), covered))[0]
    return Box(*places[best].tolist())


def _covered(place: Box, boxes: Sequence[Box]) -> int:
    """Number of pixels of boxes that a position covers."""
    return int(sum(_shared(_sides([place]), box)[0] for box in boxes))


def _sides(places: Sequence[Box]) -> np.ndarray:
    """Positions as int [N, 4]: x, y, width, height."""
    return np.array([astuple(place) for place in places])


def _shared(places: np.ndarray, box: Box) -> np.ndarray:
    """Number of pixels of a box that each of the positions [N, 4] covers, int [N]."""
    x, y, width, height = places.T
    wide = np.minimum(x + width, box.x + box.width) - np.maximum(x, box.x)
    tall = np.minimum(y + height, box.y + box.height) - np.maximum(y, box.y)
    shared: np.ndarray = np.maximum(0, wide) * np.maximum(0, tall)
    return shared


def _nearest_points(a: Box, b: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    """The two points, one of each box, with the smallest distance."""
    spans = ((a.x, a.width, b.x, b.width), (a.y, a.height, b.y, b.height))
    points = []
    for start, length, other, other_length in spans:
        first, last = max(start, other), min(start + length, other + other_length) - 1
        middle = (first + last) // 2
        # Without overlap, `last` belongs to the span that ends first.
        points.append((middle, middle) if first <= last else _gap(start, other, first, last))
    (x, other_x), (y, other_y) = points
    return (x, y), (other_x, other_y)


def _gap(start: int, other: int, first: int, last: int) -> tuple[int, int]:
    return (last, first) if start < other else (first, last)


# ---------------------------------------------------------------- content of the labels


def _panel(face: RecognizedFace, box: Box, size: int) -> Label:
    """Draw the emotion and a row for each probability; `size`: height of capitals in pixels."""
    margin, row, bar, gap = round(1.1 * size), round(1.9 * size), 7 * size, round(0.9 * size)
    title, head = _title(face), round(1.35 * size)
    left = margin + round(0.4 * size)
    start = left + max(text_width(name, size, bold=True) for name in face.probabilities) + gap
    end = start + bar + round(0.5 * size) + text_width("100%", size, bold=True)
    end = max(end, left + text_width(title, head, bold=True))
    top = margin + head + round(1.35 * size)
    height = top + row * (len(face.probabilities) - 1) + size + margin

    panel = Image.new("RGB", (end + margin, height), PAPER)
    canvas = ImageDraw.Draw(panel)
    canvas.rectangle((0, 0, round(0.45 * size) - 1, height), _colour(face.emotion))
    write(canvas, title, (left, margin + head), head, INK, bold=True)
    for number, (name, p) in enumerate(face.probabilities.items()):
        high, low = top + number * row, top + number * row + size
        ink, bold = (INK, True) if name == face.emotion else (PALE, False)
        write(canvas, name, (left, low), size, ink, bold)
        canvas.rectangle((start, high, start + bar - 1, low - 1), TRACK)
        filled = max(1, round(p * bar))
        canvas.rectangle((start, high, start + filled - 1, low - 1), _colour(name))
        percent = f"{p:.0%}"
        write(canvas, percent, (end - text_width(percent, size, bold), low), size, ink, bold)
    return _bgr_pixels(panel)


def _strip(face: RecognizedFace, box: Box, smallest: int) -> Label:
    """Draw the emotion above a bar for each probability; the bars have no names."""
    width = max(smallest, SMALLEST_TEXT * SMALLEST_TEXT, box.width)
    title, margin = _title(face), max(3, round(0.05 * width))
    size = max(SMALLEST_TEXT, round(0.09 * width))
    width = max(width, text_width(title, size, bold=True) + 2 * margin)
    columns = round(0.22 * width)
    height = round(1.1 * size) + 2 * margin + columns + margin

    strip = Image.new("RGB", (width, height), PAPER)
    canvas = ImageDraw.Draw(strip)
    write(canvas, title, (margin, margin + size), size, INK, bold=True)
    step, foot = (width - 2 * margin) / len(face.probabilities), height - margin
    for number, (name, p) in enumerate(face.probabilities.items()):
        left, right = round(margin + number * step), round(margin + (number + 0.8) * step)
        high = foot - max(1, round(p * columns))
        canvas.rectangle((left, high, max(left, right - 1), foot - 1), _colour(name))
    return _bgr_pixels(strip)


def _tag(face: RecognizedFace, size: int) -> Label:
    """Draw only the emotion; `size`: height of capitals in pixels."""
    title, margin, edge = _title(face), round(0.5 * size), round(0.4 * size)
    width = edge + 2 * margin + text_width(title, size, bold=True)
    tag = Image.new("RGB", (width, size + 2 * margin), PAPER)
    canvas = ImageDraw.Draw(tag)
    canvas.rectangle((0, 0, edge - 1, tag.height), _colour(face.emotion))
    write(canvas, title, (edge + margin, margin + size), size, INK, bold=True)
    return _bgr_pixels(tag)


def _title(face: RecognizedFace) -> str:
    title = f"{face.emotion} {face.probabilities[face.emotion]:.0%}" if face.emotion else UNSURE
    return f"{face.person}: {title}" if isinstance(face, TrackedFace) else title


def _bgr_pixels(label: Image.Image) -> Label:
    return cv2.cvtColor(np.asarray(label), cv2.COLOR_RGB2BGR)


def _colour(emotion: str | None) -> str:
    """The colour of an emotion; white for None, and for emotions that FER-2013 does not have."""
    return COLOURS.get(emotion, INK) if emotion else INK


def _bgr(colour: str) -> tuple[int, int, int]:
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
