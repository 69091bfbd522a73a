"""The detector `yunet`: faces in photos, their squares, and the regressions."""

import csv
import hashlib
import threading
from collections import defaultdict
from dataclasses import astuple
from math import atan2, degrees, hypot, pi, radians, remainder
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recognizer.classifier import SIZE, Classifier
from recognizer.cropping import box_square, crop
from recognizer.detectors.base import Square
from recognizer.detectors.registry import build_detector
from recognizer.detectors.yunet import (
    ALIGNMENT,
    GRID,
    MODEL,
    SHA256,
    SMALL,
    Refinement,
    YuNetDetector,
    corrected,
    eyes_of,
    features,
    in_image,
    relative,
    row_square,
    snapped,
)
from recognizer.detectors.yunet_network import YuNetNetwork
from recognizer.image import Image, decode
from recognizer.recognizer import Recognizer
from tests.portrait_fixture import portrait

ROOT = Path(__file__).parents[3]
PHOTOS = ROOT.parent / "shared/photos"

ROW = np.array([70, 50, 60, 60, 88, 70, 112, 70, 100, 84, 90, 98, 110, 98, 0.9])
"""An upright face: box, landmarks and confidence."""


@pytest.fixture(scope="module")
def yunet():
    return build_detector("yunet")


@pytest.fixture(scope="module")
def astronaut():
    """A photo of a happy face, 512×512."""
    return cv2.imread(str(ROOT / "docs/astronaut.jpg"))


def changed(**constants):
    """A detector with other constants."""
    return type("Changed", (YuNetDetector,), constants)()


