"""Networks that say of a face what they say of its mirror image, by their weights.

Half of each layer's channels look at the face, the other half are the same detectors mirrored
(Cohen and Welling, Group Equivariant Convolutional Networks, 2016, with the group of two). What
is trained has half the weights; `untied` writes them out for an ordinary network of the same
shape and cost.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops


def tied(network: keras.Model) -> keras.Model:
    """Build a network anew so that every channel has a mirrored twin.

    Parameters
    ----------
    network : keras.Model
        Of convolutions without bias in steps of one, batch normalisations, one dense layer, and
        layers that treat left and right alike. All channel counts but the input's are even.

    Returns
    -------
    keras.Model
        The same inputs and outputs, half the weights, new random values.
    """

    def build(layer: layers.Layer) -> layers.Layer:
        match layer:
            case layers.Conv2D():
                config = layer.get_config()
                return MirroredConvolution.from_config(config | {"filters": config["filters"] // 2})
            case layers.BatchNormalization():
                inner = type(layer).from_config(layer.get_config())
                return TiedNormalization(inner, dtype=layer.dtype_policy)
            case layers.Dense():
                return TiedDense.from_config(layer.get_config())
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(network, clone_function=build)


def untied(weights: Sequence[np.ndarray], network: keras.Model) -> list[np.ndarray]:
    """Write the weights of a tied network out for the one it was built from.

    Parameters
    ----------
    weights : sequence of float32
        In the order of `get_weights`.
    network : keras.Model
        The ordinary network.

    Returns
    -------
    list of float32
        For its `set_weights`.
    """
    written = []
    for weight, shape in zip(weights, (value.shape for value in network.weights), strict=True):
        if weight.shape == shape:
            written.append(weight)
        elif weight.ndim == 4:
            written.append(ops.convert_to_numpy(_with_twins(weight)))
        else:
            written.append(np.concatenate([weight, weight]))
    return written


def _with_twins(kernel):
    """Kernels [3, 3, in, out / 2] and their mirror images, [3, 3, in, out].

    A twin looks at the twins of what its original looks at; of the face there is only one.
    """
    mirrored = ops.flip(kernel, axis=1)
    if kernel.shape[2] > 1:
        one, other = ops.split(mirrored, 2, axis=2)
        mirrored = ops.concatenate([other, one], axis=2)
    return ops.concatenate([kernel, mirrored], axis=3)


class MirroredConvolution(layers.Conv2D):
    """Its `filters`, and then the twin of each."""

    def call(self, inputs):
        """Convolve [N, height, width, in] to [N, height, width, 2 · filters]."""
        return ops.conv(inputs, _with_twins(self.kernel), padding=self.padding)

    def compute_output_shape(self, input_shape):
        """Shape of what `call` gives."""
        *others, filters = super().compute_output_shape(input_shape)
        return (*others, 2 * filters)


class TiedNormalization(layers.Layer):
    """Batch normalisation that takes each channel and its twin for one."""

    def __init__(self, inner: layers.BatchNormalization, **settings):
        super().__init__(**settings)
        self.inner = inner

    def build(self, input_shape):
        """Make weights for half of the channels."""
        *others, channels = input_shape
        self.inner.build((*others, channels // 2))

    def call(self, inputs, training=None, mask=None):
        """Normalise [N, height, width, C] by the batch, or by the running statistics."""
        count, height, width, channels = ops.shape(inputs)
        # Twins lie side by side in memory as if they were two pixels of one channel.
        pixels = ops.reshape(inputs, (count, height, 2 * width, channels // 2))
        normalised = self.inner(pixels, training=training)
        return ops.reshape(normalised, (count, height, width, channels))


class TiedDense(layers.Dense):
    """A dense layer that gives each channel and its twin the same weight."""

    def build(self, input_shape):
        """Make weights for half of the channels."""
        *others, channels = input_shape
        super().build((*others, channels // 2))
        self.input_spec = None

    def call(self, inputs, training=None):
        """Map [N, C] to [N, units]."""
        one, other = ops.split(inputs, 2, axis=-1)
        return super().call(one + other, training=training)
