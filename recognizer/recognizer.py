"""From a grey image to the emotion of every face in it."""

from collections.abc import Callable
from dataclasses import astuple, dataclass

import cv2
import numpy as np

from recognizer.classifier import Classifier
from recognizer.detection import Box, Detector, Face, Point, Square
from recognizer.framing import SIZE, box_square, crop, cut_out, eye_square


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
    enhance : str
        A key of `ENHANCEMENTS`, for the pictures of the faces.
    """

    def __init__(
        self,
        classifier: Classifier,
        detector: Detector,
        align: bool = True,
        enhance: str = "none",
    ):
        if enhance not in ENHANCEMENTS:
            raise ValueError(f"enhance: expected {', '.join(ENHANCEMENTS)}, got {enhance!r}")
        self.classifier = classifier
        self.detector = detector
        self.align = align
        self.enhance = enhance

    def recognize(self, image: np.ndarray) -> list[RecognizedFace]:
        """Find and classify the faces in a grey image, uint8 [H, W]; the largest comes first."""
        if image.dtype != np.uint8 or image.ndim != 2 or not image.size:
            shape = ", ".join(map(str, image.shape))
            raise ValueError(f"image: expected uint8 [H, W], got {image.dtype} [{shape}]")
        return self.classify(image, self.detector.detect(image))

    def classify(self, image: np.ndarray, faces: list[Face]) -> list[RecognizedFace]:
        """Tell the emotion of faces that this detector found in the image, in their order."""
        shown = [self._cut_out(image, face) for face in faces]
        pictures = np.array([picture for _, picture in shown], np.uint8).reshape(-1, SIZE, SIZE)
        rows = self.classifier.predict(pictures)
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
            for face, (square, _), row in zip(faces, shown, rows, strict=True)
        ]

    def _cut_out(self, image: np.ndarray, face: Face) -> tuple[Square, np.ndarray]:
        """The square of a face, and the picture in it as the model gets it."""
        frame = self.detector.frame
        if self.align and (face.square or face.eyes):
            # Rounded before, so that who cuts it out again sees the same.
            square = _rounded(face.square or eye_square(face.box, face.eyes, frame))
            picture = cut_out(image, square)
        else:
            square = _rounded(box_square(face.box, frame))
            picture = crop(image, face.box, frame)
        return square, ENHANCEMENTS[self.enhance](picture)


def _rounded(square: Square) -> Square:
    return Square(*(round(value, DECIMALS) for value in astuple(square)))


def _normalize_contrast(picture: np.ndarray) -> np.ndarray:
    """Contrast-limited adaptive histogram equalization (Zuiderveld, Graphics Gems IV, 1994)."""
    return cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(picture)


def _denoise(picture: np.ndarray) -> np.ndarray:
    """Non-local means (Buades, Coll & Morel, Image Processing On Line 1, 2011)."""
    return cv2.fastNlMeansDenoising(picture, h=5)


ENHANCEMENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda picture: picture,
    "contrast": _normalize_contrast,
    "denoise": _denoise,
}

DECIMALS = 6
"""A float32 probability carries no more, and no square needs more."""
