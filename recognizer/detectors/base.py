"""The contract of a face detector: boxes, squares, faces, and the interface `Detector`."""

from dataclasses import dataclass
from typing import Protocol

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
    """A square of an image, rotated with the face in it."""

    x: float
    y: float
    """Of the centre, in pixels from the image's upper left corner."""
    side: float
    """In pixels."""
    angle: float = 0.0
    """In radians, clockwise, −π to π."""


@dataclass(frozen=True)
class Face:
    """A detected face."""

    box: Box
    confidence: float
    """0 … 1."""
    eyes: tuple[Point, Point] | None = None
    """Centres of both eyes, the left one in the image first; None if not found."""
    square: Square | None = None
    """The aligned crop, as in FER-2013; None if the detector gives only the box."""


class Detector(Protocol):
    """The interface of a detector. Many threads may use one detector at once."""

    square_ratio: float
    """Side of an upright crop, as in FER-2013, divided by the longer side of the box."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """Detect the faces in an image, uint8 [H, W, 3], BGR; the largest comes first."""


def largest_first(faces: list[Face]) -> list[Face]:
    """Sort by area, then by position, so that the order is deterministic."""
    return sorted(
        faces, key=lambda face: (-face.box.width * face.box.height, face.box.y, face.box.x)
    )
