"""The faces in an image: detectors by name, and what they return."""

from recognizer.cropping import SIZE, box_square, crop
from recognizer.detectors.base import Box, Detector, Face, Square
from recognizer.detectors.whole import WholeImage
from recognizer.detectors.yunet import YuNetDetector
from recognizer.errors import DetectorError

__all__ = [
    "DETECTORS",
    "SIZE",
    "Box",
    "Detector",
    "Face",
    "Square",
    "WholeImage",
    "box_square",
    "build_detector",
    "crop",
]

DETECTORS: dict[str, type[Detector]] = {"yunet": YuNetDetector, "whole": WholeImage}


def build_detector(name: str) -> Detector:
    """Build a detector by its name.

    Parameters
    ----------
    name : str
        A key of `DETECTORS`.

    Raises
    ------
    DetectorError
        Another name, or the file of the model is missing or not the expected one.
    """
    if name not in DETECTORS:
        raise DetectorError(f"there is no detector {name!r}: expected {', '.join(DETECTORS)}")
    return DETECTORS[name]()
