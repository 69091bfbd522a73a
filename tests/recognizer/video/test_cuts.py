"""Hard cuts are detected; changes of light, noise and motion are not cuts."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.video.cuts import FLASH_FRAMES, mark_cuts
from recognizer.video.frame import Frame

ROOT = Path(__file__).parents[3]
PHOTO = cv2.imread(str(ROOT / "docs/astronaut.jpg"))
RNG = np.random.default_rng(0)


def view(x=0.0, y=0.0, size=0.6):
    """A part of the photo; x and y from 0 to 1 move it from edge to edge."""
    height, width = PHOTO.shape[:2]
    high, wide = int(size * height), int(size * width)
    top, left = int(y * (height - high)), int(x * (width - wide))
    return cv2.resize(PHOTO[top : top + high, left : left + wide], (320, 240))


def scene(seed):
    """Large coloured shapes on a coloured ground."""
    rng = np.random.default_rng(seed)
    picture = np.full((240, 320, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(5):
        centre = tuple(int(k) for k in rng.integers(0, (320, 240)))
        colour = tuple(int(k) for k in rng.integers(0, 256, 3))
        cv2.circle(picture, centre, int(rng.integers(30, 90)), colour, -1)
    return picture


def lit(picture, gain, offset=0):
    return cv2.convertScaleAbs(picture, alpha=gain, beta=offset)


def cuts(pictures, rate=30):
    frames = [Frame(k, k / rate, picture) for k, picture in enumerate(pictures)]
    marked = list(mark_cuts(frames))
    assert [frame.index for frame in marked] == list(range(len(frames)))
    assert all(a.image is b.image for a, b in zip(marked, frames, strict=True))
    return [frame.index for frame in marked if frame.cut]


@pytest.mark.parametrize("rate", [1, 30])
def test_every_cut_is_found(rate):
    shots = [scene(seed) for seed in range(6)] + [view(), scene(9)]
    pictures = [shot for shot in shots for _ in range(8)]
    assert cuts(pictures, rate) == list(range(8, 64, 8))


def test_a_cut_from_one_face_to_another_in_the_same_light():
    # The left and the right half of one photo share most of their colours.
    assert cuts([view(0, size=0.5)] * 5 + [view(1, 1, size=0.5)] * 5) == [5]


def test_a_cut_in_the_last_frame():
    assert cuts([scene(1)] * 5 + [scene(2)]) == [5]


@pytest.mark.parametrize("speed", [0.01, 0.03, 0.1])
def test_a_pan_is_no_cut(speed):
    # In widths of the picture per frame; 0.1 crosses it in a third of a second.
    step = speed * 0.6 / 0.4
    assert cuts([view(x) for x in np.arange(0, 1, step)]) == []


def test_a_fast_zoom_is_no_cut():
    assert cuts([view(0.5, 0.3, size) for size in np.geomspace(0.9, 0.4, 8)]) == []


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("flash", [lit(view(), 2, 60), np.full((240, 320, 3), 255, np.uint8)])
def test_a_flash_is_no_cut(flash, frames):
    assert cuts([view()] * 5 + [flash] * frames + [view()] * 10) == []


def test_a_cut_right_after_a_flash_is_found():
    white = np.full((240, 320, 3), 255, np.uint8)
    found = cuts([view()] * 5 + [white] + [scene(1)] * 10)
    assert set(found) in ({5}, {6}, {5, 6})


@pytest.mark.parametrize("gain", [0.3, 0.7, 1.5])
def test_a_change_of_light_is_no_cut(gain):
    assert cuts([view()] * 5 + [lit(view(), gain)] * 10) == []


def test_noise_is_no_cut():
    def noisy():
        return np.clip(view() + RNG.normal(0, 25, (240, 320, 3)), 0, 255).astype(np.uint8)

    assert cuts([noisy() for _ in range(10)]) == []


def test_black_frames_are_no_error():
    black = np.zeros((240, 320, 3), np.uint8)
    assert cuts([black] * 20) == []


def test_a_picture_that_returns_after_a_flash_would_have_ended_is_a_cut():
    assert cuts([scene(1)] * 5 + [scene(2)] * 10 + [scene(1)] * 5) == [5, 15]
    assert cuts([scene(1), scene(2), scene(1)], rate=1) == [1, 2]


@pytest.mark.parametrize("rate", [30, 1000])
def test_few_frames_are_read_ahead(rate):
    taken = []

    def endless():
        while True:
            index = len(taken)
            taken.append(index)
            yield Frame(index, index / rate, scene(index % 7))

    for frame in mark_cuts(endless()):
        assert len(taken) <= frame.index + 1 + FLASH_FRAMES
        if frame.index == 50:
            break
