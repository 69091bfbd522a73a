"""Mirror-equivariant networks: a face and its mirror image get the same logits, by construction.

Half of each layer's channels are computed with the trained kernels, the other half with the same
kernels mirrored: a group-equivariant network (Cohen and Welling, Group Equivariant Convolutional
Networks, 2016) for the group of two, identity and reflection. Training sees half the weights.
`ordinary_weights` expands them for an ordinary network of the same shape and cost.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops


def mirror_equivariant(network: keras.Model) -> keras.Model:
    """Rebuild a network from mirror-equivariant layers.

    Parameters
    ----------
    network : keras.Model
        Convolutions without bias and with stride 1, batch normalisations, one dense layer, and
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
                return MirrorConvolution.from_config(config | {"filters": config["filters"] // 2})
            case layers.BatchNormalization():
                inner = type(layer).from_config(layer.get_config())
                return MirrorBatchNormalization(inner, dtype=layer.dtype_policy)
            case layers.Dense():
                return MirrorInvariantDense.from_config(layer.get_config())
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(network, clone_function=build)


def ordinary_weights(weights: Sequence[np.ndarray], network: keras.Model) -> list[np.ndarray]:
    """Expand the weights of a mirror-equivariant network for the ordinary network.

    Parameters
    ----------
    weights : sequence of float32
        In the order of `get_weights`. Weights that already fit are returned as they are.
    network : keras.Model
        The ordinary network, the argument of `mirror_equivariant`.

    Returns
    -------
    list of float32
        For `network.set_weights`.
    """
    expanded = []
    for weight, shape in zip(weights, (value.shape for value in network.weights), strict=True):
        if weight.shape == shape:
            expanded.append(weight)
        elif weight.ndim == 4:
            expanded.append(ops.convert_to_numpy(_with_mirrored(weight)))
        else:
            expanded.append(np.concatenate([weight, weight]))
    return expanded


def equivariant_weights(
    weights: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]
) -> list[np.ndarray]:
    """Take the half of an ordinary network's weights that a mirror-equivariant network trains.

    The inverse of `ordinary_weights`.

    Parameters
    ----------
    weights : sequence of float32
        Of an ordinary network whose weights are mirror images of each other.
    shapes : sequence of tuple
        Of the mirror-equivariant network's weights. A weight of this shape is returned as it is.

    Returns
    -------
    list of float32
    """
    return [weight[tuple(map(slice, shape))] for weight, shape in zip(weights, shapes, strict=True)]


def _with_mirrored(kernel: Any) -> Any:
    """Kernels [3, 3, in, out / 2], followed by their mirror images: [3, 3, in, out].

    A mirrored kernel reads the mirrored input channels, which are the other half. The face, the
    first input, has one channel only.
    """
    mirrored = ops.flip(kernel, axis=1)
    if kernel.shape[2] > 1:
        first, second = ops.split(mirrored, 2, axis=2)
        mirrored = ops.concatenate([second, first], axis=2)
    return ops.concatenate([kernel, mirrored], axis=3)


class MirrorConvolution(layers.Conv2D):
    """A convolution with `filters` kernels, followed by their mirror images."""

    def call(self, inputs: Any) -> Any:
        """Convolve [N, height, width, in] to [N, height, width, 2 · filters]."""
        return ops.conv(inputs, _with_mirrored(self.kernel), padding=self.padding)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result of `call`."""
        *others, filters = super().compute_output_shape(input_shape)
        return (*others, 2 * filters)


class MirrorBatchNormalization(layers.Layer):
    """Batch normalisation with common statistics for each channel and its mirrored channel."""

    def __init__(self, inner: layers.BatchNormalization, **settings: Any):
        super().__init__(**settings)
        self.inner = inner

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Make weights for half of the channels."""
        *others, channels = input_shape
        self.inner.build((*others, channels // 2))

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise [N, height, width, C] by the batch, or by the running statistics."""
        count, height, width, channels = ops.shape(inputs)
        # The two halves of the channels are adjacent in memory, as two pixels of C / 2 channels.
        pixels = ops.reshape(inputs, (count, height, 2 * width, channels // 2))
        normalised = self.inner(pixels, training=training)
        return ops.reshape(normalised, (count, height, width, channels))


class MirrorInvariantDense(layers.Dense):
    """A dense layer with the same weight for each channel and its mirrored channel."""

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Make weights for half of the channels."""
        *others, channels = input_shape
        super().build((*others, channels // 2))
        self.input_spec = None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Map [N, C] to [N, units]."""
        first, second = ops.split(inputs, 2, axis=-1)
        return super().call(first + second, training=training)
