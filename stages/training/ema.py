"""Exponential moving average (EMA) of a network's weights."""

import keras
import numpy as np


class ModelEma:
    """Exponential moving average of all weights, batch normalisation's statistics included.

    The decay rises from 0.1 to `decay` over the first steps, as (1 + t) / (10 + t), so that the
    random initial weights soon count for little.

    Attributes
    ----------
    decay : float
        0 … 1; 0 turns the average off.
    weights : list of float32 arrays
        In the order of `get_weights`; empty before the first step.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.weights: list[np.ndarray] = []

    def update(self, network: keras.Model) -> None:
        """Add the network's weights after a step to the average."""
        if not self.decay:
            return
        weights = network.get_weights()
        if not self.weights:
            self.weights = weights
        step = int(network.optimizer.iterations)
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for mean, weight in zip(self.weights, weights, strict=True):
            mean += np.float32(share) * (weight - mean)

    def of(self, network: keras.Model) -> list[np.ndarray]:
        """Return the averaged weights, or the network's own where averaging is off."""
        return self.weights or network.get_weights()
