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
    """A detected face and its emotion."""

    box: Box
    confidence: float
    """Of the detector, 0 … 1."""
    emotion: str
    """The label with the highest probability."""
    probabilities: dict[str, float]
    """By label, in the order of the model; they sum to 1."""
    square: Square
    """The crop that was classified."""
    eyes: tuple[Point, Point] | None = None
    """Centres of both eyes, the left one in the image first; None if not found."""


class Recognizer:
    """A detector and a classifier in a row. Many threads may use it at once.

    Parameters
    ----------
    classifier : Classifier
    detector : Detector
    align : bool
        Classify the aligned square of a face, if the detector gives one, else an upright square.
    """

    def __init__(self, classifier: Classifier, detector: Detector, align: bool = True):
        self.classifier = classifier
        self.detector = detector
        self.align = align

    def recognize(self, image: Image) -> list[RecognizedFace]:
        """Detect and classify the faces in an image; the largest comes first."""
        return self.classify(image, self.detect(image))

    def detect(self, image: Image) -> list[Face]:
        """Detect the faces in an image, in pixels of its file; the largest comes first."""
        return [_scaled(face, image) for face in self.detector.detect(image.pixels)]

    def classify(self, image: Image, faces: list[Face]) -> list[RecognizedFace]:
        """Classify faces of an image, which are in pixels of its file; the order is kept."""
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
        # Rounded before the crop, so that the square in the result gives the same crop again.
        return Square(*(round(value, DECIMALS) for value in astuple(square)))


def _crop(image: Image, square: Square) -> np.ndarray:
    """The grey crop for the classifier, uint8 [48, 48]."""
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


DECIMALS = 6
"""Of probabilities and squares in results; float32 probabilities are not more precise."""
