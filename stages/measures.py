"""How good is a classifier: labels and probabilities in, figures out. Knows no file.

Everywhere below, N is the number of images and K the number of classes;
`labels` and `predicted` are integers 0 … K−1 of shape [N], `probabilities` is
float [N, K] with rows that sum to 1.
"""

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)


def classification_figures(
    labels: np.ndarray,
    probabilities: np.ndarray,
    duplicated: np.ndarray,
    names: tuple[str, ...],
    resamples: int,
    seed: int,
) -> dict:
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
    resamples, seed : int
        Of the bootstrap behind `accuracy_low` … `macro_f1_high`.

    Returns
    -------
    dict
        `accuracy`, `accuracy_deduplicated`, `balanced_accuracy` (mean recall), `macro_f1`
        (mean F1), `min_recall` (of the worst class), `recall` and `f1` by name, all in 0 … 1;
        `log_loss` in nats; `brier` in 0 … 2, the mean over images of Σₖ (pₖ − [label = k])²
        (Brier 1950); `ece` (see `expected_calibration_error`); the 95 % intervals; `images` = N.
    """
    classes = np.arange(len(names))
    probabilities = probabilities.astype(np.float64)
    # float32 rows miss a sum of 1 by some 1e-7.
    probabilities /= probabilities.sum(axis=1, keepdims=True)
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
        "recall": dict(zip(names, recall, strict=True)),
        "f1": dict(zip(names, f1, strict=True)),
        **bootstrap_intervals(labels, predicted, len(names), resamples, seed),
    }


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group the images by the probability of the predicted class, in bins of equal width.

    Bin b holds the confidences in (b / bins, (b + 1) / bins], as in Guo et al. 2017,
    "On Calibration of Modern Neural Networks".

    Returns
    -------
    confidence, accuracy : float [B]
        Means of each bin that has an image, B ≤ bins, by rising confidence.
    images : int [B]
        Images in it.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    inner_edges = np.arange(1, bins) / bins
    bin_of_image = np.digitize(confidence, inner_edges, right=True)
    images = np.bincount(bin_of_image, minlength=bins)
    filled = images > 0
    images = images[filled]
    mean_confidence = np.bincount(bin_of_image, confidence, bins)[filled] / images
    accuracy = np.bincount(bin_of_image, correct, bins)[filled] / images
    return mean_confidence, accuracy, images


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = 15
) -> float:
    """Mean distance between confidence and accuracy, 0 … 1 (Naeini et al. 2015; top label).

    The bins of `reliability`, each weighted by its share of the images.
    """
    confidence, accuracy, images = reliability(labels, probabilities, bins)
    return float(np.abs(confidence - accuracy) @ images / images.sum())


def bootstrap_intervals(
    labels: np.ndarray, predicted: np.ndarray, classes: int, resamples: int, seed: int
) -> dict[str, float]:
    """95 % percentile-bootstrap intervals (Efron 1979) of accuracy and macro-F1.

    Drawing N images with replacement fills the K × K cells of the confusion matrix like one
    draw from a multinomial distribution, so no image is ever indexed. A class that is neither
    drawn nor predicted has no F1 and is left out of that resample's mean.

    Returns
    -------
    dict
        `accuracy_low`, `accuracy_high`, `macro_f1_low`, `macro_f1_high`.
    """
    cells = confusion_matrix(labels, predicted, labels=np.arange(classes)).ravel()
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(cells.sum(), cells / cells.sum(), size=resamples)
    drawn = drawn.reshape(resamples, classes, classes)
    hits = np.diagonal(drawn, axis1=1, axis2=2)
    # F1 = 2 TP / (2 TP + FP + FN): the denominator is the row's plus the column's sum.
    mentions = drawn.sum(axis=1) + drawn.sum(axis=2)
    f1 = np.divide(2 * hits, mentions, where=mentions > 0, out=np.full(hits.shape, np.nan))
    resampled = {
        "accuracy": hits.sum(axis=1) / cells.sum(),
        "macro_f1": np.nanmean(f1, axis=1),
    }
    return {
        f"{name}_{end}": float(np.quantile(values, quantile))
        for name, values in resampled.items()
        for end, quantile in (("low", 0.025), ("high", 0.975))
    }
