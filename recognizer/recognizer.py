"""From an image to the emotion of every face in it."""

from dataclasses import dataclass

import numpy as np

from recognizer.classifier import SIZE, Classifier
from recognizer.detectors.base import Box, Detector, Face, Point, Square
from recognizer.face_cropper import FaceCropper
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
        self._cropper = FaceCropper(detector, align)

    def recognize(self, image: Image) -> list[RecognizedFace]:
        """Detect and classify the faces in an image; the largest comes first."""
        return self.classify(image, self.detect(image))

    def detect(self, image: Image) -> list[Face]:
        """Detect the faces in an image, in pixels of its file; the largest comes first."""
        return self._cropper.detect(image)

    def classify(self, image: Image, faces: list[Face]) -> list[RecognizedFace]:
        """Classify faces of an image, which are in pixels of its file; the order is kept."""
        squares = [self._cropper.square(face) for face in faces]
        crops = np.array([self._cropper.crop(image, square) for square in squares], np.uint8)
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


DECIMALS = 6
"""Of probabilities in results; float32 probabilities are not more precise."""
