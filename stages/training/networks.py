"""The architectures, by name: float32 grey faces [N, size, size, 1] in 0 … 255 to logits [N, C].

A new network is one function here, one class in `stages.parameters` and one
entry in `BUILDERS`. Normalisation is part of the network: its input is grey
levels, unscaled.
"""

from collections.abc import Callable
from typing import Any

import keras
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


def resnet50(network: parameters.ResNet50, size: int, classes: int) -> keras.Model:
    """ResNet-50 of keras.applications on grey repeated to three channels.

    Raises
    ------
    UserError
        ImageNet weights are requested and cannot be fetched, or `size` is below 32.
    """
    if size < 32:
        raise UserError(f"network resnet50 needs faces of at least 32 pixels, not {size}")
    faces = keras.Input((size, size, 1), name="faces")
    # The means that keras.applications subtracts before ResNet-50 (BGR order, ImageNet).
    x = layers.Concatenate()([layers.Rescaling(1, offset=-m)(faces) for m in (103.9, 116.8, 123.7)])
    try:
        backbone = keras.applications.ResNet50(
            include_top=False, weights=network.weights, input_shape=(size, size, 3), pooling="avg"
        )
    except Exception as error:
        if network.weights is None:
            raise
        raise UserError(
            f"the ImageNet weights of resnet50 cannot be fetched ({' '.join(str(error).split())});"
            " connect once, or set train.network.weights to null to start from scratch"
        ) from error
    x = layers.Dropout(network.dropout)(backbone(x))
    return keras.Model(faces, _logits(x, classes), name="resnet50")


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
    "resnet50": resnet50,
}
