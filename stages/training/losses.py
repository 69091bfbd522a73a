"""Losses by name, and the weights of the classes in them."""

from typing import Any

import keras
import numpy as np

from stages import parameters


def build_loss(loss: parameters.Loss, counts: np.ndarray) -> keras.losses.Loss:
    """Build a loss of one-hot or soft targets [N, C] and logits [N, C].

    Parameters
    ----------
    loss : parameters.Loss
    counts : int [C]
        Training images of each class, all above 0.
    """
    match loss:
        case parameters.CrossEntropy():
            return keras.losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=loss.label_smoothing
            )
        case parameters.Focal():
            # α = 1: the class weights balance the classes.
            return keras.losses.CategoricalFocalCrossentropy(
                alpha=1.0, gamma=loss.gamma, from_logits=True, label_smoothing=loss.label_smoothing
            )
        case parameters.LogitAdjusted():
            shift = loss.strength * np.log(counts / counts.sum())
            return LogitAdjusted(shift.astype(np.float32), loss.label_smoothing)


class LogitAdjusted(keras.losses.CategoricalCrossentropy):
    """Cross-entropy of the logits plus `shift` [C], a multiple of the classes' log frequency.

    The network is served without the shift, which favours rare classes (Menon et al.,
    Long-tail Learning via Logit Adjustment, 2021).
    """

    def __init__(self, shift: np.ndarray, label_smoothing: float):
        super().__init__(from_logits=True, label_smoothing=label_smoothing)
        self.shift = shift

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss [N] of targets and logits, both [N, C]."""
        return super().call(y_true, y_pred + self.shift)


def sample_weights(corrected: np.ndarray | None, corrected_weight: float) -> np.ndarray | None:
    """Weight of each image in the loss; they average to 1.

    Parameters
    ----------
    corrected : bool [N] or None
        Whether a person has corrected the label.
    corrected_weight : float
        Weight of these images over that of the others.

    Returns
    -------
    float32 [N], or None where all are 1.
    """
    if corrected is None or corrected_weight == 1:
        return None
    weights = np.where(corrected, corrected_weight, 1.0)
    return (weights / weights.mean()).astype(np.float32)


def class_weights(name: str, counts: np.ndarray) -> np.ndarray:
    """Weight of each class in the loss; the weights of all images average to 1.

    Parameters
    ----------
    name : {"none", "balanced", "square_root", "effective_number"}
        `balanced` is 1 / count, `square_root` its root, `effective_number`
        (1 - β) / (1 - β^count) with β = 0.9999 (Cui et al. 2019).
    counts : int [C]
        Training images of each class, all above 0.

    Returns
    -------
    float32 [C].
    """
    counts = np.asarray(counts, float)
    weights = {
        "none": np.ones_like(counts),
        "balanced": 1 / counts,
        "square_root": 1 / np.sqrt(counts),
        "effective_number": (1 - 0.9999) / (1 - 0.9999**counts),
    }[name]
    return (weights * counts.sum() / (weights @ counts)).astype(np.float32)
