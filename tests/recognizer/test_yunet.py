"""The network that finds turned faces and their eyes."""

import hashlib
import threading
from math import atan2, degrees

import cv2
import numpy as np
import pytest

from recognizer.detection import MAX_SIDE
from recognizer.detector_file import SHA256
from recognizer.errors import DetectorError
from recognizer.faces import align, build_detector, crop
from tests.portrait_fixture import portrait
from tests.yunet_fixture import YUNET, needs_yunet


@pytest.fixture(scope="module")
def yunet():
    return build_detector("yunet", YUNET)


def turned(scene, angle):
    height, width = scene.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    return cv2.warpAffine(scene, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


@needs_yunet
def test_the_file_to_test_with_is_the_one_that_is_fetched():
    assert hashlib.sha256(YUNET.read_bytes()).hexdigest() == SHA256


@needs_yunet
@pytest.mark.parametrize(
    ("place", "size", "shape"),
    [
        ((300, 200), 48, (480, 640)),
        ((200, 120), 240, (480, 640)),
        ((100, 10), 460, (480, 640)),  # found on the smaller copy
        ((2000, 900), 600, (2400, 3600)),  # beyond MAX_SIDE
    ],
)
def test_a_face_is_found_once_where_it_is(yunet, place, size, shape):
    (face,) = yunet.detect(portrait(place, size, shape))
    assert abs(face.box.x + face.box.width / 2 - (place[0] + size / 2)) < 0.15 * size
    assert abs(face.box.y + face.box.height / 2 - (place[1] + size / 2)) < 0.15 * size
    assert 0.6 * size < face.box.height < 1.2 * size
    assert 0.5 < face.confidence <= 1
    (left, y), (right, _) = face.eyes
    assert face.box.x < left < right < face.box.x + face.box.width
    assert face.box.y < y < face.box.y + face.box.height / 2


@needs_yunet
@pytest.mark.parametrize("angle", [-20, 20])
def test_a_turned_face_is_found_and_made_level(yunet, angle):
    upright = portrait((200, 120), 240)
    (level,) = yunet.detect(upright)
    (face,) = yunet.detect(turned(upright, angle))
    (x1, y1), (x2, y2) = face.eyes
    assert degrees(atan2(y2 - y1, x2 - x1)) == pytest.approx(-angle, abs=5)

    expected = align(upright, level.box, level.eyes, yunet.frame).astype(int)
    aligned = align(turned(upright, angle), face.box, face.eyes, yunet.frame)
    cropped = crop(turned(upright, angle), face.box, yunet.frame)
    assert np.abs(aligned - expected).mean() < 0.65 * np.abs(cropped - expected).mean()


@needs_yunet
def test_the_largest_face_comes_first(yunet):
    scene = np.hstack([portrait((200, 120), 160), portrait((200, 120), 240)])
    first, second = yunet.detect(scene)
    assert first.box.x > 640 > second.box.x


@needs_yunet
def test_boxes_stay_inside_the_image(yunet):
    scene = portrait((200, 120), 240)[150:330, 250:420]
    faces = yunet.detect(scene)
    assert faces
    for box in (face.box for face in faces):
        assert box.x >= 0 and box.y >= 0
        assert box.x + box.width <= 170 and box.y + box.height <= 180


@needs_yunet
@pytest.mark.parametrize(
    "shape", [(480, 640), (1, 1), (10, 10), (11, 3), (10, MAX_SIDE), (1, 200_000), (200_000, 1)]
)
@pytest.mark.parametrize("noise", [0, 255])
def test_nothing_is_found_where_nothing_is(yunet, shape, noise):
    image = np.random.default_rng(0).integers(0, 1 + noise, shape, dtype=np.uint8)
    assert yunet.detect(image) == []


@needs_yunet
@pytest.mark.parametrize("shape", [(10, 1280), (32, 700), (20, 20), (16, 64), (300, 31)])
def test_a_narrow_image_has_one_answer(shape):
    """OpenCV leaves memory unwritten there, and answers what an earlier image left in it."""
    yunet = build_detector("yunet", YUNET)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    answers = []
    for k in range(8):
        yunet.detect(portrait((20, 20), 200, (240 + 30 * k, 260 + 30 * k)))
        answers.append(yunet.detect(image))
    assert answers == [answers[0]] * 8


@needs_yunet
def test_one_detector_serves_many_threads(yunet):
    scenes = [portrait((20 * k, 10 * k), 120, (240 + 40 * k, 320)) for k in range(4)]
    serial = [yunet.detect(scene) for scene in scenes]
    assert all(serial)
    answers = [[] for _ in scenes]

    def look(k):
        for _ in range(4):
            answers[k].append(yunet.detect(scenes[k]))

    threads = [threading.Thread(target=look, args=(k,)) for k in range(len(scenes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[faces] * 4 for faces in serial]


def test_a_file_that_is_no_such_model_is_refused(tmp_path, model_path):
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no model at all")
    for path in (garbage, model_path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(DetectorError, match="not a model of the YuNet detector"):
            build_detector("yunet", path, digest)
