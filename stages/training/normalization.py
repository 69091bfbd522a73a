"""Batch normalisation at the speed of the backend's own operation."""

import keras
from keras import layers


def fused(network: keras.Model) -> keras.Model:
    """Build a network anew with every batch normalisation in one operation.

    Its weights are new random ones, and have the same order and shapes as before.
    """

    def build(layer: layers.Layer) -> layers.Layer:
        kind = type(layer)
        kind = FusedBatchNormalization if kind is layers.BatchNormalization else kind
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(network, clone_function=build, recursive=True)


class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation that trains in one operation where the backend is TensorFlow.

    Keras's own casts to float32 and goes over the activations a dozen times. This one reads and
    writes them once in the type they have; its statistics are float32 all the same. It serves
    training alone: a network that is saved has Keras's own.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise [N, height, width, C] by the batch, or by the running statistics."""
        if not training or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon
        )
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.assign(self.momentum * running + (1 - self.momentum) * batch)
        return outputs
