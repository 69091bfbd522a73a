"""How good is a classifier: labels and probabilities in, figures out. Knows no file.

Everywhere below, N is the number of images and K the number of classes;
`labels` and `predicted` are integers 0 … K−1 of shape [N], `probabilities` is
float [N, K] with rows that sum to 1.
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


def classification_figures(
    labels: np.ndarray,
    probabilities: np.ndarray,
    duplicated: np.ndarray,
    names: tuple[str, ...],
) -> dict[str, Any]:
    """All figures of one split.

    Parameters
    ----------
    labels : int [N]
        True classes; every class has at least one image.
    probabilities : float [N, K]
        The model's answer; the predicted class is the most probable one.
    duplicated : bool [N]
        Images that also stood in the training data; `accuracy_deduplicated` leaves them out.
    names : K strings
        Names of the classes, for `recall` and `f1`.

    Returns
    -------
    dict
        `accuracy`, `accuracy_deduplicated`, `balanced_accuracy` (mean recall), `macro_f1`
        (mean F1), `min_recall` (of the worst class), `recall` and `f1` by name, all in 0 … 1;
        `log_loss` in nats; `brier` in 0 … 2, the mean over images of Σₖ (pₖ − [label = k])²
        (Brier 1950); `ece` (see `expected_calibration_error`);
        `accuracy_answering_80` where the least sure fifth is declined; `images` = N.
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


def _accuracy_at(share: float, labels: np.ndarray, probabilities: np.ndarray) -> float:
    coverage, accuracy = accuracy_when_abstaining(labels, probabilities)
    return float(accuracy[np.searchsorted(coverage, share - 1e-9)])


CALIBRATION_BINS = 15

LEAST = 1e-15
"""No probability counts as less, or one image's log loss would be infinite."""


def reliability(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group the images by the probability of the predicted class, in 15 bins of equal width.

    Bin b holds the confidences in (b / 15, (b + 1) / 15], as in Guo et al. 2017,
    "On Calibration of Modern Neural Networks".

    Returns
    -------
    confidence, accuracy : float [B]
        Means of each bin that has an image, B ≤ 15, by rising confidence.
    images : int [B]
        Images in it.
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
    """Mean distance between confidence and accuracy, 0 … 1 (Naeini et al. 2015; top label).

    The bins of `reliability`, each weighted by its share of the images.
    """
    confidence, accuracy, images = reliability(labels, probabilities)
    return float(np.abs(confidence - accuracy) @ images / images.sum())


def bootstrap_intervals(
    labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...], resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95 % percentile-bootstrap intervals (Efron 1979) of the figures that count.

    Drawing N images with replacement means to weight each by how often it is drawn, so every
    figure of a resample follows from weighted sums and no image is copied. A class that is
    neither drawn nor predicted has no F1, one that is not drawn no recall: it is left out of
    that resample's mean.

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
    actual, said = confusion.sum(axis=2), confusion.sum(axis=1)
    recall, f1 = _ratio(hits, actual), _ratio(2 * hits, actual + said)

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
    """Element by element; NaN where the whole is nothing."""
    return np.divide(part, whole, where=whole > 0, out=np.full(part.shape, np.nan))


def accuracy_when_abstaining(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy on the surest images, for every number of them.

    The risk–coverage curve of El-Yaniv and Wiener 2010, with accuracy = 1 − risk; images are
    declined by the probability of the predicted class, least sure first.

    Returns
    -------
    coverage, accuracy : float [N]
        Share of the images that are answered, 1 / N … 1, and how many of those are right.
    """
    surest_first = np.argsort(-probabilities.max(axis=1), kind="stable")
    correct = (probabilities.argmax(axis=1) == labels)[surest_first]
    answered = np.arange(1, len(labels) + 1)
    return answered / len(labels), correct.cumsum() / answered


def _normalised(probabilities: np.ndarray) -> np.ndarray:
    """As float64 with rows that sum to 1; float32 rows miss that by some 1e-7."""
    probabilities = probabilities.astype(np.float64)
    return probabilities / probabilities.sum(axis=1, keepdims=True)
