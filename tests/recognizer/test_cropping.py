"""The crop of a square, rotated upright."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.classifier import SIZE
from recognizer.cropping import box_square, crop
from recognizer.detectors.base import Box, Square
from recognizer.detectors.whole import WholeImage
from tests.portrait_fixture import portrait


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_48_pixel_face_is_copied_byte_for_byte(channels):
    image = np.random.default_rng(0).integers(0, 256, (48, 48, *channels), dtype=np.uint8)
    (face,) = WholeImage().detect(image)
    np.testing.assert_array_equal(
        crop(image, box_square(face.box, WholeImage.square_ratio), SIZE), image
    )


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_larger_square_is_averaged(factor):
    small = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    image = np.zeros((500, 500), np.uint8)
    side = 48 * factor
    image[48 : 48 + side, 80 : 80 + side] = small.repeat(factor, axis=0).repeat(factor, axis=1)
    np.testing.assert_array_equal(crop(image, box_square(Box(80, 48, side, side)), SIZE), small)


def test_the_ratio_widens_the_square_around_its_centre():
    image = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    narrow = crop(image, box_square(Box(76, 76, 48, 48)), SIZE)
    wide = crop(image, box_square(Box(76, 76, 48, 48), 2.0), SIZE)
    np.testing.assert_array_equal(narrow[0], np.arange(76, 124))
    np.testing.assert_allclose(wide[0], 52.5 + 2 * np.arange(48), atol=0.5)


def test_the_square_is_as_wide_as_the_longer_side_of_the_box():
    assert box_square(Box(200, 121, 240, 200), 0.9) == Square(320, 221, 216, 0)
    assert box_square(Box(200, 121, 100, 200)) == Square(250, 221, 200, 0)


def test_the_border_is_repeated_beyond_the_image():
    image = np.full((100, 100), 50, np.uint8)
    image[:, 0] = 200
    face = crop(image, box_square(Box(-24, 10, 48, 48)), SIZE)
    np.testing.assert_array_equal(face[:, :25], 200)
    np.testing.assert_array_equal(face[:, 25:], 50)


def test_a_long_image_is_made_square_by_its_border():
    image = np.zeros((48, 96), np.uint8)
    image[0], image[-1] = 100, 200
    face = crop(image, box_square(Box(0, 0, 96, 48)), SIZE)
    assert (face[:12] >= 50).all() and (face[-12:] >= 100).all()
    np.testing.assert_array_equal(face[14:34], 0)


@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1), (1, 1)])
def test_a_narrow_image_needs_no_memory_for_its_square(shape):
    image = np.full(shape, 7, np.uint8)
    (face,) = WholeImage().detect(image)
    assert (crop(image, box_square(face.box), SIZE) == 7).all()


@pytest.mark.parametrize("shape", [(60, 40_000), (40_000, 60)])
def test_a_face_in_a_panorama_is_rotated(shape):
    image = np.full(shape, 7, np.uint8)
    x, y = (20_000, 30) if shape[1] > shape[0] else (30, 20_000)
    image[max(0, y - 10) : y, max(0, x - 20) : x + 20] = 99  # the upper half of its middle
    face = crop(image, Square(x, y, 48, np.pi), SIZE)
    assert (face[26:32, 10:38] == 99).all() and (face[:22] == 7).all()


@pytest.mark.parametrize("size", [48, 96, 128, 432])
def test_a_square_is_cropped_to_the_requested_size(size):
    scene = portrait((200, 120), 240)
    expected = cv2.resize(scene[120:360, 200:440], (size, size), interpolation=cv2.INTER_AREA)
    face = crop(scene, Square(320, 240, 240), size)
    assert face.shape == (size, size, 3)
    assert np.abs(face.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("degrees", [-120, -20, -5, 5, 20, 120])
def test_a_rotated_square_is_rotated_back(degrees):
    scene = portrait((200, 120), 240)
    turn = cv2.getRotationMatrix2D((319.5, 239.5), -degrees, 1)
    turned = cv2.warpAffine(scene, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE)
    expected = crop(scene, Square(320, 240, 240), SIZE).astype(int)
    face = crop(turned, Square(320, 240, 240, np.radians(degrees)), SIZE).astype(int)
    assert np.abs(face - expected).mean() < 1
    assert np.abs(crop(turned, Square(320, 240, 240), SIZE) - expected).mean() > 2


places = st.floats(-500, 800)
squares = st.builds(Square, places, places, st.floats(0.5, 2000), st.floats(-10, 10))


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    squares,
    st.sampled_from([48, 100]),
    st.integers(0, 255),
)
@settings(max_examples=200)
def test_a_flat_image_stays_flat_in_any_square(height, width, square, size, level):
    face = crop(np.full((height, width), level, np.uint8), square, size)
    assert face.shape == (size, size) and face.dtype == np.uint8
    assert (face == level).all()
