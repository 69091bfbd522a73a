"""Metrics of a classifier, computed from labels and probabilities.

N is the number of images and K the number of classes. `labels` and `predicted` are int [N] in
0 … K−1; `probabilities` are float [N, K] with rows that sum to 1.
"""

from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
)


def classification_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    duplicated: np.ndarray,
    names: tuple[str, ...],
) -> dict[str, Any]:
    """All metrics of one split.

    Parameters
    ----------
    labels : int [N]
        True classes; every class has at least one image.
    probabilities : float [N, K]
        The predicted class is the most probable one.
    duplicated : bool [N]
        True for train–test duplicates; `accuracy_deduplicated` leaves them out.
    names : K strings
        Names of the classes, for `recall` and `f1`.

    Returns
    -------
    dict
        `accuracy`, `accuracy_deduplicated`, `balanced_accuracy` (mean recall), `macro_f1`
        (mean F1), `min_recall` (lowest of a class), `recall` and `f1` by name, all in 0 … 1;
        `log_loss` in nats; `brier` in 0 … 2, the mean over images of Σₖ (pₖ − [label = k])²
        (Brier 1950); `ece` (see `expected_calibration_error`);
        `accuracy_answering_80`, the accuracy at 80 % coverage (see `accuracy_by_coverage`);
        `images` = N.
    """
    classes = np.arange(len(names))
    probabilities = _normalised(probabilities)
    predicted = probabilities.argmax(axis=1)
    _, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    return {
        "images": len(labels),
        "accuracy": accuracy_score(labels, predicted),
        "accuracy_deduplicated": accuracy_score(labels[~duplicated], predicted[~duplicated]),
        "balanced_accuracy": balanced_accuracy_score(labels, predicted),
        "macro_f1": f1.mean(),
        "min_recall": recall.min(),
        "log_loss": log_loss(labels, probabilities, labels=classes),
        "brier": brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False),
        "ece": expected_calibration_error(labels, probabilities),
        "accuracy_answering_80": _accuracy_at(0.8, labels, probabilities),
        "recall": dict(zip(names, recall, strict=True)),
        "f1": dict(zip(names, f1, strict=True)),
    }


def headline(public: dict[str, Any], split: dict[str, Any]) -> dict[str, float]:
    """The metrics that a table of experiments compares.

    Parameters
    ----------
    public, split : dict
        The metrics of PublicTest and of PrivateTest in evaluation.json.

    Returns
    -------
    dict
        `val_f1`, macro-F1 on PublicTest, which experiments are selected by. Of PrivateTest:
        `accuracy`; `margin`, half the width of its 95 % confidence interval; `f1` (macro-F1);
        `bal_acc` (balanced accuracy, the mean recall); `min_recall`; `log_loss`; `ece`. The names
        are short, because `dvc exp show` makes each a column.
    """
    return {
        "val_f1": public["macro_f1"],
        "accuracy": split["accuracy"],
        "margin": (split["accuracy_high"] - split["accuracy_low"]) / 2,
        "f1": split["macro_f1"],
        "bal_acc": split["balanced_accuracy"],
        "min_recall": split["min_recall"],
        "log_loss": split["log_loss"],
        "ece": split["ece"],
    }


def _accuracy_at(share: float, labels: np.ndarray, probabilities: np.ndarray) -> float:
    coverage, accuracy = accuracy_by_coverage(labels, probabilities)
    return float(accuracy[np.searchsorted(coverage, share - 1e-9)])


CALIBRATION_BINS = 15

LEAST = 1e-15
"""Probabilities below count as this, so that the log loss of an image is finite."""


