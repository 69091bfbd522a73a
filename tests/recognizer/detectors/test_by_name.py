"""Detectors by name, and the one that detects nothing."""

import numpy as np
import pytest
from recognizer.haar import HaarDetector
from tests.yunet_fixture import YUNET, needs_yunet

from recognizer.detectors.yunet import YuNetDetector
from recognizer.errors import DetectorError
from recognizer.faces import DETECTORS, Box, WholeImage, build_detector


def test_whole_is_one_face_with_full_confidence():
    (face,) = WholeImage().detect(np.zeros((30, 40), np.uint8))
    assert face.box == Box(0, 0, 40, 30)
    assert face.confidence == 1
    assert face.eyes is None and face.square is None


def test_detectors_by_name():
    assert list(DETECTORS) == ["haar", "yunet", "whole"]
    assert isinstance(build_detector("haar"), HaarDetector)
    assert isinstance(build_detector("whole"), WholeImage)
    assert all(0.8 < detector.frame < 1.2 for detector in DETECTORS.values())


@needs_yunet
def test_yunet_by_name():
    assert isinstance(build_detector("yunet", YUNET), YuNetDetector)


def test_another_name_is_told_the_names():
    with pytest.raises(DetectorError, match=r"no detector 'mtcnn': expected haar, yunet, whole"):
        build_detector("mtcnn")


def test_without_its_file_yunet_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remedy = r"models/detectors/face_detection_yunet\.onnx: .*No such file.*`make detector`"
    with pytest.raises(DetectorError, match=remedy):
        build_detector("yunet")


def test_another_file_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(b"another file")
    with pytest.raises(DetectorError, match=r"other\.onnx: not the expected.*`make detector`"):
        build_detector("yunet", path)
