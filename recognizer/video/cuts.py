"""Hard cuts: the first frames of shots. No face is tracked across a cut."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from recognizer.video.frame import Frame

MIN_COLOUR_CHANGE = 0.2
"""The least part of the colours, 0 … 1, that differs across a cut. A motion of the camera or a
person keeps most colours: a pan by a fifth of the picture per frame changes at most 0.19."""

MAX_CORRELATION = 0.7
"""The largest correlation of the pictures before and after a cut. A change of the light keeps it
high: above 0.9 for 1.5 times the exposure."""

FLASH_SECONDS, FLASH_FRAMES = 0.15, 5
"""If the old picture returns within this time and number of frames, it was a flash, not a cut."""

THUMBNAIL, LAYOUT, BINS = 64, 16, 8
"""Pixels per side for the colours and for the layout; bins for each of the three channels."""


@dataclass(frozen=True)
class _Signature:
    """The features by which frames are compared."""

    colours: np.ndarray
    """float32 [512], the histogram of the colours; it sums to 1."""
    layout: np.ndarray
    """float32 [16, 16], grey levels minus their mean, of norm 1."""

    @classmethod
    def of(cls, image: np.ndarray) -> "_Signature":
        """Compute the signature of uint8 [H, W, 3], BGR."""
        small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        colours = cv2.calcHist([small], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3).ravel()
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        layout = cv2.resize(grey, (LAYOUT, LAYOUT), interpolation=cv2.INTER_AREA)
        layout = layout.astype(np.float32) - layout.mean(dtype=np.float32)
        length = np.linalg.norm(layout)
        return cls(colours / colours.sum(), layout / length if length else layout)

    def is_cut_from(self, before: "_Signature") -> bool:
        """Whether both the colours and their layout differ."""
        kept = np.minimum(self.colours, before.colours).sum()
        correlation = (self.layout * before.layout).sum()
        return bool(1 - kept > MIN_COLOUR_CHANGE and correlation < MAX_CORRELATION)


def mark_cuts(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Set `cut` in the first frame of each shot but the first.

    Frames are compared by the histogram of their colours and by the correlation of small grey
    pictures, two methods of shot detection (Boreczky & Rowe, Comparison of Video Shot Boundary
    Detection Techniques, 1996). Motion changes only the second, light only the first, a cut
    both. Fades and dissolves are not detected.

    Parameters
    ----------
    frames : iterable of Frame
        In their order. At a possible cut, at most `FLASH_FRAMES` are read ahead.
    """
    pairs = ((frame, _Signature.of(frame.image)) for frame in frames)
    ahead: deque[tuple[Frame, _Signature]] = deque()
    before = None
    while item := ahead.popleft() if ahead else next(pairs, None):
        frame, signature = item
        if before is None or not signature.is_cut_from(before):
            before = signature
            yield frame
            continue
        _read_ahead(pairs, ahead, frame.seconds + FLASH_SECONDS)
        soon = [
            later
            for following, later in ahead
            if following.seconds <= frame.seconds + FLASH_SECONDS
        ]
        if all(later.is_cut_from(before) for later in soon):
            before = signature
            frame = replace(frame, cut=True)
        yield frame


def _read_ahead(
    pairs: Iterator[tuple[Frame, _Signature]], ahead: deque[tuple[Frame, _Signature]], end: float
) -> None:
    """Read frames until one is later than `end` seconds, or `FLASH_FRAMES` are read."""
    while len(ahead) < FLASH_FRAMES and (not ahead or ahead[-1][0].seconds <= end):
        item = next(pairs, None)
        if item is None:
            return
        ahead.append(item)
