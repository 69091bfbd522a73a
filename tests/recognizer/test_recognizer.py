"""Detect, crop and classify in a row."""

from dataclasses import astuple
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.classifier import SIZE, Classifier
from recognizer.cropping import box_square, crop
from recognizer.detectors.base import Box, Face, Square
from recognizer.detectors.registry import build_detector
from recognizer.detectors.whole import WholeImage
from recognizer.image import Image, decode
from recognizer.recognizer import Recognizer
from tests.model_fixture import LABELS
from tests.portrait_fixture import portrait

ROOT = Path(__file__).parents[2]


class Recording(Classifier):
    """A classifier that keeps the crops it gets."""

    def predict(self, faces):
        self.faces = faces
        return super().predict(faces)


@pytest.fixture(scope="module")
def yunet():
    return build_detector("yunet")


def predicted(classifier, image, square):
    """The probabilities of one square in pixels of `image.pixels`."""
    grey = cv2.cvtColor(crop(image.pixels, square, SIZE), cv2.COLOR_BGR2GRAY)
    return classifier.predict(grey[None])[0]


def assert_probabilities(face, expected):
    np.testing.assert_allclose(list(face.probabilities.values()), expected, atol=1e-5)


def test_a_48_pixel_face_reaches_the_model_byte_for_byte(model_path):
    grey = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    classifier = Recording(model_path)
    png = decode(cv2.imencode(".png", grey)[1].tobytes())
    for image in (png, Image.of(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))):
        (face,) = Recognizer(classifier, WholeImage()).recognize(image)
        np.testing.assert_array_equal(classifier.faces, grey[None])
        expected = classifier.predict(grey[None])[0]
        assert_probabilities(face, expected)
        assert list(face.probabilities) == list(LABELS)
        assert face.emotion == LABELS[expected.argmax()]


def test_each_face_is_classified_from_its_own_crop(classifier, yunet):
    scene = Image.of(np.hstack([portrait(seed=0), portrait(size=160, seed=1)]))
    faces = Recognizer(classifier, yunet, align=False).recognize(scene)
    assert len(faces) == 2
    for face in faces:
        square = box_square(face.box, yunet.square_ratio)
        assert_probabilities(face, predicted(classifier, scene, square))
    assert faces[0].probabilities != faces[1].probabilities


def test_alignment_classifies_the_rotated_square(classifier):
    scene = Image.of(portrait())
    box, eyes = Box(200, 120, 240, 240), ((250.0, 200.0), (350.0, 240.0))
    given = Face(box, 0.9, eyes, Square(320, 240, 200, 0.4))
    (face,) = Recognizer(classifier, WholeImage()).classify(scene, [given])
    assert_probabilities(face, predicted(classifier, scene, face.square))
    assert face.eyes == eyes
    assert face.square == given.square
    (upright,) = Recognizer(classifier, WholeImage(), align=False).classify(scene, [given])
    assert upright.probabilities != face.probabilities
    assert upright.eyes == eyes
    assert upright.square == box_square(box)


def test_without_an_aligned_square_the_crop_is_upright(classifier):
    scene, face = Image.of(portrait()), Face(Box(200, 120, 240, 240), 0.9)
    answers = [
        Recognizer(classifier, WholeImage(), align).classify(scene, [face])
        for align in (True, False)
    ]
    assert answers[0] == answers[1]
    assert answers[0][0].eyes is None


@pytest.mark.parametrize("align", [True, False])
def test_faces_of_a_reduced_image_are_in_pixels_of_its_file(classifier, yunet, align):
    astronaut = cv2.imread(str(ROOT / "docs/astronaut.jpg"))
    large = cv2.resize(astronaut, (3473, 3473), interpolation=cv2.INTER_CUBIC)
    image = decode(cv2.imencode(".jpg", large)[1].tobytes())
    assert image.pixels.shape == (1737, 1737, 3) and image.width == 3473
    recognizer = Recognizer(classifier, yunet, align)
    (face,) = recognizer.recognize(image)
    (full,) = recognizer.recognize(Image.of(large))
    np.testing.assert_allclose(astuple(face.box), astuple(full.box), atol=35)
    np.testing.assert_allclose(astuple(face.square)[:3], astuple(full.square)[:3], atol=35)
    np.testing.assert_allclose(face.eyes, full.eyes, atol=35)

    x, y, side, angle = astuple(face.square)
    scale = image.scale
    square = Square(x / scale, y / scale, side / scale, angle)
    assert_probabilities(face, predicted(classifier, image, square))


def test_the_box_of_a_reduced_image_stays_in_its_file(classifier):
    image = Image(np.zeros((3, 5, 3), np.uint8), 9, 5)
    (face,) = Recognizer(classifier, WholeImage()).detect(image)
    assert face.box == Box(0, 0, 9, 5)


def test_the_square_in_the_result_gives_the_same_crop_again(model_path, yunet):
    classifier = Recording(model_path)
    scene = Image.of(cv2.imread(str(ROOT / "docs/astronaut.jpg")))
    recognizer = Recognizer(classifier, yunet)
    (face,) = recognizer.recognize(scene)
    grey = cv2.cvtColor(crop(scene.pixels, face.square, SIZE), cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(classifier.faces, grey[None])


def test_no_face_is_an_empty_list(classifier, yunet):
    flat = Image.of(np.full((200, 300, 3), 100, np.uint8))
    assert Recognizer(classifier, yunet).recognize(flat) == []


@pytest.mark.parametrize(
    "pixels", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)]
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match=r"pixels: expected uint8 \[H, W, 3\], got"):
        Image.of(pixels)