def turned(scene, angle):
    """A scene rotated clockwise by degrees, at its size; by 90° without interpolation."""
    if angle % 90 == 0:
        return np.ascontiguousarray(np.rot90(scene, -angle // 90))
    height, width = scene.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1)
    return cv2.warpAffine(scene, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def reduced(angle):
    """A tilt in degrees after the soft threshold of the detector."""
    return float(np.sign(angle) * max(0, abs(angle) - degrees(YuNetDetector.TILT)))


# ---------------------------------------------------------------- photos


@pytest.mark.parametrize("angle", [0, 90, 180, 270, -45, -20, 20, 45])
def test_a_rotated_photo_has_the_same_emotion(yunet, astronaut, angle):
    recognizer = Recognizer(Classifier(ROOT / "models/fer2013/model.onnx"), yunet)
    face, *others = recognizer.recognize(Image.of(turned(astronaut, angle)))
    assert face.emotion == "happy"
    assert not others
    # The detector reduces a tilt up to 45° by TILT.
    tilt = reduced(angle) if abs(angle) <= 45 else angle
    assert abs(degrees(remainder(face.square.angle - radians(tilt), 2 * pi))) < 12


def backlit(image):
    """A photo with a dark face and a bright background."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    outside = np.clip((np.hypot(x - 227, y - 120) - 70) / 40, 0, 1)[..., None]
    return image * 0.2 * (1 - outside) + (image * 0.4 + 150) * outside


LIGHTS = {
    "dark": lambda image: image * 0.15,
    "low contrast": lambda image: image.mean() + (image - image.mean()) * 0.15,
    "backlit": backlit,
}


@pytest.mark.parametrize("light", LIGHTS)
def test_a_face_is_found_in_poor_light(yunet, astronaut, light):
    scene = np.clip(LIGHTS[light](astronaut.astype(float)), 0, 255).astype(np.uint8)
    (face,) = yunet.detect(scene)
    (expected,) = yunet.detect(astronaut)
    assert overlap(astuple(face.box), astuple(expected.box)) > 0.7


def test_a_face_as_large_as_the_image_is_found_once(yunet, astronaut):
    (face,) = yunet.detect(astronaut)
    box = face.box
    close = astronaut[box.y : box.y + box.height, box.x : box.x + box.width]
    for scale in (1, 8):
        image = cv2.resize(close, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        (found,) = yunet.detect(image)
        whole = (0, 0, scale * box.width, scale * box.height)
        assert overlap(astuple(found.box), whole) > 0.7


def test_the_face_of_a_photo_of_12_megapixels_is_found_once(yunet, astronaut):
    (face,) = yunet.detect(astronaut)
    large = cv2.resize(astronaut, (3472, 3472), interpolation=cv2.INTER_CUBIC)
    scale = 3472 / 512
    reduced = decode(cv2.imencode(".jpg", large)[1].tobytes())
    assert reduced.scale == 2
    for faces in (yunet.detect(large), Recognizer(None, yunet).detect(reduced)):
        (found,) = faces
        expected = tuple(scale * side for side in astuple(face.box))
        assert overlap(astuple(found.box), expected) > 0.85


def overlap(one, other):
    """Intersection over union of two boxes (x, y, width, height)."""
    (x1, y1, w1, h1), (x2, y2, w2, h2) = one, other
    width = min(x1 + w1, x2 + w2) - max(x1, x2)
    height = min(y1 + h1, y2 + h2) - max(y1, y2)
    common = max(0, width) * max(0, height)
    return common / (w1 * h1 + w2 * h2 - common)


@pytest.mark.skipif(not PHOTOS.exists(), reason="the photos for development are not there")
def test_the_faces_of_the_photos_for_development_are_found(yunet):
    true = defaultdict(list)
    with (PHOTOS / "faces.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            box = tuple(int(row[side]) for side in ("x", "y", "width", "height"))
            true[row["photo"]].append(box)
    found = false = 0
    for path in sorted(PHOTOS.glob("*.jpg")):
        missing = true[path.name]
        faces = Recognizer(None, yunet).detect(decode(path.read_bytes()))
        for box in (astuple(face.box) for face in sorted(faces, key=lambda f: -f.confidence)):
            best = max(missing, key=lambda other: overlap(box, other), default=None)
            if best and overlap(box, best) >= 0.4:
                missing.remove(best)
                found += 1
            else:
                false += 1
    assert found >= 58 and false <= 2


# ---------------------------------------------------------------- rendered faces


@pytest.mark.parametrize(
    ("place", "size", "shape"),
    [
        ((300, 200), 48, (480, 640)),
        ((200, 120), 240, (480, 640)),
        ((100, 10), 460, (480, 640)),
        ((2000, 900), 600, (2400, 3600)),
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


@pytest.mark.parametrize("angle", [-30, -20, 20, 30])
def test_a_tilted_face_is_rotated_upright(yunet, angle):
    upright = portrait((200, 120), 240)
    (level,) = yunet.detect(upright)
    (face,) = yunet.detect(turned(upright, angle))
    (x1, y1), (x2, y2) = face.eyes
    assert degrees(atan2(y2 - y1, x2 - x1)) == pytest.approx(angle, abs=8)
    assert degrees(face.square.angle) == pytest.approx(reduced(angle), abs=8)

    expected = crop(upright, level.square, SIZE).astype(int)
    aligned = crop(turned(upright, angle), face.square, SIZE)
    cropped = crop(turned(upright, angle), box_square(face.box, yunet.square_ratio), SIZE)
    assert np.abs(aligned - expected).mean() < np.abs(cropped - expected).mean()


@pytest.mark.parametrize(("place", "size"), [((300, 200), 48), ((300, 200), 96), ((200, 120), 240)])
def test_the_square_is_close_to_the_pasted_face(yunet, place, size):
    """Rendered faces have more hair in the square than the faces of the regressions."""
    (face,) = yunet.detect(portrait(place, size))
    assert face.square.x == pytest.approx(place[0] + size / 2, abs=0.1 * size)
    assert face.square.y == pytest.approx(place[1] + size / 2, abs=0.1 * size)
    assert 0.65 * size < face.square.side < 1.1 * size
    assert abs(face.square.angle) < radians(5)


def test_a_face_needs_its_least_confidence():
    scene = portrait((200, 120), 240)
    unsure = {"CERTAIN": 2, "MIN_CONFIDENCE": 2}
    (face,) = changed(**unsure, SECOND_MIN_CONFIDENCE=0).detect(scene)
    assert changed(**unsure, SECOND_MIN_CONFIDENCE=face.confidence - 0.001).detect(scene) == [face]
    assert changed(**unsure, SECOND_MIN_CONFIDENCE=face.confidence + 0.001).detect(scene) == []


@pytest.mark.parametrize("angle", [0, 20])
def test_many_boxes_on_one_face_are_one_face(angle):
    scene = turned(portrait((200, 120), 240), angle)
    greedy = changed(MAX_OVERLAP=1.0)
    assert len(greedy.scan(scene, 640)) > 1
    assert len(greedy.detect(scene)) == 1


def test_the_most_confident_proposals_are_refined(yunet):
    scene = np.hstack([portrait((200, 120), size) for size in (160, 200, 240)])
    proposals = yunet.propose(scene, 1280)
    confidences = [confidence for _, confidence in proposals]
    assert confidences == sorted(confidences, reverse=True)
    few = changed(MAX_PROPOSALS=2)
    assert few.propose(scene, 1280) == proposals[:2]
    assert len(few.detect(scene)) <= 2 < len(yunet.detect(scene))


def test_the_largest_face_comes_first(yunet):
    scene = np.hstack([portrait((200, 120), 160), portrait((200, 120), 240)])
    first, second = yunet.detect(scene)
    assert first.box.x > 640 > second.box.x


def test_boxes_stay_inside_the_image(yunet):
    scene = portrait((200, 120), 240)[150:330, 250:420]
    faces = yunet.detect(scene)
    assert faces
    for box in (face.box for face in faces):
        assert box.x >= 0 and box.y >= 0
        assert box.x + box.width <= 170 and box.y + box.height <= 180


@pytest.mark.parametrize(
    "shape", [(480, 640), (1, 1), (10, 10), (11, 3), (10, 4096), (1, 200_000), (200_000, 1)]
)
@pytest.mark.parametrize("noise", [0, 255])
def test_no_face_is_found_in_noise(yunet, shape, noise):
    image = np.random.default_rng(0).integers(0, 1 + noise, (*shape, 3), dtype=np.uint8)
    assert yunet.detect(image) == []


@pytest.mark.parametrize("shape", [(10, 1280), (32, 700), (20, 20), (16, 64), (300, 31)])
def test_a_narrow_image_always_has_the_same_faces(shape):
    """OpenCV reads uninitialized memory there, with the content of an earlier image."""
    yunet = build_detector("yunet")
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    answers = []
    for k in range(8):
        yunet.detect(portrait((20, 20), 200, (240 + 30 * k, 260 + 30 * k)))
        rows = yunet.scan(image, YuNetDetector.LONG_SIDE)
        answers.append((yunet.detect(image), rows.tolist()))
    assert answers == [answers[0]] * 8


def test_many_threads_use_one_detector(yunet):
    scenes = [portrait((20 * k, 10 * k), 120, (240 + 40 * k, 320)) for k in range(4)]
    serial = [yunet.detect(scene) for scene in scenes]
    assert all(serial)
    answers = [[] for _ in scenes]

    def detect(k):
        for _ in range(4):
            answers[k].append(yunet.detect(scenes[k]))

    threads = [threading.Thread(target=detect, args=(k,)) for k in range(len(scenes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[faces] * 4 for faces in serial]


# ---------------------------------------------------------------- files of the package


def test_the_model_file_is_the_expected_one():
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() == SHA256


def test_the_weights_are_those_of_the_experiment():
    assert ALIGNMENT.read_bytes() == (ROOT / "experiments/alignment.json").read_bytes()


# ---------------------------------------------------------------- from a row to a square

numbers = st.floats(-1e4, 1e4)
squares = st.builds(Square, numbers, numbers, st.floats(1, 1e4), st.floats(-10, 10))
rows = arrays(np.float64, 15, elements=numbers).map(
    lambda row: np.concatenate([row[:2], np.abs(row[2:4]) + 1e-3, row[4:14], [0.5]])
)


def test_without_weights_a_square_stays_as_it_is():
    square = Square(100, 80, 60, 0.3)
    assert corrected(square, relative(ROW, square), np.zeros((4, 16))) == square


def test_weights_move_scale_and_rotate_a_rotated_square():
    """The last column of the weights is the constant term."""
    weights = np.zeros((4, 16))
    weights[:, -1] = 0.1, 0.2, np.log(1.5), 0.25
    square = corrected(Square(100, 80, 60, np.pi / 2), relative(ROW, Square(0, 0, 1)), weights)
    assert astuple(square) == pytest.approx((100 - 12, 80 + 6, 90, np.pi / 2 + 0.25))


@given(squares)
def test_a_snapped_square_is_near(square):
    near = snapped(square)
    pitch = square.side / GRID
    assert astuple(near)[:3] == pytest.approx(astuple(square)[:3], abs=0.71 * pitch)
    assert near.angle == pytest.approx(square.angle, abs=0.5 / GRID)


class Inexact(YuNetNetwork):
    """A network that rounds otherwise, as on another processor."""

    def detect(self, image):
        rows = super().detect(image)
        noise = np.random.default_rng(len(rows)).normal(0, 3e-6, rows.shape)
        return (rows * (1 + noise)).astype(np.float32)


@pytest.mark.parametrize("angle", [0, 20, 90])
def test_the_last_digits_of_the_network_do_not_change_the_crop(
    yunet, astronaut, angle, monkeypatch
):
    scene = turned(astronaut, angle)
    monkeypatch.setattr("recognizer.detectors.yunet.YuNetNetwork", Inexact)
    (face,), (other,) = yunet.detect(scene), YuNetDetector().detect(scene)
    assert face.confidence != other.confidence
    assert (face.square, face.box) == (other.square, other.box)


@given(squares, rows, arrays(np.float64, (4, 16), elements=st.floats(-100, 100)))
def test_a_correction_is_bounded(square, row, weights):
    better = corrected(square, row, weights)
    assert hypot(better.x - square.x, better.y - square.y) <= 1.2 * square.side
    assert 0.4 < better.side / square.side < 2.3
    assert abs(better.angle - square.angle) < 0.81


@given(rows, st.floats(0.1, 10), numbers, numbers)
def test_the_features_do_not_depend_on_place_or_scale(row, scale, x, y):
    other = row.copy()
    other[:14] *= scale
    other[[0, 4, 6, 8, 10, 12]] += x
    other[[1, 5, 7, 9, 11, 13]] += y
    one, two = (features(relative(each, row_square(each))) for each in (row, other))
    side = max(other[2:4])
    np.testing.assert_allclose(one, two, atol=1e-9 * (1e6 + abs(x) + abs(y)) / side, rtol=1e-6)


@given(squares, numbers, numbers)
def test_a_point_keeps_its_distance_to_the_centre(square, x, y):
    in_x, in_y = in_image(x, y, square)
    distance = hypot(in_x - square.x, in_y - square.y)
    assert distance == pytest.approx(square.side * hypot(x, y), rel=1e-6, abs=1e-6)


def test_eyes_close_together_are_not_returned():
    square = Square(100, 80, 60)
    row = relative(ROW, square)
    assert eyes_of(Refinement(SMALL, square, row)) == ((88.0, 70.0), (112.0, 70.0))
    row[[4, 6]] = row[[6, 4]]
    assert eyes_of(Refinement(SMALL, square, row)) == ((88.0, 70.0), (112.0, 70.0))
    row[6] = row[4] - 0.1
    assert eyes_of(Refinement(SMALL, square, row)) is None
