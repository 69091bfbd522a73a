"""Batch normalisation in one operation does what Keras's own does."""

import keras
import numpy as np
import pytest
from keras import layers

from stages.training.normalization import FusedBatchNormalization, fused

RNG = np.random.default_rng(0)
INPUTS = RNG.normal([[[3, -2, 0, 40]]], [[[1, 5, 0.1, 20]]], (64, 6, 5, 4)).astype(np.float32)


def normalised(kind, dtype: str) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """A step's outputs, the gradient of a loss by its inputs, and the weights afterwards."""
    import tensorflow as tf

    layer = kind(momentum=0.9, dtype=dtype)
    layer.build(INPUTS.shape)
    layer.gamma.assign([1, 2, 0.5, 1])
    layer.beta.assign([0, 1, -1, 3])
    inputs = tf.Variable(INPUTS)
    with tf.GradientTape() as tape:
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(tf.sin(tf.cast(outputs, tf.float32)))
    slope = tape.gradient(loss, inputs)
    return np.float32(outputs), np.float32(slope), layer.get_weights()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 0.05)])
def test_outputs_slopes_and_statistics_are_those_of_keras(dtype, tolerance):
    ours, theirs = (
        normalised(kind, dtype) for kind in (FusedBatchNormalization, layers.BatchNormalization)
    )
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        assert one == pytest.approx(other, abs=tolerance, rel=tolerance)
    for one, other in zip(ours[2], theirs[2], strict=True):
        # The variance is divided by n - 1 instead of n.
        assert one == pytest.approx(other, rel=2e-3, abs=1e-3)


def test_it_judges_by_the_running_statistics():
    layer = FusedBatchNormalization()
    layer.build(INPUTS.shape)
    layer.moving_mean.assign([3, -2, 0, 40])
    layer.moving_variance.assign([1, 25, 0.01, 400])
    # Keras adds 0.001 to each variance.
    expected = (INPUTS - [3, -2, 0, 40]) / np.sqrt(np.array([1, 25, 0.01, 400]) + 1e-3)
    assert np.float32(layer(INPUTS, training=False)) == pytest.approx(expected, abs=1e-3)


def test_every_normalisation_of_a_network_is_replaced():
    faces = keras.Input((None, None, 1))
    inner = keras.Sequential([layers.Conv2D(4, 3), layers.BatchNormalization(momentum=0.8)])
    network = keras.Model(faces, layers.BatchNormalization(name="last")(inner(faces)))
    built = fused(network)
    kinds = [layer for layer in built._flatten_layers() if "BatchNorm" in type(layer).__name__]
    assert [type(layer) for layer in kinds] == 2 * [FusedBatchNormalization]
    assert sorted(layer.momentum for layer in kinds) == [0.8, 0.99]
    assert built.get_layer("last").momentum == 0.99
    shapes = [weight.shape for weight in network.get_weights()]
    assert [weight.shape for weight in built.get_weights()] == shapes
