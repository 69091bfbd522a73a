"""Corruptions: stronger at each severity, repeatable, and as their docstrings describe."""

import cv2
import numpy as np
import pandas as pd
import pytest

from recognizer.classifier import Classifier
from stages.evaluation.robustness import CORRUPTIONS, SEVERITIES, mean_accuracies, robustness_table
from tests.model_fixture import write_tiny_model
from tests.portrait_fixture import portrait


@pytest.fixture(scope="module")
def face():
    grey = cv2.cvtColor(portrait(), cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return Classifier(write_tiny_model(tmp_path_factory.mktemp("model") / "model.onnx"))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_gives_a_face_with_a_larger_error_than_the_one_before(name, face):
    errors = [0.0]
    for severity in range(SEVERITIES):
        # The mean over random signs and places.
        worse = [
            CORRUPTIONS[name](face, severity, np.random.default_rng(seed)) for seed in range(20)
        ]
        assert {(image.shape, image.dtype) for image in worse} == {((48, 48), np.dtype(np.uint8))}
        errors.append(np.mean([(image.astype(float) - face) ** 2 for image in worse]))
    assert errors == sorted(errors)
    assert len(set(errors)) == SEVERITIES + 1


def test_brightness_makes_faces_brighter_and_darker(face):
    means = [CORRUPTIONS["brightness"](face, 0, np.random.default_rng(s)).mean() for s in range(20)]
    assert min(means) < face.mean() < max(means)


def test_rotation_is_undone_by_rotating_back(face):
    turned = CORRUPTIONS["rotation"](face, 1, np.random.default_rng(0))
    errors = []
    for angle in (-10, 10):
        back = cv2.getRotationMatrix2D((23.5, 23.5), angle, 1)
        again = cv2.warpAffine(turned, back, (48, 48), borderMode=cv2.BORDER_REPLICATE)
        errors.append(np.abs(again[12:36, 12:36].astype(int) - face[12:36, 12:36]).mean())
    assert 2 * min(errors) < max(errors)


def test_the_table_starts_with_uncorrupted_faces_and_is_repeatable(classifier):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 48, 48), dtype=np.uint8)
    # Labels that the model predicts correctly, except for the first ten.
    labels = classifier.predict(images).argmax(axis=1)
    labels[:10] = (labels[:10] + 1) % 7
    table = robustness_table(classifier, images, labels, seed=3)
    assert list(table.columns) == ["severity", *CORRUPTIONS]
    assert table["severity"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table.loc[0, list(CORRUPTIONS)].tolist() == pytest.approx([50 / 60] * len(CORRUPTIONS))
    assert table["noise"].iloc[5] < table["noise"].iloc[0]
    assert robustness_table(classifier, images, labels, seed=3).equals(table)
    assert not robustness_table(classifier, images, labels, seed=4).equals(table)


def test_means_leave_out_the_uncorrupted_faces():
    table = pd.DataFrame({"severity": [0, 1, 2], "noise": [1, 0.5, 0.3], "blur": [1, 0.9, 0.7]})
    assert mean_accuracies(table) == pytest.approx({"mean": 0.6, "noise": 0.4, "blur": 0.8})
