"""The model file of the YuNet detector, where the people who test this project keep it."""

from pathlib import Path

import pytest

YUNET = Path(__file__).parents[2] / "shared" / "detectors" / "face_detection_yunet.onnx"

needs_yunet = pytest.mark.skipif(
    not YUNET.exists(), reason="the YuNet detector's model is not in ../shared/detectors"
)
