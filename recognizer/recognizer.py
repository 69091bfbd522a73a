"""From an image to the emotion of every face in it."""

from dataclasses import astuple, dataclass

import cv2
import numpy as np

from recognizer.classifier import Classifier
from recognizer.detectors.base import Box, Detector, Face, Point, Square
from recognizer.framing import SIZE, box_square, crop, cut_out, eye_square
from recognizer.image import Image


@dataclass(frozen=True)
class RecognizedFace:
    """One face: where it is, how sure the detector is of it, and its emotion."""

    box: Box
    confidence: float
    """0 … 1, from the detector."""
    emotion: str
    """The most probable one."""
    probabilities: dict[str, float]
    """By emotion, in the model's order; they sum to 1."""
    square: Square
    """What the model was shown of the image."""
    eyes: tuple[Point, Point] | None = None
    """Centre of the eye at the image's left, and of the one at its right; None: not found."""


class Recognizer:
    """A detector and a classifier in a row. It may be used by many threads at once.

    Parameters
    ----------
    classifier : Classifier
    detector : Detector
    align : bool
        Turn each face upright: to its `square` if it has one, else until its eyes are level. A
        face with neither stays as it is.
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
        crops = np.array(
            [self._crop(image, *pair) for pair in zip(faces, squares, strict=True)], np.uint8
        ).reshape(-1, SIZE, SIZE)
        rows = self.classifier.predict(crops)
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
        frame = self.detector.frame
        if not self.align or not (face.square or face.eyes):
            square = box_square(face.box, frame)
        else:
            square = face.square or eye_square(face.box, face.eyes, frame)
        # Rounded here, so that the square of the answer gives the same crop again.
        return Square(*(round(value, DECIMALS) for value in astuple(square)))

    def _crop(self, image: Image, face: Face, square: Square) -> np.ndarray:
        """The grey crop for the classifier, uint8 [48, 48]."""
        scale = image.scale
        if self.align and (face.square or face.eyes):
            small = Square(square.x / scale, square.y / scale, square.side / scale, square.angle)
            picture = cut_out(image.pixels, small)
        else:
            box = Box(*(round(side / scale) for side in astuple(face.box)))
            picture = crop(image.pixels, box, self.detector.frame)
        return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


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
