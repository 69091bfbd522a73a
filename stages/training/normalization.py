"""Batch normalisation in one TensorFlow operation, for training in bfloat16."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers


def fused(network: keras.Model) -> keras.Model:
    """Rebuild a network with `FusedBatchNormalization`.

    Returns
    -------
    keras.Model
        New random weights in the order and shapes of those of `network`.
    """

    def build(layer: layers.Layer) -> layers.Layer:
        kind = type(layer)
        # Some networks of keras.applications normalise without scales, which the operation needs.
        if kind is layers.BatchNormalization and layer.scale and layer.center:
            kind = FusedBatchNormalization
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(network, clone_function=build, recursive=True)


class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation whose training step is one TensorFlow operation.

    Keras's layer casts to float32 and reads the activations a dozen times. This layer reads and
    writes them once in their own type; its statistics are float32. Only training uses it: a saved
    network has Keras's layer.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise [N, height, width, C] by the batch, or by the running statistics."""
        # A frozen layer uses and keeps its running statistics, as Keras's layer does.
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon
        )
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.assign(self.momentum * running + (1 - self.momentum) * batch)
        return outputs
