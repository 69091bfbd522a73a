"""The detectors by name."""

from recognizer.detectors.base import Detector
from recognizer.detectors.whole import WholeImage
from recognizer.detectors.yunet import YuNetDetector
from recognizer.errors import DetectorError

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
        The name is unknown, or the detector's model file is missing or not the expected one.
    """
    if name not in DETECTORS:
        raise DetectorError(f"there is no detector {name!r}: expected {', '.join(DETECTORS)}")
    return DETECTORS[name]()
