"""Detectors by name, and the detector `whole`."""

import numpy as np
import pytest

from recognizer.detectors.base import Box
from recognizer.detectors.registry import DETECTORS, build_detector
from recognizer.detectors.whole import WholeImage
from recognizer.detectors.yunet import YuNetDetector
from recognizer.errors import DetectorError


def test_whole_is_one_face_with_full_confidence():
    (face,) = WholeImage().detect(np.zeros((30, 40, 3), np.uint8))
    assert face.box == Box(0, 0, 40, 30)
    assert face.confidence == 1
    assert face.eyes is None and face.square is None


def test_detectors_by_name():
    assert list(DETECTORS) == ["yunet", "whole"]
    assert isinstance(build_detector("yunet"), YuNetDetector)
    assert isinstance(build_detector("whole"), WholeImage)
    assert all(0.8 < detector.square_ratio < 1.2 for detector in DETECTORS.values())


def test_the_error_of_an_unknown_name_lists_the_names():
    with pytest.raises(DetectorError, match=r"no detector 'mtcnn': expected yunet, whole$"):
        build_detector("mtcnn")


def test_a_missing_model_file_is_refused_with_the_remedy(tmp_path):
    remedy = r"gone\.onnx: the YuNet model cannot be read: No such file.*install the package again"
    with pytest.raises(DetectorError, match=remedy):
        YuNetDetector(tmp_path / "gone.onnx")


def test_another_model_file_is_refused_with_the_remedy(tmp_path, model_path):
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no model at all")
    for path in (garbage, model_path):
        with pytest.raises(DetectorError, match=r"not the expected YuNet.*install the package"):
            YuNetDetector(path)
