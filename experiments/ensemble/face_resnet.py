"""dlib's face recognition ResNet, cut and made ready for grey faces, with dlib's weights as start.

Davis King published the network and its weights in 2017 (`dlib_face_recognition_resnet_model_v1`,
CC0 1.0): a ResNet of 29 convolutions that tells people apart by 150×150 photos in colour.
`dlib_face_resnet.npz` beside this file has its weights without the last block and the last dense
layer; `python -m experiments.ensemble.dlib_weights` makes that file.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from experiments.ensemble import settings

WEIGHTS = Path(__file__).with_name("dlib_face_resnet.npz")
WIDTHS = (32, 64, 128, 256)
"""Channels of the levels; the resolution halves between them."""
BLOCKS = (3, 4, 3, 1)
"""Blocks of each level that the file of weights has."""
ARRAYS = ("kernel", "scale", "shift")
"""What that file has of each convolution and the affine layer behind it."""
CONTRAST = 0.22
"""Standard deviation of a face's grey levels in the units that dlib's weights expect (1 / 256)."""


def face_resnet(network: settings.FaceResNet, size: int, classes: int) -> keras.Model:
    """Build the network with random weights; `start_from_dlib` gives it dlib's.

    Differences from dlib's own: the input is one grey channel that is normalised by its own mean
    and deviation; batch normalisation takes the place of the affine layers; the shortcut where the
    resolution halves is a 2×2 convolution, which begins as dlib's average pooling with channels of
    zeros; and where the halved resolution is even, zeros on the right and at the bottom go into
    the convolution instead of into its result.

    Parameters
    ----------
    network : settings.FaceResNet
    size : int
        Height and width of the faces.
    classes : int
        Number of logits.
    """
    faces = keras.Input((size, size, 1), name="faces")
    x = layers.GroupNormalization(
        groups=1, center=False, scale=False, epsilon=100.0, dtype="float32"
    )(faces)
    x = layers.Conv2D(WIDTHS[0], 7, strides=2, use_bias=False, name="stem")(x)
    x = layers.ReLU()(_normalized(x))
    x = layers.MaxPooling2D(3, strides=2)(x)
    for width, blocks in zip(WIDTHS, BLOCKS, strict=True):
        for block in range(blocks):
            x = _block(x, width, f"{width}.{block}")
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(network.dropout)(x)
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(faces, logits, name="face_resnet")


def _block(x: Any, width: int, name: str) -> Any:
    """Two convolutions beside a shortcut; more channels than before halve the resolution."""
    halves = x.shape[-1] != width
    shortcut = x
    if halves:
        shortcut = layers.Conv2D(width, 2, strides=2, use_bias=False, name=f"{name}.shortcut")(x)
        if x.shape[1] % 2 == 0:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
        x = layers.Conv2D(width, 3, strides=2, use_bias=False, name=f"{name}.0")(x)
    else:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}.0")(x)
    x = layers.ReLU()(_normalized(x))
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}.1")(x)
    return layers.ReLU()(layers.Add()([_normalized(x), shortcut]))


def _normalized(x: Any) -> Any:
    """Batch normalisation under the name of the convolution before it."""
    convolution = x._keras_history.operation.name
    name = f"{convolution}.normalization"
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def start_from_dlib(network: keras.Model, faces: np.ndarray) -> None:
    """Give a network of `face_resnet` dlib's weights; the logits' layer keeps its own.

    The statistics of batch normalisation are estimated on the faces, and its scale and shift are
    such that the network computes what dlib's computes.

    Parameters
    ----------
    network : keras.Model
        Computes in float32.
    faces : float32 [N, size, size, 1]
        In 0 … 255; some hundreds suffice.
    """
    with np.load(WEIGHTS) as stored:
        arrays = {name: stored[name].astype(np.float32) for name in stored.files}
    convolutions = [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]
    normalized = []
    for layer in convolutions:
        if layer.name.endswith("shortcut"):
            layer.kernel.assign(_average_pooling(layer.kernel.shape))
            continue
        kernel, scale, shift = (arrays[f"{layer.name}.{what}"] for what in ARRAYS)
        # dlib's kernels are a tenth of He's, its scales are large. Training would overwrite such
        # kernels in a few steps, and what they are multiplied by, normalisation takes away.
        factor = np.sqrt(2 / kernel[..., 0].size / np.square(kernel).mean())
        contrast = CONTRAST if layer.name == "stem" else 1
        kernel, scale = kernel * factor, scale * contrast / factor
        layer.kernel.assign(kernel)
        normalization = network.get_layer(f"{layer.name}.normalization")
        # Mean 0 and variance 1: as dlib's affine layer.
        variance = np.full_like(scale, 1 - normalization.epsilon)
        normalization.set_weights([scale, shift, np.zeros_like(shift), variance])
        normalized.append((layer, normalization, scale, shift))
    inside = keras.Model(network.input, [layer.output for layer, *_ in normalized])
    values = inside.predict(faces, 64, verbose=0)
    for (_, normalization, scale, shift), value in zip(normalized, values, strict=True):
        mean, variance = value.mean((0, 1, 2)), value.var((0, 1, 2))
        deviation = np.sqrt(variance + normalization.epsilon)
        normalization.set_weights([scale * deviation, shift + scale * mean, mean, variance])


def _average_pooling(shape: tuple[int, ...]) -> np.ndarray:
    """A 2×2 kernel that averages each channel; output channels beyond the input's are zero."""
    kernel = np.zeros(shape, np.float32)
    channels = np.arange(shape[2])
    kernel[:, :, channels, channels] = 0.25
    return kernel
