"""From an image to the grey crops of its faces, which the classifier gets."""

from dataclasses import astuple

import cv2
import numpy as np

from recognizer.cropping import box_square, crop
from recognizer.detectors.base import Box, Detector, Face, Square
from recognizer.image import Image

SIZE = 48
"""Height and width of a crop in pixels."""

DECIMALS = 6
"""Of a square's values in pixels."""


class FaceCropper:
    """A detector, and the crop of what it finds. Many threads may use it at once.

    Parameters
    ----------
    detector : Detector
    align : bool
        Crop the aligned square of a face, if the detector gives one, else an upright square.
    """

    def __init__(self, detector: Detector, align: bool = True):
        self.detector = detector
        self.align = align

    def detect(self, image: Image) -> list[Face]:
        """Detect the faces in an image, in pixels of its file; the largest comes first."""
        return [_scaled(face, image) for face in self.detector.detect(image.pixels)]

    def square(self, face: Face) -> Square:
        """The square to crop, in pixels of the image's file."""
        if self.align and face.square:
            square = face.square
        else:
            square = box_square(face.box, self.detector.square_ratio)
        # Rounded before the crop, so that the square in a result gives the same crop again.
        return Square(*(round(value, DECIMALS) for value in astuple(square)))

    @staticmethod
    def crop(image: Image, square: Square) -> np.ndarray:
        """The grey crop of a square in pixels of the image's file, uint8 [48, 48]."""
        x, y, side = (value / image.scale for value in (square.x, square.y, square.side))
        face = crop(image.pixels, Square(x, y, side, square.angle), SIZE)
        return cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)


def _scaled(face: Face, image: Image) -> Face:
    """Convert a face in pixels of `image.pixels` to pixels of the file."""
    scale = image.scale
    if scale == 1:
        return face
    x, y, width, height = (round(scale * side) for side in astuple(face.box))
    x, y = min(x, image.width - 1), min(y, image.height - 1)
    box = Box(x, y, min(width, image.width - x), min(height, image.height - y))
    square, eyes = face.square, face.eyes
    if square:
        square = Square(square.x * scale, square.y * scale, square.side * scale, square.angle)
    if eyes:
        left, right = ((round(scale * x, 1), round(scale * y, 1)) for x, y in eyes)
        eyes = left, right
    return Face(box, face.confidence, eyes, square)