def reliability(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group the images by confidence, the probability of the predicted class, in 15 equal bins.

    Bin b holds the confidences in (b / 15, (b + 1) / 15], as in Guo et al. 2017,
    "On Calibration of Modern Neural Networks".

    Returns
    -------
    confidence, accuracy : float [B]
        Means of each bin that has an image, B ≤ 15, by rising confidence.
    images : int [B]
        Number of images in each of these bins.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bin_of_image = _bin(confidence)
    images = np.bincount(bin_of_image, minlength=CALIBRATION_BINS)
    filled = images > 0
    images = images[filled]
    mean_confidence = np.bincount(bin_of_image, confidence, CALIBRATION_BINS)[filled] / images
    accuracy = np.bincount(bin_of_image, correct, CALIBRATION_BINS)[filled] / images
    return mean_confidence, accuracy, images


def _bin(confidence: np.ndarray) -> np.ndarray:
    inner_edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    return np.digitize(confidence, inner_edges, right=True)


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean absolute difference of confidence and accuracy, 0 … 1 (top label; Naeini et al. 2015).

    The mean is over the bins of `reliability`, weighted by their numbers of images.
    """
    confidence, accuracy, images = reliability(labels, probabilities)
    return float(np.abs(confidence - accuracy) @ images / images.sum())


def bootstrap_intervals(
    labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...], resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95 % confidence intervals by the percentile bootstrap (Efron 1979).

    A resample of N images, drawn with replacement, is a weight per image: how often it is drawn.
    Every metric of a resample is computed from weighted sums, so no image is copied. In a
    resample, a class that is not drawn has no recall, and one that is neither drawn nor predicted
    has no F1; the means of that resample leave it out.

    Returns
    -------
    dict
        (low, high) of `accuracy`, `macro_f1`, `balanced_accuracy`, `min_recall`, `log_loss`,
        `brier`, `ece`, and of `recall.NAME` and `f1.NAME` for each class.
    """
    classes = len(names)
    probabilities = _normalised(probabilities)
    predicted = probabilities.argmax(axis=1)
    generator = np.random.default_rng(seed)
    count = len(labels)
    # [R, N]: how often each resample draws each image.
    draws = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    draws = draws.astype(np.float32)

    cell = labels.astype(int) * classes + predicted
    confusion = (draws @ np.eye(classes**2, dtype=np.float32)[cell]).reshape(-1, classes, classes)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    actual, predictions = confusion.sum(axis=2), confusion.sum(axis=1)
    recall, f1 = _ratio(hits, actual), _ratio(2 * hits, actual + predictions)

    truth = np.eye(classes)[labels]
    confidence = probabilities.max(axis=1)
    surplus = np.zeros((count, CALIBRATION_BINS), np.float32)
    surplus[np.arange(count), _bin(confidence)] = confidence - (predicted == labels)
    resampled = {
        "accuracy": hits.sum(axis=1) / count,
        "macro_f1": np.nanmean(f1, axis=1),
        "balanced_accuracy": np.nanmean(recall, axis=1),
        "min_recall": np.nanmin(recall, axis=1),
        "log_loss": draws @ -np.log(probabilities[truth == 1].clip(LEAST)) / count,
        "brier": draws @ ((probabilities - truth) ** 2).sum(axis=1) / count,
        "ece": np.abs(draws @ surplus).sum(axis=1) / count,
        **{f"recall.{name}": recall[:, k] for k, name in enumerate(names)},
        **{f"f1.{name}": f1[:, k] for k, name in enumerate(names)},
    }
    intervals = {}
    for name, values in resampled.items():
        low, high = np.nanquantile(values, (0.025, 0.975))
        intervals[name] = float(low), float(high)
    return intervals


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Element by element; NaN where `whole` is 0."""
    return np.divide(part, whole, where=whole > 0, out=np.full(part.shape, np.nan))


def accuracy_by_coverage(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Selective prediction: the accuracy on the n images of highest confidence, for n = 1 … N.

    This is the risk–coverage curve (El-Yaniv and Wiener 2010) with accuracy = 1 − risk.

    Returns
    -------
    coverage, accuracy : float [N]
        The share n / N of the images, and the accuracy on these images.
    """
    by_confidence = np.argsort(-probabilities.max(axis=1), kind="stable")
    correct = (probabilities.argmax(axis=1) == labels)[by_confidence]
    selected = np.arange(1, len(labels) + 1)
    return selected / len(labels), correct.cumsum() / selected


def _normalised(probabilities: np.ndarray) -> np.ndarray:
    """As float64 with rows that sum to 1; the sums of float32 rows are off by about 1e-7."""
    probabilities = probabilities.astype(np.float64)
    return probabilities / probabilities.sum(axis=1, keepdims=True)
