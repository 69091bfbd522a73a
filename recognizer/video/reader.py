"""A video file, frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from recognizer.errors import VideoError

USUAL_RATE = 30.0
"""Frames per second of a file that states none, or one that no camera has."""

SHORTEST = 0.9
"""A file that ends before this share of the duration in its header was cut short."""


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    index: int
    """From 0."""
    seconds: float
    """From the start of the video."""
    image: np.ndarray
    """uint8 [H, W, 3], BGR."""


class Video:
    """An open video file, for one pass from its start to its end.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    rate : float
        Frames per second.
    announced : int
        How many frames there are, going by the header; 0 if it is silent.
    first : uint8 [H, W, 3]
        The first frame, BGR.

    Raises
    ------
    VideoError
        No such file, or no video in it that can be decoded.
    """

    def __init__(self, path: Path):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise VideoError(error.strerror) from error
        # An absolute path is never taken for an address such as "concat:a.mp4".
        self._capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        decoded, self.first = self._capture.read()
        if not decoded:
            raise VideoError("not a video that can be decoded, or a damaged one")
        stated = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = stated if 1 <= stated <= 240 else USUAL_RATE
        self.announced = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        # Where the header has no count, OpenCV made it from the duration and the stated rate.
        self._duration = self.announced / stated if stated > 0 else 0.0

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_) -> None:
        self._capture.release()

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Read the first frame and every N-th after it; the others are not converted to pixels.

        Raises
        ------
        VideoError
            After the last frame, if the file ends clearly before its header says.
        """
        index, seconds, image = 0, self._stated_time(), self.first
        while True:
            if index % every == 0:
                if index:
                    image = self._retrieve(index)
                yield Frame(index, round(seconds, 3), image)
            if not self._capture.grab():
                break
            index += 1
            # By the rate, where the file has no times that make sense.
            time = self._stated_time()
            seconds = time if time > seconds else seconds + 1 / self.rate
        end = seconds + 1 / self.rate
        if end < SHORTEST * self._duration:
            raise VideoError(f"cut short: it ends after {end:.1f} of {self._duration:.1f} seconds")

    def _retrieve(self, index: int) -> np.ndarray:
        decoded, image = self._capture.retrieve()
        if not decoded:
            raise VideoError(f"frame {index} cannot be decoded")
        return image

    def _stated_time(self) -> float:
        """Seconds from the start to the frame that was grabbed last, by the file."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
