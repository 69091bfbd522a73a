"""The tables and the picture that `dvc plots show` draws of one split.

N images, K classes; `labels` uint8 [N], `probabilities` float [N, K].
"""

import itertools
import math

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support, roc_curve

from stages.evaluation.metrics import accuracy_by_coverage, reliability

GRID = np.linspace(0, 1, 101)
"""Abscissas of the curves: the same for all models, so that two files compare row by row."""


def plot_tables(
    labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...]
) -> dict[str, pd.DataFrame]:
    """All tables of one split, by the names of their CSV files."""
    return {
        "confusion": confusion_table(labels, probabilities, names),
        "per_class": per_class_table(labels, probabilities, names),
        "reliability": reliability_table(labels, probabilities),
        "roc": roc_table(labels, probabilities, names),
        "precision_recall": precision_recall_table(labels, probabilities, names),
        "abstention": selective_prediction_table(labels, probabilities),
    }


def confusion_table(
    labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...]
) -> pd.DataFrame:
    """One row per image, in order: names of the `actual` and the `predicted` class.

    `actual_index` and `predicted_index` are their places in `names`, in whose order the plot shows
    both axes.
    """
    named, predicted = np.array(names), probabilities.argmax(axis=1)
    return pd.DataFrame(
        {
            "actual": named[labels],
            "predicted": named[predicted],
            "actual_index": labels,
            "predicted_index": predicted,
        }
    )


def per_class_table(
    labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...]
) -> pd.DataFrame:
    """One row per class: `emotion`, `recall`, `precision`, `f1`, `images` (of that label)."""
    precision, recall, f1, images = precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=np.arange(len(names)), zero_division=0
    )
    return pd.DataFrame(
        {"emotion": names, "recall": recall, "precision": precision, "f1": f1, "images": images}
    )


def reliability_table(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """One row per bin that has an image: `confidence`, `accuracy`, `ideal`, `images`.

    `ideal` is the accuracy of a perfectly calibrated model, which equals the confidence.
    """
    confidence, accuracy, images = reliability(labels, probabilities)
    return pd.DataFrame(
        {"confidence": confidence, "accuracy": accuracy, "ideal": confidence, "images": images}
    )


def roc_table(
    labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...]
) -> pd.DataFrame:
    """One row per false positive rate (`fpr`), one column of true positive rates per class.

    One class against all others, interpolated linearly.
    """
    columns = {"fpr": GRID}
    for k, name in enumerate(names):
        fpr, tpr, _ = roc_curve(labels == k, probabilities[:, k])
        columns[name] = np.interp(GRID, fpr, tpr)
    return pd.DataFrame(columns)


def precision_recall_table(
    labels: np.ndarray, probabilities: np.ndarray, names: tuple[str, ...]
) -> pd.DataFrame:
    """One row per `recall`, one column of precisions per class, one class against all others.

    The precision at a recall is the best one of any threshold with at least that recall
    (interpolated precision; Manning, Raghavan and Schütze 2008, section 8.4). A straight line
    between two points of the curve would be too optimistic.
    """
    columns = {"recall": GRID}
    for k, name in enumerate(names):
        precision, recall, _ = precision_recall_curve(labels == k, probabilities[:, k])
        # By falling recall; the last point (recall 0, precision 1) has no threshold.
        precision, recall = precision[:-1], recall[:-1]
        best = np.maximum.accumulate(precision)
        # Negated, because searchsorted needs rising values.
        reaches = np.searchsorted(-recall, -GRID, side="right") - 1
        columns[name] = best[reaches]
    return pd.DataFrame(columns)


def selective_prediction_table(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """One row per `coverage` from 0.05 up: the `accuracy` on the most confident predictions."""
    coverage, accuracy = accuracy_by_coverage(labels, probabilities)
    shares = GRID[5:]
    # 0.05 has no exact binary form: without the tolerance, the row would be one too high.
    row = np.searchsorted(coverage, shares - 1e-9).clip(max=len(coverage) - 1)
    return pd.DataFrame({"coverage": shares, "accuracy": accuracy[row]})


def mistakes_picture(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: tuple[str, ...],
    rows: int = 4,
    columns: int = 8,
) -> np.ndarray:
    """Draw the wrong predictions of highest confidence, in falling order.

    Above each face stand the predicted class, its probability, and the label.

    Parameters
    ----------
    images : uint8 [N, 48, 48]
        Grey faces.
    rows, columns : int
        At most rows · columns faces are shown.

    Returns
    -------
    uint8 [H, W]
        A grey picture.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][: rows * columns]
    rows = max(1, math.ceil(len(shown) / columns))

    figure = Figure(figsize=(1.25 * columns, 1.6 * rows + 0.5), dpi=100, layout="constrained")
    several = f"The {len(shown)} most confident of {len(wrong)} mistakes"
    which = {0: "No mistake", 1: "The only mistake"}.get(len(wrong), several)
    figure.suptitle(f"{which} in {len(labels)} images: prediction, its probability, label")
    # The caption of a name with 13 letters is as wide as a face.
    size = 8 * min(1, 18 / (5 + max(map(len, names))))
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for i, panel in itertools.zip_longest(shown, panels):
        panel.axis("off")
        if i is None:
            continue
        panel.imshow(images[i], cmap="gray", vmin=0, vmax=255)
        prediction, label = names[predicted[i]], names[labels[i]]
        panel.set_title(f"{prediction} {confidence[i]:.2f}\nlabel {label}", fontsize=size)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, 0].copy()
