"""Losses and class weights against their formulas."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from stages.parameters import CrossEntropy, Focal, LogitAdjusted
from stages.training.losses import build_loss, class_weights, sample_weights

FER2013 = np.array([3995, 436, 4097, 7215, 4830, 3171, 4965])
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (50, 7)).astype(np.float32)
HARD = np.eye(7, dtype=np.float32)[RNG.integers(0, 7, 50)]
SOFT = RNG.dirichlet(np.ones(7), 50).astype(np.float32)

names = st.sampled_from(["none", "balanced", "square_root", "effective_number"])
class_counts = st.lists(st.integers(1, 100_000), min_size=2, max_size=10).map(np.array)


def value(loss, targets, weights=None) -> float:
    return float(build_loss(loss, FER2013)(targets, LOGITS, sample_weight=weights))


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("targets", [HARD, SOFT])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_its_formula(targets, smoothing):
    smoothed = targets * (1 - smoothing) + smoothing / 7
    expected = -(smoothed * log_softmax(LOGITS, axis=1)).sum(axis=1).mean()
    loss = CrossEntropy(name="cross_entropy", label_smoothing=smoothing)
    assert value(loss, targets) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("targets", [HARD, SOFT])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_is_its_formula(targets, gamma):
    scores = log_softmax(LOGITS, axis=1)
    smoothed = targets * 0.9 + 0.1 / 7
    expected = -(smoothed * (1 - np.exp(scores)) ** gamma * scores).sum(axis=1).mean()
    loss = Focal(name="focal", gamma=gamma, label_smoothing=0.1)
    assert value(loss, targets) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_with_gamma_0_is_cross_entropy(smoothing):
    focal = Focal(name="focal", gamma=0, label_smoothing=smoothing)
    plain = CrossEntropy(name="cross_entropy", label_smoothing=smoothing)
    assert value(focal, SOFT) == pytest.approx(value(plain, SOFT), rel=1e-5)


def test_focal_lowers_the_loss_of_confident_correct_predictions():
    known = np.array([[9.0, 0, 0, 0, 0, 0, 0]], np.float32)
    target = np.eye(7, dtype=np.float32)[:1]
    losses = [
        float(
            build_loss(Focal(name="focal", gamma=gamma, label_smoothing=0), FER2013)(target, known)
        )
        for gamma in (0, 1, 2)
    ]
    assert losses[0] > 100 * losses[1] > 10_000 * losses[2] > 0


@pytest.mark.parametrize("targets", [HARD, SOFT])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_logit_adjustment_is_its_formula(targets, strength):
    adjusted = LOGITS + strength * np.log(FER2013 / FER2013.sum())
    smoothed = targets * 0.9 + 0.1 / 7
    expected = -(smoothed * log_softmax(adjusted, axis=1)).sum(axis=1).mean()
    loss = LogitAdjusted(name="logit_adjusted", label_smoothing=0.1, strength=strength)
    assert value(loss, targets) == pytest.approx(expected, rel=1e-5)


def test_logit_adjustment_of_no_strength_is_cross_entropy():
    adjusted = LogitAdjusted(name="logit_adjusted", label_smoothing=0.1, strength=0)
    plain = CrossEntropy(name="cross_entropy", label_smoothing=0.1)
    assert value(adjusted, SOFT) == pytest.approx(value(plain, SOFT), rel=1e-5)


def test_a_weight_counts_an_image_that_much_more():
    loss = CrossEntropy(name="cross_entropy", label_smoothing=0)
    each = -(HARD * log_softmax(LOGITS, axis=1)).sum(axis=1)
    weights = RNG.uniform(0, 3, 50).astype(np.float32)
    assert value(loss, HARD, weights) == pytest.approx((each * weights).mean(), rel=1e-5)


def test_a_batch_of_one_has_a_gradient_through_the_loss():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(7)])
    model.compile("sgd", build_loss(Focal(name="focal", gamma=2, label_smoothing=0.1), FER2013))
    before = model.get_weights()
    model.train_on_batch(np.ones((1, 3), np.float32), HARD[:1])
    assert not np.array_equal(before[0], model.get_weights()[0])


# ---------------------------------------------------------------- class weights


@given(names, class_counts)
def test_the_weights_of_all_images_average_to_1(name, counts):
    weights = class_weights(name, counts)
    assert weights.dtype == np.float32
    assert (weights > 0).all()
    assert (weights @ counts) / counts.sum() == pytest.approx(1, rel=1e-4)


@given(names, class_counts)
def test_a_rarer_class_never_weighs_less(name, counts):
    weights = class_weights(name, counts)
    in_order = weights[np.argsort(counts, kind="stable")]
    assert (np.diff(in_order) <= 1e-6 * in_order[:-1]).all()


@given(names, st.integers(1, 10_000))
def test_equal_classes_weigh_1(name, count):
    assert class_weights(name, np.full(7, count)) == pytest.approx(np.ones(7), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("none", 1),
        ("balanced", 7215 / 436),
        ("square_root", np.sqrt(7215 / 436)),
        ("effective_number", (1 - 0.9999**7215) / (1 - 0.9999**436)),
    ],
)
def test_disgust_over_happy_in_fer2013(name, ratio):
    weights = class_weights(name, FER2013)
    assert weights[1] / weights[3] == pytest.approx(ratio, rel=1e-5)


def test_balanced_gives_every_class_the_same_sum():
    sums = class_weights("balanced", FER2013) * FER2013
    assert sums == pytest.approx(np.full(7, FER2013.sum() / 7), rel=1e-5)


# ---------------------------------------------------------------- weights of corrected faces


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.floats(0.01, 100))
def test_a_corrected_image_weighs_that_much_more_and_the_mean_is_1(corrected, weight):
    weights = sample_weights(np.array(corrected), weight)
    if weight == 1:
        assert weights is None
        return
    assert weights.mean() == pytest.approx(1, rel=1e-4)
    if len(set(corrected)) == 2:
        of_corrected, others = (weights[np.array(corrected) == flag] for flag in (True, False))
        assert of_corrected / others[0] == pytest.approx(
            np.full(len(of_corrected), weight), rel=1e-4
        )


def test_without_corrections_no_image_has_a_weight_of_its_own():
    assert sample_weights(None, 5) is None
    assert sample_weights(np.array([True, False]), 1) is None
