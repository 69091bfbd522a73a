"""The network that finds turned faces and their eyes."""

import hashlib
import threading
from dataclasses import astuple
from math import atan2, degrees, hypot

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from recognizer.detector_file import SHA256
from tests.yunet_fixture import YUNET, needs_yunet

from recognizer.detectors.base import MAX_SIDE, Square
from recognizer.detectors.yunet import (
    YuNetDetector,
    box_square,
    corrected,
    eyes_seen,
    features,
    in_image,
    relative,
)
from recognizer.errors import DetectorError
from recognizer.faces import build_detector, crop, cut_out
from tests.portrait_fixture import portrait

ROW = np.array([70, 50, 60, 60, 88, 70, 112, 70, 100, 84, 90, 98, 110, 98, 0.9])
"""A level face: box, landmarks and confidence."""


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
@pytest.mark.parametrize("angle", [-30, -20, 20, 30])
def test_a_turned_face_is_found_and_made_level(yunet, angle):
    upright = portrait((200, 120), 240)
    (level,) = yunet.detect(upright)
    (face,) = yunet.detect(turned(upright, angle))
    (x1, y1), (x2, y2) = face.eyes
    assert degrees(atan2(y2 - y1, x2 - x1)) == pytest.approx(-angle, abs=5)
    turn = degrees(face.square.angle - level.square.angle)
    assert turn == pytest.approx(-angle, abs=8)

    expected = cut_out(upright, level.square).astype(int)
    aligned = cut_out(turned(upright, angle), face.square)
    cropped = crop(turned(upright, angle), face.box, yunet.frame)
    assert np.abs(aligned - expected).mean() < np.abs(cropped - expected).mean()


@needs_yunet
@pytest.mark.parametrize(("place", "size"), [((300, 200), 48), ((300, 200), 96), ((200, 120), 240)])
def test_the_square_is_about_what_was_pasted(yunet, place, size):
    """Rendered faces show more of their hair than those that the regressions were fitted to."""
    (face,) = yunet.detect(portrait(place, size))
    assert face.square.x == pytest.approx(place[0] + size / 2, abs=0.1 * size)
    assert face.square.y == pytest.approx(place[1] + size / 2, abs=0.1 * size)
    assert 0.65 * size < face.square.side < 1.1 * size


@needs_yunet
def test_what_may_be_a_face_is_one_if_the_close_look_is_sure(yunet):
    def detector(**changed):
        return type("Changed", (YuNetDetector,), changed)(YUNET)

    scene = portrait((200, 120), 240)
    (face,) = yunet.detect(scene)
    assert detector(SURE_CONFIDENCE=face.confidence).detect(scene) == [face]
    assert detector(SURE_CONFIDENCE=face.confidence + 0.001).detect(scene) == []
    assert detector(MIN_CONFIDENCE=0.99).detect(scene) == []


@needs_yunet
@pytest.mark.parametrize("angle", [0, 20])
def test_many_boxes_on_one_face_are_one_face(angle):
    scene = turned(portrait((200, 120), 240), angle)
    greedy = type("Greedy", (YuNetDetector,), {"MAX_OVERLAP": 1.0})(YUNET)
    assert len(greedy.look(scene)) > 1
    assert len(greedy.detect(scene)) == 1


@needs_yunet
def test_the_most_confident_candidates_are_looked_at(yunet):
    scene = np.hstack([portrait((200, 120), size) for size in (48, 96, 160, 240)])
    confidences = yunet.look(scene)[:, 14]
    assert (np.diff(confidences) <= 0).all()
    few = type("Few", (YuNetDetector,), {"MAX_CANDIDATES": 2})(YUNET)
    assert few.look(scene)[:, 14].tolist() == confidences[:2].tolist()
    assert len(few.detect(scene)) <= 2 < len(yunet.detect(scene))


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


# ---------------------------------------------------------------- from a row to a square

numbers = st.floats(-1e4, 1e4)
squares = st.builds(Square, numbers, numbers, st.floats(1, 1e4), st.floats(-10, 10))
rows = arrays(np.float64, 15, elements=numbers).map(
    lambda row: np.concatenate([row[:2], np.abs(row[2:4]) + 1e-3, row[4:14], [0.5]])
)


def test_without_weights_a_square_stays_as_it_is():
    square = Square(100, 80, 60, 0.3)
    assert corrected(square, relative(ROW, square), np.zeros((4, 16))) == square


def test_weights_move_scale_and_turn_a_square_as_it_is_turned():
    """Their last column stands for what is the same for every face."""
    weights = np.zeros((4, 16))
    weights[:, -1] = 0.1, 0.2, np.log(1.5), 0.25
    square = corrected(Square(100, 80, 60, np.pi / 2), relative(ROW, Square(0, 0, 1)), weights)
    assert astuple(square) == pytest.approx((100 - 12, 80 + 6, 90, np.pi / 2 + 0.25))


@given(squares, rows, arrays(np.float64, (4, 16), elements=st.floats(-100, 100)))
def test_no_row_carries_a_square_away(square, row, weights):
    better = corrected(square, row, weights)
    assert hypot(better.x - square.x, better.y - square.y) <= 1.2 * square.side
    assert 0.4 < better.side / square.side < 2.3
    assert abs(better.angle - square.angle) < 0.81


@given(rows, st.floats(0.1, 10), numbers, numbers)
def test_the_features_depend_on_no_place_or_scale(row, scale, x, y):
    other = row.copy()
    other[:14] *= scale
    other[[0, 4, 6, 8, 10, 12]] += x
    other[[1, 5, 7, 9, 11, 13]] += y
    one, two = (features(relative(each, box_square(each))) for each in (row, other))
    side = max(other[2:4])
    np.testing.assert_allclose(one, two, atol=1e-9 * (1e6 + abs(x) + abs(y)) / side, rtol=1e-6)


@given(squares, numbers, numbers)
def test_a_point_of_a_square_is_found_in_the_image(square, x, y):
    in_x, in_y = in_image(x, y, square)
    distance = hypot(in_x - square.x, in_y - square.y)
    assert distance == pytest.approx(square.side * hypot(x, y), rel=1e-6, abs=1e-6)


def test_eyes_close_together_tell_nothing():
    square = Square(100, 80, 60)
    row = relative(ROW, square)
    assert eyes_seen(row, square) == ((88.0, 70.0), (112.0, 70.0))
    row[[4, 6]] = row[[6, 4]]
    assert eyes_seen(row, square) == ((88.0, 70.0), (112.0, 70.0))
    row[6] = row[4] - 0.1
    assert eyes_seen(row, square) is None


def test_a_file_that_is_no_such_model_is_refused(tmp_path, model_path):
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"no model at all")
    for path in (garbage, model_path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(DetectorError, match="not a model of the YuNet detector"):
            build_detector("yunet", path, digest)
