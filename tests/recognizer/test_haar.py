"""OpenCV's cascades: where faces and eyes are, and where none are."""

import threading

import numpy as np
import pytest

from recognizer.haar import HaarDetector
from tests.portrait_fixture import portrait


def centre(box):
    return box.x + box.width / 2, box.y + box.height / 2


@pytest.mark.parametrize(
    ("place", "size", "shape"),
    [
        ((200, 120), 240, (480, 640)),
        ((20, 300), 120, (480, 640)),
        ((2000, 900), 600, (2400, 3600)),  # beyond MAX_SIDE: detected on a smaller copy
    ],
)
def test_haar_finds_a_face_where_it_is(place, size, shape):
    face = HaarDetector().detect(portrait(place, size, shape))[0]
    x, y = centre(face.box)
    assert abs(x - (place[0] + size / 2)) < 0.15 * size
    assert abs(y - (place[1] + size / 2)) < 0.15 * size
    assert 0.6 * size < face.box.width < 1.2 * size
    assert 0.5 < face.confidence < 1


def test_haar_puts_the_largest_face_first():
    scene = np.hstack([portrait((200, 120), 160), portrait((200, 120), 240)])
    boxes = [face.box for face in HaarDetector().detect(scene)]
    assert boxes[0].x > 640
    assert boxes == sorted(boxes, key=lambda box: -box.width)
    assert any(box.x < 640 for box in boxes)


@pytest.mark.parametrize(
    "shape", [(480, 640), (1, 1), (23, 500), (24, 24), (1, 200_000), (200_000, 1)]
)
def test_haar_finds_nothing_where_nothing_is(shape):
    assert HaarDetector().detect(np.full(shape, 90, np.uint8)) == []


def test_haar_boxes_stay_inside_the_image():
    scene = portrait((0, 240), 240)
    for face in HaarDetector().detect(scene):
        box = face.box
        assert box.x >= 0 and box.y >= 0
        assert box.x + box.width <= 640 and box.y + box.height <= 480


def test_one_haar_detector_serves_many_threads():
    detector = HaarDetector()
    scenes = [portrait((20 * k, 10 * k), 200, seed=k) for k in range(6)]
    serial = [HaarDetector().detect(scene) for scene in scenes]
    answers = [[] for _ in scenes]

    def look(k):
        for _ in range(5):
            answers[k].append(detector.detect(scenes[k]))

    threads = [threading.Thread(target=look, args=(k,)) for k in range(len(scenes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[faces] * 5 for faces in serial]


def test_eyes_lie_in_the_upper_half_of_the_face_and_on_each_side_of_its_middle():
    face = HaarDetector().detect(portrait((200, 120), 240))[0]
    (left, upper), (right, also_upper) = face.eyes
    middle = centre(face.box)[0]
    assert face.box.x < left < middle < right < face.box.x + face.box.width
    assert face.box.y < upper < centre(face.box)[1] > also_upper
    assert abs(upper - also_upper) < 0.1 * (right - left)


def test_a_face_without_eyes_has_none():
    scene = portrait((200, 120), 240)
    _, (x, y) = HaarDetector().detect(scene)[0].eyes
    x, y = int(x), int(y)
    # The right eye is painted over with the cheek below it.
    scene[y - 30 : y + 30, x - 40 : x + 40] = scene[y + 45, x]
    faces = HaarDetector().detect(scene)
    assert faces and all(face.eyes is None for face in faces)
