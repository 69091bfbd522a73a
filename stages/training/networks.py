"""The architectures, by name: float32 grey faces [N, size, size, 1] in 0 … 255 to logits [N, C].

A new network is one function here, one class in `stages.parameters` and one
entry in `BUILDERS`. Normalisation is part of the network: its input is grey
levels, unscaled.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from stages import parameters
from stages.errors import UserError


def build_network(network: parameters.Network, size: int, classes: int) -> keras.Model:
    """Build a network with random weights from Keras's global seed.

    Parameters
    ----------
    network : parameters.Network
        Its name and settings.
    size : int
        Height and width in pixels. Networks without a fully connected layer
        over positions ignore it and accept any size.
    classes : int
        Number of logits.

    Returns
    -------
    keras.Model
        Input float32 [N, size, size, 1] in 0 … 255, output logits [N, classes].
    """
    return BUILDERS[network.name](network, size, classes)


def residual(network: parameters.ResidualStages, _size: int, classes: int) -> keras.Model:
    """Compact residual network: the architecture of the released models.

    A 3×3 stem, then per further width: max-pooling, a widening convolution and
    residual blocks (He et al. 2015, two 3×3 convolutions each). A widening
    convolution after the pooling costs a quarter of the multiplications.
    The symmetric networks have the same layers; `stages.training.symmetry` trains them.
    """
    faces = keras.Input((None, None, 1), name="faces")
    # Subtracts each face's mean and divides by its deviation, against lighting and exposure.
    x = layers.GroupNormalization(
        groups=1, center=False, scale=False, epsilon=100.0, dtype="float32"
    )(faces)
    x = _convolution(x, network.widths[0])
    for width in network.widths[1:]:
        if network.name == "symmetric_late_pooling":
            x = _convolution(x, width, layers.MaxPooling2D())
        else:
            x = layers.MaxPooling2D()(x)
            x = _convolution(x, width)
        for _ in range(network.blocks):
            shortcut = x
            x = _convolution(x, width)
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.ReLU()(layers.Add()([x, shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(network.dropout)(x)
    return keras.Model(faces, _logits(x, classes), name=network.name)


def five_block(network: parameters.FiveBlock, size: int, classes: int) -> keras.Model:
    """Five blocks of convolution, batch normalisation, ReLU, max-pooling and dropout."""
    faces = keras.Input((size, size, 1), name="faces")
    x = layers.Rescaling(1 / 255)(faces)
    for width in (64, 128, 256, 512, 512):
        x = layers.MaxPooling2D()(_convolution(x, width))
        x = layers.Dropout(network.dropout)(x)
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    x = layers.Dropout(network.dropout)(x)
    return keras.Model(faces, _logits(x, classes), name="five_block")


def five_layer(network: parameters.FiveLayer, size: int, classes: int) -> keras.Model:
    """Three convolutional and two fully connected layers."""
    faces = keras.Input((size, size, 1), name="faces")
    x = layers.Rescaling(1 / 255)(faces)
    for width in (32, 64, 128):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    x = layers.Dropout(network.dropout)(x)
    return keras.Model(faces, _logits(x, classes), name="five_layer")


def application(network: parameters.Application, size: int, classes: int) -> keras.Model:
    """A network of keras.applications, with its own preprocessing of grey repeated as colours.

    Raises
    ------
    UserError
        The weights cannot be fetched or read, or the network needs a larger `input_size`.
    """
    faces = keras.Input((size, size, 1), name="faces")
    x = faces
    if size != network.input_size:
        x = layers.Resizing(network.input_size, network.input_size)(x)
    build = getattr(keras.applications, network.model)
    scale, offset = _preprocessing(build)
    x = layers.Rescaling(scale, offset)(layers.Concatenate()([x, x, x]))
    weights = network.weights
    if isinstance(weights, Path) and not weights.is_file():
        raise UserError(f"train.network.application.weights: {weights}: not found")
    try:
        with warnings.catch_warnings():
            # Keras warns where a file lacks weights of a layer, and leaves these random.
            warnings.filterwarnings("error", "Skipping nested container", UserWarning)
            backbone = build(
                include_top=False,
                weights=str(weights) if weights else None,
                input_shape=(network.input_size, network.input_size, 3),
                pooling="avg",
            )
    except Exception as error:
        what = " ".join(str(error).split())
        if "Input size must be at least" in what:
            raise UserError(f"train.network.application.input_size: {what}") from None
        if weights is None:
            raise
        raise UserError(
            f"train.network.application.weights: no {weights} weights for {network.model}"
            f" ({what:.200}); for imagenet, connect once, or name a local file; null starts from"
            " random weights"
        ) from error
    if any(isinstance(layer, layers.Normalization) for layer in backbone.layers):
        backbone = _with_rescaling(backbone)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            # The statistics of MobileNetV3 (0.999) and NASNet (0.9997) follow too slowly for the
            # few steps of a small dataset.
            layer.momentum = min(layer.momentum, 0.99)
    x = layers.Dropout(network.dropout)(backbone(x))
    return keras.Model(faces, _logits(x, classes), name=network.model)


def _with_rescaling(backbone: keras.Model) -> keras.Model:
    """Replace the normalisations of the input by equal rescalings, which tf2onnx can convert.

    tf2onnx makes the mean and the variance of keras.layers.Normalization inputs of the graph.
    """

    def build(layer: layers.Layer) -> layers.Layer:
        if not isinstance(layer, layers.Normalization):
            return type(layer).from_config(layer.get_config())
        mean, variance = (
            keras.ops.convert_to_numpy(values).ravel() for values in (layer.mean, layer.variance)
        )
        scale = 1 / np.sqrt(variance)
        return layers.Rescaling(scale.tolist(), (-mean * scale).tolist(), name=layer.name)

    rebuilt = keras.models.clone_model(backbone, clone_function=build)
    for old, new in zip(backbone.layers, rebuilt.layers, strict=True):
        if new.weights:
            new.set_weights(old.get_weights())
    return rebuilt


def _preprocessing(build: Callable[..., keras.Model]) -> tuple[list[float], list[float]]:
    """Scale and offset of each channel by which an application's preprocessing changes pixels.

    Each `preprocess_input` of keras.applications is affine: none, to -1 … 1, or by the mean and
    deviation of ImageNet.
    """
    preprocess = sys.modules[build.__module__].preprocess_input
    black, white = (preprocess(np.full((1, 1, 1, 3), grey)).ravel() for grey in (0.0, 255.0))
    return ((white - black) / 255).round(9).tolist(), black.round(9).tolist()


def _convolution(x: Any, width: int, pooling: layers.Layer | None = None) -> Any:
    x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
    if pooling is not None:
        x = pooling(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x)


def _logits(x: Any, classes: int) -> Any:
    # In float32 also under mixed precision: the loss takes the exponential of logits.
    return layers.Dense(classes, dtype="float32", name="logits")(x)


BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "residual": residual,
    "symmetric_residual": residual,
    "symmetric_late_pooling": residual,
    "five_block": five_block,
    "five_layer": five_layer,
    "application": application,
}
