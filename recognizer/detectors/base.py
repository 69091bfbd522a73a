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
    """A square of an image, turned with the face in it."""

    x: float
    y: float
    """Of the centre, in pixels from the image's upper left corner."""
    side: float
    """In pixels."""
    angle: float = 0.0
    """In radians, clockwise, −π to π."""


@dataclass(frozen=True)
class Face:
    """A detected face; `confidence` is in 0 … 1."""

    box: Box
    confidence: float
    eyes: tuple[Point, Point] | None = None
    """Centres of both eyes, the one at the image's left first; None if not found."""
    square: Square | None = None
    """The aligned crop, as FER-2013 crops faces; None if the detector gives the box alone."""


class Detector(Protocol):
    """The interface of a detector. One detector may be used by many threads at once."""

    square_ratio: float
    """Side of an upright crop as FER-2013 has it, over the longer side of the box."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """Find the faces in an image, uint8 [H, W, 3], BGR; the largest comes first."""


def largest_first(faces: list[Face]) -> list[Face]:
    """Sort by area, then by place, so that the order is always the same."""
    return sorted(
        faces, key=lambda face: (-face.box.width * face.box.height, face.box.y, face.box.x)
    )
