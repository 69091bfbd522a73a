"""The faces in an image: detectors by name, and what they return."""

from pathlib import Path

import numpy as np

from recognizer import detector_file
from recognizer.detection import Box, Detector, Face, Square
from recognizer.errors import DetectorError
from recognizer.framing import SIZE, box_square, crop, cut_out, eye_square
from recognizer.haar import HaarDetector
from recognizer.yunet import YuNetDetector

__all__ = [
    "DETECTORS",
    "SIZE",
    "Box",
    "Detector",
    "Face",
    "Square",
    "box_square",
    "build_detector",
    "crop",
    "cut_out",
    "eye_square",
]


class WholeImage:
    """The whole image is one face, for faces that are cut out already."""

    frame = 1.0

    def detect(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape
        return [Face(Box(0, 0, width, height), 1.0)]


DETECTORS: dict[str, type[Detector]] = {
    "haar": HaarDetector,
    "yunet": YuNetDetector,
    "whole": WholeImage,
}


def build_detector(
    name: str, yunet_path: Path | None = None, yunet_sha256: str | None = None
) -> Detector:
    """Build a detector by its name.

    Parameters
    ----------
    name : str
        A key of `DETECTORS`.
    yunet_path : Path or None
        The model file of `yunet`; None: where `make detector` puts it.
    yunet_sha256 : str or None
        The digest that this file must have; None: that of the file `make detector` fetches.

    Raises
    ------
    DetectorError
        Another name, or the model file is missing or not the expected one.
    """
    if name not in DETECTORS:
        raise DetectorError(f"there is no detector {name!r}: expected {', '.join(DETECTORS)}")
    if name == "yunet":
        return YuNetDetector(yunet_path or detector_file.PATH, yunet_sha256 or detector_file.SHA256)
    return DETECTORS[name]()
