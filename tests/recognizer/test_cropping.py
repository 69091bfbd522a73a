"""The 48×48 face: cut out as FER-2013 frames it, and turned level."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recognizer.framing import EYE_LINE, box_square, crop, cut_out, eye_square

from recognizer.detectors.base import Box, Square
from recognizer.faces import WholeImage
from tests.portrait_fixture import portrait

# ---------------------------------------------------------------- crop


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
@settings(max_examples=200)
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


def test_a_crop_is_the_square_around_its_box():
    scene, box = portrait(), Box(200, 121, 240, 200)
    square = box_square(box, 0.9)
    assert (square.x, square.y, square.side, square.angle) == (320, 221, 216, 0)
    shown = cut_out(scene, square).astype(int)
    assert np.abs(shown - crop(scene, box, 0.9)).mean() < 1


# ---------------------------------------------------------------- turned by the eyes


def align(image, box, eyes, frame=1.0):
    return cut_out(image, eye_square(box, eyes, frame))


EYES = (15.5, 48 * EYE_LINE), (32.5, 48 * EYE_LINE)
"""Where level eyes lie in the middle of a 48×48 face."""


def test_a_level_48_pixel_face_comes_through_byte_for_byte():
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    np.testing.assert_array_equal(align(image, Box(0, 0, 48, 48), EYES), image)


def test_align_averages_when_it_shrinks():
    small = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    image = np.zeros((300, 300), np.uint8)
    image[50:194, 80:224] = small.repeat(3, axis=0).repeat(3, axis=1)
    eyes = tuple((80 + 3 * x, 50 + 3 * y) for x, y in EYES)
    np.testing.assert_array_equal(align(image, Box(80, 50, 144, 144), eyes), small)


@pytest.mark.parametrize("degrees", [-60, -20, -5, 5, 20, 60])
def test_a_turned_face_is_turned_back(degrees):
    scene = portrait((200, 120), 240)
    level = (270.0, 216.0), (370.0, 216.0)
    box = Box(200, 120, 240, 240)
    turn = cv2.getRotationMatrix2D((320, 240), degrees, 1)
    turned = cv2.warpAffine(scene, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE)
    eyes = tuple(tuple(turn @ (x - 0.5, y - 0.5, 1) + 0.5) for x, y in level)
    expected = align(scene, box, level).astype(int)
    assert np.abs(align(turned, box, eyes) - expected).mean() < 2
    assert np.abs(crop(turned, box) - expected).mean() > 5 or abs(degrees) == 5


def test_what_lies_beyond_the_edge_repeats_it():
    image = np.full((100, 100), 50, np.uint8)
    image[:, 0] = 200
    eyes = (-8.5, 10 + 48 * EYE_LINE), (8.5, 10 + 48 * EYE_LINE)
    face = align(image, Box(-24, 10, 48, 48), eyes)
    np.testing.assert_array_equal(face[:, :25], 200)
    np.testing.assert_array_equal(face[:, 25:], 50)


points = st.tuples(st.floats(-50, 350), st.floats(-50, 350))


@given(st.integers(1, 300), st.integers(1, 300), st.data(), points, points, st.floats(0.5, 3))
@settings(max_examples=200)
def test_align_of_any_face_keeps_a_flat_image_flat(height, width, draw, one, other, frame):
    x, y = draw.draw(st.integers(0, width - 1)), draw.draw(st.integers(0, height - 1))
    box = Box(x, y, draw.draw(st.integers(1, width - x)), draw.draw(st.integers(1, height - y)))
    face = align(np.full((height, width), 77, np.uint8), box, (one, other), frame)
    assert face.shape == (48, 48) and face.dtype == np.uint8
    assert (face == 77).all()


@pytest.mark.parametrize("shape", [(60, 40_000), (40_000, 60)])
def test_a_face_in_a_panorama_is_turned(shape):
    image = np.full(shape, 7, np.uint8)
    x, y = (20_000, 5) if shape[1] > shape[0] else (5, 20_000)
    box, eyes = Box(x, y, 48, 48), ((x + 15, y + 15), (x + 32, y + 25))
    assert (align(image, box, eyes) == 7).all()


# ---------------------------------------------------------------- cut_out


@pytest.mark.parametrize("size", [48, 96, 432])
def test_a_square_is_cut_out_in_the_size_that_is_asked_for(size):
    scene = portrait((200, 120), 240)
    expected = cv2.resize(scene[120:360, 200:440], (size, size), interpolation=cv2.INTER_AREA)
    face = cut_out(scene, Square(320, 240, 240), size)
    assert face.shape == (size, size)
    assert np.abs(face.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("degrees", [-120, -20, 20, 120])
def test_a_turned_square_is_turned_back(degrees):
    scene = portrait((200, 120), 240)
    turn = cv2.getRotationMatrix2D((319.5, 239.5), -degrees, 1)
    turned = cv2.warpAffine(scene, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE)
    face = cut_out(turned, Square(320, 240, 240, np.radians(degrees))).astype(int)
    assert np.abs(face - cut_out(scene, Square(320, 240, 240))).mean() < 1


places = st.floats(-500, 800)
squares = st.builds(Square, places, places, st.floats(0.5, 2000), st.floats(-10, 10))


@given(st.integers(1, 300), st.integers(1, 300), squares, st.sampled_from([48, 100]))
@settings(max_examples=100)
def test_any_square_keeps_a_flat_image_flat(height, width, square, size):
    face = cut_out(np.full((height, width), 77, np.uint8), square, size)
    assert face.shape == (size, size) and face.dtype == np.uint8
    assert (face == 77).all()
