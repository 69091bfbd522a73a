"""Metrics against cases computed by hand, properties and other ways to compute them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dataset.fer2013 import EMOTIONS
from stages.evaluation.metrics import (
    accuracy_by_coverage,
    bootstrap_intervals,
    classification_metrics,
    expected_calibration_error,
    reliability,
)

SHARES = (
    "accuracy",
    "accuracy_deduplicated",
    "accuracy_answering_80",
    "balanced_accuracy",
    "macro_f1",
    "min_recall",
    "ece",
)


def random_split(seed: int, images: int, skill: float = 2.0):
    """Labels of every class, probabilities float32, and some train–test duplicates."""
    generator = np.random.default_rng(seed)
    labels = np.append(np.arange(7), generator.integers(0, 7, images)).astype(np.uint8)
    logits = generator.normal(size=(len(labels), 7)) + skill * np.eye(7)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    duplicated = np.arange(len(labels)) % 5 == 1
    return labels, probabilities.astype(np.float32), duplicated


def metrics_of(labels, probabilities, duplicated, names=EMOTIONS):
    return classification_metrics(labels, probabilities, duplicated, names)


def test_a_case_computed_by_hand():
    labels = np.array([0, 0, 1, 2], dtype=np.uint8)
    probabilities = np.array(
        [[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]], dtype=np.float32
    )
    duplicated = np.array([False, True, False, False])
    metrics = metrics_of(labels, probabilities, duplicated, names=("a", "b", "c"))
    assert metrics["images"] == 4
    assert metrics["accuracy"] == 0.75
    assert metrics["accuracy_deduplicated"] == 1.0
    assert metrics["recall"] == {"a": 0.5, "b": 1.0, "c": 1.0}
    assert metrics["f1"] == pytest.approx({"a": 2 / 3, "b": 2 / 3, "c": 1.0})
    assert metrics["balanced_accuracy"] == pytest.approx(2.5 / 3)
    assert metrics["macro_f1"] == pytest.approx(7 / 9)
    assert metrics["min_recall"] == 0.5
    assert metrics["log_loss"] == pytest.approx(-np.log([0.7, 0.2, 0.8, 0.4]).mean())
    assert metrics["brier"] == pytest.approx((0.14 + 0.98 + 0.06 + 0.54) / 4)
    assert metrics["ece"] == pytest.approx((0.3 + 0.5 + 0.2 + 0.6) / 4)


def test_perfect_predictions_get_perfect_metrics():
    labels, _, duplicated = random_split(seed=1, images=50)
    metrics = metrics_of(labels, np.eye(7, dtype=np.float32)[labels], duplicated)
    for name in set(SHARES) - {"ece"}:
        assert metrics[name] == 1, name
    for name in ("ece", "log_loss", "brier"):
        assert metrics[name] == pytest.approx(0, abs=1e-9), name


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(10, 300), st.floats(-3, 6))
def test_metrics_keep_their_bounds(seed, images, skill):
    metrics = metrics_of(*random_split(seed, images, skill))
    for name in SHARES:
        assert 0 <= metrics[name] <= 1, name
    assert 0 <= metrics["brier"] <= 2
    assert metrics["log_loss"] >= 0
    assert metrics["min_recall"] <= metrics["balanced_accuracy"]
    assert metrics["min_recall"] == min(metrics["recall"].values())
    assert metrics["macro_f1"] == pytest.approx(np.mean(list(metrics["f1"].values())))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(10, 300))
def test_the_order_of_images_does_not_matter(seed, images):
    split = random_split(seed, images)
    order = np.random.default_rng(seed).permutation(len(split[0]))
    expected, shuffled = metrics_of(*split), metrics_of(*(column[order] for column in split))
    assert shuffled.pop("recall") == pytest.approx(expected.pop("recall"))
    assert shuffled.pop("f1") == pytest.approx(expected.pop("f1"))
    assert shuffled == pytest.approx(expected)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(10, 300))
def test_the_numbering_of_classes_does_not_matter(seed, images):
    labels, probabilities, duplicated = random_split(seed, images)
    order = np.random.default_rng(seed).permutation(7)
    renumbered = metrics_of(
        np.argsort(order)[labels],
        probabilities[:, order],
        duplicated,
        names=tuple(EMOTIONS[k] for k in order),
    )
    expected = metrics_of(labels, probabilities, duplicated)
    assert renumbered["recall"] == pytest.approx(expected["recall"])
    for name in ("accuracy", "macro_f1", "log_loss", "brier", "ece"):
        assert renumbered[name] == pytest.approx(expected[name]), name


def test_calibration_error_is_low_if_calibrated_and_high_if_overconfident():
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.full(7, 0.5), size=100_000)
    # Labels drawn from the predicted probabilities.
    labels = (probabilities.cumsum(axis=1) < generator.random((100_000, 1))).sum(axis=1)
    assert expected_calibration_error(labels, probabilities) < 0.01
    sharpened = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert expected_calibration_error(labels, sharpened) > 0.1


def test_reliability_places_every_image_in_one_bin():
    # Confidences 1 (top edge), 0.5 (no edge of 15 bins), 2/3 (an inner edge, belongs below it).
    probabilities = np.array([[1, 0], [0.5, 0.5], [2 / 3, 1 / 3], [0.65, 0.35]])
    confidence, accuracy, images = reliability(np.array([0, 1, 0, 1]), probabilities)
    assert images.tolist() == [1, 2, 1]
    assert confidence == pytest.approx([0.5, (2 / 3 + 0.65) / 2, 1])
    assert accuracy == pytest.approx([0, 0.5, 1])


def test_bootstrap_is_reproducible_and_follows_its_seed():
    labels, probabilities, _ = random_split(seed=4, images=500)
    first = bootstrap_intervals(labels, probabilities, EMOTIONS, 1000, seed=0)
    assert bootstrap_intervals(labels, probabilities, EMOTIONS, 1000, seed=0) == first
    assert bootstrap_intervals(labels, probabilities, EMOTIONS, 1000, seed=1) != first


def test_bootstrap_agrees_with_drawing_the_images_themselves():
    split = random_split(seed=5, images=400)
    intervals = bootstrap_intervals(split[0], split[1], EMOTIONS, 4000, seed=0)
    generator = np.random.default_rng(6)
    draws = generator.integers(0, len(split[0]), (600, len(split[0])))
    drawn = [metrics_of(*(column[draw] for column in split)) for draw in draws]
    for name, ends in intervals.items():
        group, _, emotion = name.partition(".")
        values = [metrics[group][emotion] if emotion else metrics[group] for metrics in drawn]
        assert ends == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.02), name


def test_bootstrap_leaves_out_a_class_that_was_not_drawn():
    labels = np.append(np.zeros(10, dtype=int), 1)
    intervals = bootstrap_intervals(labels, np.eye(2)[labels], ("a", "b"), 500, seed=0)
    shares = {ends for name, ends in intervals.items() if name not in ("log_loss", "brier", "ece")}
    assert shares == {(1.0, 1.0)}


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(10, 300))
def test_the_interval_holds_the_accuracy(seed, images):
    split = random_split(seed, images)
    low, high = bootstrap_intervals(split[0], split[1], EMOTIONS, 300, seed=0)["accuracy"]
    assert low <= metrics_of(*split)["accuracy"] <= high


def test_coverage_is_filled_in_the_order_of_confidence():
    labels = np.array([0, 0, 0, 0, 0])
    sure = np.array([0.9, 0.6, 0.8, 0.7, 0.95])
    right = np.array([True, False, True, False, True])
    probabilities = np.where(right[:, None], np.c_[sure, 1 - sure], np.c_[1 - sure, sure])
    coverage, accuracy = accuracy_by_coverage(labels, probabilities)
    assert coverage == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert accuracy == pytest.approx([1, 1, 1, 3 / 4, 3 / 5])
    metrics = metrics_of(*random_split(seed=7, images=93))
    assert metrics["accuracy_answering_80"] > metrics["accuracy"]
