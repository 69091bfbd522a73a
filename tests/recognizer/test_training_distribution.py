"""The distribution over the faces of Training: measured, written as JSON, and read again."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from recognizer.training_distribution import (
    BRIGHTNESS_BINS,
    CONTRAST_BINS,
    brightness,
    contrast,
    measure,
    parse,
)
from tests.model_fixture import LABELS, write_tiny_model

FACES = np.random.default_rng(0).integers(0, 256, (50, 48, 48), dtype=np.uint8)
FACES = (FACES // np.arange(1, 51)[:, None, None] + np.arange(50)[:, None, None]).astype(np.uint8)
"""From bright with much contrast to dark with little."""


def test_brightness_and_contrast_are_mean_and_standard_deviation():
    assert brightness(FACES) == pytest.approx(FACES.mean(axis=(1, 2)))
    assert contrast(FACES) == pytest.approx(FACES.std(axis=(1, 2)))
    halves = np.zeros((1, 48, 48), np.uint8)
    halves[:, :24] = 255
    assert contrast(halves) == [127.5]
    assert contrast(np.full((1, 48, 48), 255, np.uint8)) == [0]
    assert len(brightness(FACES[:0])) == len(contrast(FACES[:0])) == 0


def test_the_shares_are_those_of_the_faces():
    labels = (np.arange(50) % 5).astype(np.uint8)
    found = measure(FACES, labels, LABELS)
    assert found.faces == 50
    assert found.emotion_shares == dict.fromkeys(LABELS[:5], 0.2) | dict.fromkeys(LABELS[5:], 0.0)
    for points, values, edges in (
        (found.brightness, FACES.mean(axis=(1, 2)), BRIGHTNESS_BINS),
        (found.contrast, FACES.std(axis=(1, 2)), CONTRAST_BINS),
    ):
        shares = [sum(value <= edge for value in values) / 50 for edge in edges]
        assert [point.up_to for point in points] == list(edges)
        assert [point.share for point in points] == pytest.approx(shares, abs=1e-4)
        assert len(set(shares)) > 3
    assert parse(json.dumps(asdict(found)), LABELS) == found


def test_a_file_may_lack_it(tmp_path):
    path = write_tiny_model(tmp_path / "model.onnx")
    assert Classifier(path).metadata.training_distribution is None


GOOD = asdict(measure(FACES, np.zeros(50, np.uint8), LABELS))


@pytest.mark.parametrize(
    "changes",
    [
        {"faces": None},
        {"faces": 10**400},
        {"emotion_shares": {"happy": 1}},
        {"emotion_shares": GOOD["emotion_shares"] | {"happy": 1.5}},
        {"brightness": [{"up_to": 16, "share": "half"}]},
        {"brightness": [{"up_to": 16}]},
        {"contrast": 5},
        {"contrast": [{"up_to": 20, "share": 0.5}, {"up_to": 10, "share": 0.6}]},
        {"contrast": [{"up_to": float("nan"), "share": 0.5}]},
        {"contrast": [{"up_to": "ten", "share": 0.5}]},
    ],
)
def test_a_wrong_one_is_refused(tmp_path, changes):
    text = json.dumps(GOOD | changes)
    path = write_tiny_model(tmp_path / "model.onnx", metadata={"training_distribution": text})
    with pytest.raises(ModelError, match="metadata training_distribution is not a JSON object of"):
        Classifier(path)
