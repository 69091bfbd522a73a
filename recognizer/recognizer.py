"""From a grey image to the emotion of every face in it."""

from dataclasses import dataclass

import numpy as np

from recognizer.classifier import Classifier
from recognizer.faces import SIZE, Box, Detector, Face, crop


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


class Recognizer:
    """A detector and a classifier in a row. It may be used by many threads at once."""

    def __init__(self, classifier: Classifier, detector: Detector):
        self.classifier = classifier
        self.detector = detector

    def recognize(self, image: np.ndarray) -> list[RecognizedFace]:
        """Find and classify the faces in a grey image, uint8 [H, W]; the largest comes first."""
        if image.dtype != np.uint8 or image.ndim != 2 or not image.size:
            shape = ", ".join(map(str, image.shape))
            raise ValueError(f"image: expected uint8 [H, W], got {image.dtype} [{shape}]")
        return self.classify(image, self.detector.detect(image))

    def classify(self, image: np.ndarray, faces: list[Face]) -> list[RecognizedFace]:
        """Tell the emotion of faces that this detector found in the image, in their order."""
        crops = [crop(image, face.box, self.detector.frame) for face in faces]
        rows = self.classifier.predict(np.array(crops, np.uint8).reshape(-1, SIZE, SIZE))
        labels = self.classifier.labels
        return [
            RecognizedFace(
                face.box,
                round(face.confidence, DECIMALS),
                labels[int(row.argmax())],
                {label: round(float(p), DECIMALS) for label, p in zip(labels, row, strict=True)},
            )
            for face, row in zip(faces, rows, strict=True)
        ]


DECIMALS = 6
"""A float32 probability carries no more."""
