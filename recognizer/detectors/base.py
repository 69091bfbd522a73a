"""The contract of a face detector: boxes, squares, faces, and the interface `Detector`."""

from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

import cv2
import numpy as np

Point = tuple[float, float]
"""(x, y) in pixels from the image's upper left corner."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; (x, y) is its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Square:
    """The square that FER-2013 would cut out of an image, turned with the face in it."""

    x: float
    y: float
    """Of the centre, in pixels from the image's upper left corner."""
    side: float
    """In pixels."""
    angle: float = 0.0
    """In radians, clockwise."""


@dataclass(frozen=True)
class Face:
    """A face that a detector found; `confidence` is in 0 … 1."""

    box: Box
    confidence: float
    eyes: tuple[Point, Point] | None = None
    """Centre of the eye at the image's left, and of the one at its right; None: not found."""
    square: Square | None = None
    """None: what the detector knows is the box, and perhaps the eyes."""


class Detector(Protocol):
    """What every detector offers. One detector may be used by many threads at once."""

    frame: float
    """Side of the square that FER-2013 would cut out, over the longer side of the box."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """Find the faces in an image, uint8 [H, W, 3], BGR; the largest comes first."""


MAX_SIDE = 1280
"""No detector looks at a longer side, so that no photo takes seconds; it is scaled down first."""


def resized(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale an image; with it come the exact scales of x and y, which rounding made differ."""
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = image if size == (width, height) else cv2.resize(image, size, interpolation=way)
    return scaled, np.array(size) / (width, height)


def box_inside(corners: np.ndarray, shape: tuple[int, int]) -> Box | None:
    """The part of a rectangle (left, top, right, bottom) that is in the image; None: nothing."""
    height, width = shape
    left, top, right, bottom = np.rint(np.clip(corners, 0, [width, height] * 2)).astype(int)
    if right <= left or bottom <= top:
        return None
    return Box(int(left), int(top), int(right - left), int(bottom - top))


def largest_first(faces: list[Face]) -> list[Face]:
    """In an order that does not depend on the detector's threads."""
    return sorted(
        faces, key=lambda face: (-face.box.width * face.box.height, face.box.y, face.box.x)
    )


Engine = TypeVar("Engine")


class Pool(Generic[Engine]):
    """OpenCV's detectors keep the image they work on, so each call borrows one nobody else has."""

    def __init__(self, build: Callable[[], Engine]):
        self._build = build
        self._idle: SimpleQueue[Engine] = SimpleQueue()

    def run(self, call: Callable[[Engine], tuple]) -> tuple:
        """Call with an idle detector, or with a new one."""
        try:
            engine = self._idle.get_nowait()
        except Empty:
            engine = self._build()
        try:
            return call(engine)
        finally:
            self._idle.put(engine)
