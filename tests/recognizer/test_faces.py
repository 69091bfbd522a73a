"""Detectors by name, and the crop that frames a face as FER-2013 does."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.faces import DETECTORS, Box, HaarDetector, WholeImage, crop
from tests.portrait_fixture import portrait


def centre(box):
    return box.x + box.width / 2, box.y + box.height / 2


# ---------------------------------------------------------------- haar


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


# ---------------------------------------------------------------- whole, crop


def test_whole_is_one_face_with_full_confidence():
    (face,) = WholeImage().detect(np.zeros((30, 40), np.uint8))
    assert face.box == Box(0, 0, 40, 30)
    assert face.confidence == 1


def test_a_48_pixel_face_comes_through_byte_for_byte():
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    (face,) = WholeImage().detect(image)
    np.testing.assert_array_equal(crop(image, face.box, WholeImage.frame), image)


def test_crop_averages_when_it_shrinks():
    small = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    image = np.zeros((300, 300), np.uint8)
    image[50:194, 80:224] = small.repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(crop(image, Box(80, 50, 144, 144)), small)


def test_crop_widens_the_box_around_its_centre():
    image = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    narrow = crop(image, Box(76, 76, 48, 48))
    wide = crop(image, Box(76, 76, 48, 48), frame=2.0)
    np.testing.assert_array_equal(narrow[0], np.arange(76, 124))
    np.testing.assert_allclose(wide[0], 52.5 + 2 * np.arange(48), atol=0.5)


def test_crop_repeats_the_edge_beyond_the_image():
    image = np.full((100, 100), 50, np.uint8)
    image[:, 0] = 200
    face = crop(image, Box(-24, 10, 48, 48))
    np.testing.assert_array_equal(face[:, :25], 200)
    np.testing.assert_array_equal(face[:, 25:], 50)


def test_crop_squares_a_long_image_by_its_edges():
    image = np.zeros((48, 96), np.uint8)
    image[0], image[-1] = 100, 200
    face = crop(image, Box(0, 0, 96, 48))
    assert (face[:12] >= 50).all() and (face[-12:] >= 100).all()
    np.testing.assert_array_equal(face[14:34], 0)


@given(st.integers(1, 300), st.integers(1, 300), st.data(), st.floats(0.5, 3), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_crop_of_any_box_keeps_a_flat_image_flat(height, width, draw, frame, level):
    x, y = draw.draw(st.integers(0, width - 1)), draw.draw(st.integers(0, height - 1))
    box = Box(x, y, draw.draw(st.integers(1, width - x)), draw.draw(st.integers(1, height - y)))
    face = crop(np.full((height, width), level, np.uint8), box, frame)
    assert face.shape == (48, 48) and face.dtype == np.uint8
    assert (face == level).all()


@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1), (1, 1)])
def test_crop_of_a_line_takes_no_memory_for_its_square(shape):
    image = np.full(shape, 7, np.uint8)
    (face,) = WholeImage().detect(image)
    assert (crop(image, face.box) == 7).all()


def test_detectors_by_name():
    assert set(DETECTORS) == {"haar", "whole"}
    for detector in DETECTORS.values():
        assert detector().frame >= 1
