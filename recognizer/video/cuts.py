"""Hard cuts: frames that begin another shot, so that no face is followed across them."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from recognizer.video.reader import Frame

MIN_COLOUR_CHANGE = 0.2
"""Share of the colours, 0 … 1, that differ across a cut at least. Colours stay where the camera
or a person moves: a pan by a fifth of the picture from frame to frame changes 0.19 at most."""

MAX_CORRELATION = 0.7
"""Correlation of the two pictures across a cut at most. It stays high where the light changes:
above 0.9 for one and a half times the exposure."""

FLASH_SECONDS, FLASH_FRAMES = 0.15, 5
"""A picture that comes back within this time was interrupted by a flash, not cut."""

THUMBNAIL, LAYOUT, BINS = 64, 16, 8
"""Pixels along a side for the colours and for the layout; bins for each of the three colours."""


@dataclass(frozen=True)
class _Look:
    """What a frame is compared by."""

    colours: np.ndarray
    """float32 [512], the share of each colour; they sum to 1."""
    layout: np.ndarray
    """float32 [16, 16], grey levels less their mean, of length 1."""

    @classmethod
    def of(cls, image: np.ndarray) -> "_Look":
        """The look of uint8 [H, W, 3], BGR."""
        small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        colours = cv2.calcHist([small], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3).ravel()
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        layout = cv2.resize(grey, (LAYOUT, LAYOUT), interpolation=cv2.INTER_AREA)
        layout = layout.astype(np.float32) - layout.mean(dtype=np.float32)
        length = np.linalg.norm(layout)
        return cls(colours / colours.sum(), layout / length if length else layout)

    def is_cut_from(self, before: "_Look") -> bool:
        """Whether both the colours and their layout are other ones."""
        kept = np.minimum(self.colours, before.colours).sum()
        correlation = (self.layout * before.layout).sum()
        return 1 - kept > MIN_COLOUR_CHANGE and correlation < MAX_CORRELATION


def mark_cuts(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Set `cut` in the frames that begin another shot.

    Frames are compared by a histogram of their colours and by the correlation of small grey
    pictures, two of the measures that shot detectors use (Boreczky & Rowe, Comparison of
    Video Shot Boundary Detection Techniques, 1996): motion changes the second alone, light
    the first alone, and a cut both. Fades and dissolves are not found.

    Parameters
    ----------
    frames : iterable of Frame
        In their order. At most `FLASH_FRAMES` are read ahead, where a cut seems to be.
    """
    frames, ahead = iter(frames), deque()
    before = None
    while frame := ahead.popleft() if ahead else _looked_at(next(frames, None)):
        picture, look = frame
        if before is None or not look.is_cut_from(before):
            before = look
            yield picture
            continue
        _read_ahead(frames, ahead, picture.seconds + FLASH_SECONDS)
        soon = [
            later
            for following, later in ahead
            if following.seconds <= picture.seconds + FLASH_SECONDS
        ]
        if all(later.is_cut_from(before) for later in soon):
            before = look
            picture = replace(picture, cut=True)
        yield picture


def _looked_at(frame: Frame | None) -> tuple[Frame, _Look] | None:
    return frame and (frame, _Look.of(frame.image))


def _read_ahead(frames: Iterator[Frame], ahead: deque[tuple[Frame, _Look]], end: float) -> None:
    """Read frames until one lies behind a time, or `FLASH_FRAMES` are there."""
    while len(ahead) < FLASH_FRAMES and (not ahead or ahead[-1][0].seconds <= end):
        frame = next(frames, None)
        if frame is None:
            return
        ahead.append(_looked_at(frame))
