"""Detect, crop and classify in a row; on the command line, too."""

from dataclasses import astuple
from pathlib import Path

import cv2
import numpy as np
import pytest
from recognizer.haar import HaarDetector

from recognizer.faces import Box, Face, Square, WholeImage, box_square, crop, cut_out, eye_square
from recognizer.recognizer import ENHANCEMENTS, Recognizer
from tests.model_fixture import LABELS
from tests.portrait_fixture import portrait

ROOT = Path(__file__).parents[2]


def test_a_48_pixel_face_reaches_the_model_unchanged(classifier):
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    (face,) = Recognizer(classifier, WholeImage()).recognize(image)
    expected = classifier.predict(image[None])[0]
    np.testing.assert_allclose(list(face.probabilities.values()), expected, atol=1e-6)
    assert list(face.probabilities) == list(LABELS)
    assert face.emotion == LABELS[expected.argmax()]


def test_each_face_is_classified_from_its_own_crop(classifier):
    scene = np.hstack([portrait(seed=0), portrait(size=160, seed=1)])
    detector = HaarDetector()
    faces = Recognizer(classifier, detector, align=False).recognize(scene)
    assert len(faces) >= 2
    for face in faces:
        alone = classifier.predict(crop(scene, face.box, detector.frame)[None])[0]
        np.testing.assert_allclose(list(face.probabilities.values()), alone, atol=1e-6)
    assert faces[0].probabilities != faces[1].probabilities


@pytest.mark.parametrize("square", [None, Square(320, 240, 200, 0.4)])
def test_alignment_turns_the_face_to_its_square_or_its_eyes(classifier, square):
    scene = portrait()
    box, eyes = Box(200, 120, 240, 240), ((250.0, 200.0), (350.0, 240.0))
    (face,) = Recognizer(classifier, WholeImage()).classify(scene, [Face(box, 0.9, eyes, square)])
    expected = square or eye_square(box, eyes)
    picture = cut_out(scene, face.square)
    alone = classifier.predict(picture[None])[0]
    np.testing.assert_allclose(list(face.probabilities.values()), alone, atol=1e-6)
    assert face.eyes == eyes
    assert astuple(face.square) == pytest.approx(astuple(expected), abs=1e-6)
    (level,) = Recognizer(classifier, WholeImage(), align=False).classify(
        scene, [Face(box, 0.9, eyes, square)]
    )
    assert level.probabilities != face.probabilities
    assert level.eyes == eyes
    assert level.square == box_square(box)


def test_without_eyes_alignment_leaves_the_crop_as_it_is(classifier):
    scene, face = portrait(), Face(Box(200, 120, 240, 240), 0.9)
    answers = [
        Recognizer(classifier, WholeImage(), align).classify(scene, [face])
        for align in (True, False)
    ]
    assert answers[0] == answers[1]
    assert answers[0][0].eyes is None


@pytest.mark.parametrize("enhance", list(ENHANCEMENTS))
def test_enhancements_are_what_the_model_sees(classifier, enhance):
    image = cv2.GaussianBlur(portrait(), (0, 0), 3)[120:360:5, 200:440:5].copy()
    before = image.copy()
    (face,) = Recognizer(classifier, WholeImage(), enhance=enhance).recognize(image)
    expected = classifier.predict(ENHANCEMENTS[enhance](image)[None])[0]
    np.testing.assert_allclose(list(face.probabilities.values()), expected, atol=1e-6)
    np.testing.assert_array_equal(image, before)
    assert np.array_equal(ENHANCEMENTS[enhance](image), image) == (enhance == "none")


def test_contrast_spreads_and_denoising_smooths():
    grey = np.tile(np.linspace(100, 140, 48).astype(np.uint8), (48, 1))
    assert np.ptp(ENHANCEMENTS["contrast"](grey)) > np.ptp(grey)
    noisy = grey + np.random.default_rng(0).integers(0, 8, grey.shape, dtype=np.uint8)
    smooth = ENHANCEMENTS["denoise"](noisy)
    assert np.abs(np.diff(smooth.astype(int), axis=0)).mean() < 2


def test_another_enhancement_is_refused(classifier):
    with pytest.raises(ValueError, match=r"enhance: expected none, contrast, denoise, got 'blur'"):
        Recognizer(classifier, WholeImage(), enhance="blur")


def test_no_face_is_an_empty_list(classifier):
    flat = np.full((200, 300), 100, np.uint8)
    assert Recognizer(classifier, HaarDetector()).recognize(flat) == []


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9)), np.zeros((0, 9), np.uint8)]
)
def test_other_arrays_are_refused(classifier, image):
    with pytest.raises(ValueError, match=r"image: expected uint8 \[H, W\], got"):
        Recognizer(classifier, WholeImage()).recognize(image)
