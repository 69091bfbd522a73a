"""Occlusion sensitivity of a model whose prediction depends on one known place."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from recognizer.classifier import Classifier
from stages.dataset.fer2013 import EMOTIONS
from stages.evaluation.occlusion_sensitivity import LEAST, PATCH, sensitivity, sensitivity_pictures
from tests.faces_fixture import training_faces
from tests.model_fixture import write_tiny_model


@pytest.fixture(scope="module")
def corner_model(tmp_path_factory):
    """A model that predicts `happy` if the upper left corner is bright; it uses no other pixel."""
    path = write_tiny_model(tmp_path_factory.mktemp("model") / "model.onnx")
    model = onnx.load(path)
    weights = np.zeros((48, 48, 7), np.float32)
    weights[4:12, 4:12, EMOTIONS.index("happy")] = 3e-4
    for index, constant in enumerate(model.graph.initializer):
        if constant.dims and constant.dims[0] == 48 * 48:
            fresh = numpy_helper.from_array(weights.reshape(48 * 48, 7), constant.name)
            model.graph.initializer[index].CopyFrom(fresh)
    onnx.save(model, path)
    return Classifier(path)


def test_the_map_is_high_at_the_place_that_the_prediction_depends_on(corner_model):
    face = np.full((48, 48), 60, np.uint8)
    face[:20, :20] = 220
    heat = sensitivity(corner_model, face, EMOTIONS.index("happy"))
    assert heat.shape == (48, 48)
    top, left = np.unravel_index(heat.argmax(), heat.shape)
    assert 4 - PATCH < top < 12 + PATCH
    assert 4 - PATCH < left < 12 + PATCH
    assert heat.max() > 0.01
    assert heat[24:, 24:] == pytest.approx(0)
    # What lowers the probability of one emotion raises the others.
    assert sensitivity(corner_model, face, EMOTIONS.index("sad")).min() < 0


def test_the_pictures_show_every_emotion_and_do_not_change_the_faces(corner_model):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 48, 48), dtype=np.uint8)
    before = images.copy()
    probabilities = corner_model.predict(images)
    labels = probabilities.argmax(axis=1)
    assert len(set(labels)) < 7, "some emotions must stay without a face for this test"
    split = training_faces(images, labels, np.arange(2, 32, dtype=np.int32))
    means, faces = sensitivity_pictures(corner_model, split, probabilities)
    for picture in (means, faces):
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.std() > 10
    assert np.array_equal(images, before)
    again = sensitivity_pictures(corner_model, split, probabilities)
    assert all(map(np.array_equal, again, (means, faces)))


def test_the_mean_of_few_faces_is_not_drawn(corner_model):
    """It would show the faces, and this picture is in git."""

    def columns(count):
        images = np.random.default_rng(1).integers(0, 256, (count, 48, 48), dtype=np.uint8)
        labels = np.full(count, EMOTIONS.index("happy"))
        rows = np.arange(count, dtype=np.int32)
        split = training_faces(images, labels, rows)
        means, _ = sensitivity_pictures(corner_model, split, np.eye(7)[labels])
        width = means.shape[1] // 7
        happy = EMOTIONS.index("happy")
        # Below the title, without the note.
        return means[-100:, happy * width + 10 : (happy + 1) * width - 10]

    assert columns(LEAST - 1).min() == 255
    assert columns(LEAST).min() < 255
