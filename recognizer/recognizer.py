"""From an image to the emotion of every face in it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recognizer.classifier import SIZE, Classifier
from recognizer.detectors.base import Box, Detector, Face, Point, Square
from recognizer.face_cropper import FaceCropper
from recognizer.image import Image

UNSURE = "unsure"
"""The word that is shown for an emotion that is None."""


@dataclass(frozen=True)
class RecognizedFace:
    """A detected face and its emotion."""

    box: Box
    confidence: float
    """Of the detector, 0 … 1."""
    emotion: str | None
    """The label with the highest probability; None where that is below `min_probability`."""
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
    min_probability : float
        The emotion of a face is None where its highest probability is below this, 0 … 1.
    """

    def __init__(
        self,
        classifier: Classifier,
        detector: Detector,
        align: bool = True,
        min_probability: float = 0.0,
    ):
        self.classifier = classifier
        self.detector = detector
        self._cropper = FaceCropper(detector, align)
        self.min_probability = min_probability

    def recognize(self, image: Image, min_confidence: float = 0.0) -> list[RecognizedFace]:
        """Detect and classify the faces in an image; the largest comes first.

        Faces with a lower confidence of the detector than `min_confidence`, 0 … 1, are left out.
        """
        found = self.detect(image)
        return self.classify(image, [f for f in found if f.confidence >= min_confidence])

    def detect(self, image: Image) -> list[Face]:
        """Detect the faces in an image, in pixels of its file; the largest comes first."""
        return self._cropper.detect(image)

    def classify(self, image: Image, faces: list[Face]) -> list[RecognizedFace]:
        """Classify faces of an image, which are in pixels of its file; the order is kept."""
        return self.classify_crops(faces, *self.crop(image, faces))

    def crop(self, image: Image, faces: list[Face]) -> tuple[list[Square], np.ndarray]:
        """The square of each face, and its grey crop: uint8 [N, 48, 48]."""
        squares = [self._cropper.square(face) for face in faces]
        crops = np.array([self._cropper.crop(image, square) for square in squares], np.uint8)
        return squares, crops.reshape(-1, SIZE, SIZE)

    def classify_crops(
        self, faces: list[Face], squares: list[Square], crops: np.ndarray
    ) -> list[RecognizedFace]:
        """Classify what `crop` has returned for faces; the order is kept."""
        rows = self.classifier.predict(crops)
        labels = self.classifier.labels
        probabilities = [
            {label: round(float(p), DECIMALS) for label, p in zip(labels, row, strict=True)}
            for row in rows
        ]
        return [
            RecognizedFace(
                face.box,
                round(face.confidence, DECIMALS),
                most_probable(of_face, self.min_probability),
                of_face,
                square,
                face.eyes,
            )
            for face, square, of_face in zip(faces, squares, probabilities, strict=True)
        ]


def most_probable(probabilities: Mapping[str, float], min_probability: float = 0.0) -> str | None:
    """The label with the highest probability; None where that is below `min_probability`."""
    label = max(probabilities, key=probabilities.__getitem__)
    return label if probabilities[label] >= min_probability else None


DECIMALS = 6
"""Of probabilities in results; float32 probabilities are not more precise."""
