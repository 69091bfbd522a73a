"""From an image to the emotion of every face in it."""

from dataclasses import astuple, dataclass

import cv2
import numpy as np

from recognizer.classifier import SIZE, Classifier
from recognizer.cropping import box_square, crop
from recognizer.detectors.base import Box, Detector, Face, Point, Square
from recognizer.image import Image


@dataclass(frozen=True)
class RecognizedFace:
    """One face: its place, the confidence of the detector, and its emotion."""

    box: Box
    confidence: float
    """0 … 1, from the detector."""
    emotion: str
    """The most probable one."""
    probabilities: dict[str, float]
    """By emotion, in the model's order; they sum to 1."""
    square: Square
    """The crop that was classified."""
    eyes: tuple[Point, Point] | None = None
    """Centres of both eyes, the one at the image's left first; None if not found."""


class Recognizer:
    """A detector and a classifier in a row. It may be used by many threads at once.

    Parameters
    ----------
    classifier : Classifier
    detector : Detector
    align : bool
        Crop the face's aligned square, where the detector gives one; else an upright one.
    """

    def __init__(self, classifier: Classifier, detector: Detector, align: bool = True):
        self.classifier = classifier
        self.detector = detector
        self.align = align

    def recognize(self, image: Image) -> list[RecognizedFace]:
        """Find and classify the faces in an image; the largest comes first."""
        return self.classify(image, self.detect(image))

    def detect(self, image: Image) -> list[Face]:
        """Find the faces in an image, in pixels of its file; the largest comes first."""
        return [_scaled(face, image) for face in self.detector.detect(image.pixels)]

    def classify(self, image: Image, faces: list[Face]) -> list[RecognizedFace]:
        """Classify faces of an image, given in pixels of its file; they stay in their order."""
        squares = [self._square(face) for face in faces]
        crops = np.array([_crop(image, square) for square in squares], np.uint8)
        rows = self.classifier.predict(crops.reshape(-1, SIZE, SIZE))
        labels = self.classifier.labels
        return [
            RecognizedFace(
                face.box,
                round(face.confidence, DECIMALS),
                labels[int(row.argmax())],
                {label: round(float(p), DECIMALS) for label, p in zip(labels, row, strict=True)},
                square,
                face.eyes,
            )
            for face, square, row in zip(faces, squares, rows, strict=True)
        ]

    def _square(self, face: Face) -> Square:
        """The square that is classified, in pixels of the image's file."""
        if self.align and face.square:
            square = face.square
        else:
            square = box_square(face.box, self.detector.square_ratio)
        # Rounded here, so that the square of the answer gives the same crop again.
        return Square(*(round(value, DECIMALS) for value in astuple(square)))


def _crop(image: Image, square: Square) -> np.ndarray:
    """The grey crop for the classifier, uint8 [48, 48]."""
    x, y, side = (value / image.scale for value in (square.x, square.y, square.side))
    return cv2.cvtColor(
        crop(image.pixels, Square(x, y, side, square.angle), SIZE), cv2.COLOR_BGR2GRAY
    )


def _scaled(face: Face, image: Image) -> Face:
    """A face in pixels of the image's file, from one in its `pixels`."""
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


DECIMALS = 6
"""A float32 probability carries no more, and no square needs more."""
