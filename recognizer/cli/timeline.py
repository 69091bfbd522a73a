"""A plot of the emotion probabilities of each person in a video over time."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recognizer.atomic_file import write_atomically
from recognizer.errors import OutputError
from recognizer.optional_packages import needs_package
from recognizer.video.tracking import MAX_GAP, TrackedFace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIMELINES = (".png", ".svg", ".pdf")
"""Suffixes of the formats that a plot is written in; the first for all others."""

MOST_PERSONS = 8
"""The most strips: one for each of the persons in the most frames."""

OTHER_COLOURS = "#0b5a63", "#9b2c12", "#5c584f"
"""Used in turn for emotions that FER-2013 does not have."""

INK, PALE = "#1d1b17", "#d5d1c6"

MOST_TICKS = 10
TICK_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600),
)
"""Seconds from one tick to the next."""


@dataclass
class _Strip:
    """The frames with one person, and the probabilities in each of them."""

    times: "array[float]" = field(default_factory=lambda: array("d"))
    """In seconds."""
    frames: "array[int]" = field(default_factory=lambda: array("L"))
    """Indices of `Timeline._times`."""
    probabilities: "array[float]" = field(default_factory=lambda: array("f"))


class Timeline:
    """Collects the faces of one video and plots a strip for each person.

    Parameters
    ----------
    labels : sequence of str
    """

    def __init__(self, labels: Sequence[str]):
        self._labels = labels
        self._strips: dict[int, _Strip] = {}
        self._times = array("d")

    def add(self, seconds: float, faces: Sequence[TrackedFace]) -> None:
        """Add the faces of the next frame."""
        for face in faces:
            strip = self._strips.setdefault(face.person, _Strip())
            strip.times.append(seconds)
            strip.frames.append(len(self._times))
            strip.probabilities.extend(face.probabilities.values())
        self._times.append(seconds)

    def write(self, path: Path) -> None:
        """Write the plot; the suffix of `path` is the format, one of `TIMELINES`.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
        from matplotlib.ticker import MultipleLocator

        persons = sorted(self._strips, key=lambda n: (-len(self._strips[n].times), n))
        persons, others = sorted(persons[:MOST_PERSONS]), len(persons[MOST_PERSONS:])
        height = 1.3 + 1.0 * max(1, len(persons))
        figure = Figure(figsize=(10, height), dpi=120, layout="constrained")
        axes = figure.subplots(max(1, len(persons)), sharex=True, squeeze=False)[:, 0]
        for person, axis in zip(persons, axes, strict=False):
            self._draw(axis, self._strips[person])
            axis.set_ylabel(f"person {person}", rotation=0, ha="right", va="center", color=INK)
        for axis in axes:
            axis.set(ylim=(0, 1), yticks=[])
            axis.spines[:].set_color(PALE)
            axis.tick_params(colors=INK)
        end = max(self._end(), 1e-3)
        axes[-1].set_xlim(0, end)
        step = tick_step(end)
        axes[-1].xaxis.set_major_locator(MultipleLocator(step))
        axes[-1].xaxis.set_major_formatter(lambda x, _: clock(x, step))
        figure.legend(
            [Patch(color=colour) for colour in self._colours()],
            self._labels,
            loc="outside upper center",
            ncols=len(self._labels),
            frameon=False,
        )
        if others or not persons:
            text = f"and {others} persons in fewer frames" if others else "no face in this video"
            axes[-1].set_xlabel(text, color=INK)
        # In memory first, because the PDF writer raises an AttributeError after a failed write.
        picture = BytesIO()
        figure.savefig(picture, format=path.suffix.lstrip(".").lower())
        write_atomically(path, picture.getvalue())

    def _draw(self, axis: "Axes", strip: _Strip) -> None:
        times, frames = np.array(strip.times), np.array(strip.frames)
        rows = np.array(strip.probabilities).reshape(len(times), -1)
        gaps = (np.diff(times) > MAX_GAP) & (np.diff(frames) > 1)
        for part in np.split(np.arange(len(times)), np.flatnonzero(gaps) + 1):
            # The probabilities hold until the next processed frame.
            following = frames[part[-1]] + 1
            end = self._times[following] if following < len(self._times) else self._end()
            x = np.append(times[part], end)
            y = np.vstack([rows[part], rows[part[-1]]]).T
            axis.stackplot(x, y, colors=self._colours(), step="post", linewidth=0)

    def _end(self) -> float:
        """The end of the last frame in seconds; it lasts as long as the frame before it."""
        if len(self._times) < 2:
            return self._times[-1] + MAX_GAP if self._times else MAX_GAP
        return 2 * self._times[-1] - self._times[-2]

    def _colours(self) -> list[str]:
        from recognizer.cli.drawing import COLOURS

        others = len(OTHER_COLOURS)
        return [COLOURS.get(name, OTHER_COLOURS[k % others]) for k, name in enumerate(self._labels)]


def need_matplotlib() -> None:
    """Check for matplotlib before the run, which may be long.

    Raises
    ------
    OutputError
        matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise OutputError(needs_package("--plot", error, "command")) from error


def tick_step(seconds: float) -> float:
    """Return the shortest step, in seconds, with which an axis has at most `MOST_TICKS` parts."""
    hours = max(1, ceil(seconds / 3600 / MOST_TICKS))
    return next((step for step in TICK_STEPS if seconds / step <= MOST_TICKS), 3600.0 * hours)


def clock(seconds: float, step: float) -> str:
    """Format a multiple of a tick step, with the decimals of the step: 0:07, 0:02.5, 1:00:30."""
    decimals = len(f"{step:.3f}".rstrip("0").partition(".")[2])
    minutes, rest = divmod(round(seconds, 3), 60)
    text = f"{rest:0{2 if decimals == 0 else 3 + decimals}.{decimals}f}"
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{text}" if hours else f"{minutes}:{text}"
