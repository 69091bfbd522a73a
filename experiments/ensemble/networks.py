"""The networks of the ensemble: unlike each other in depth, input and start.

All take float32 grey faces [N, size, size, 1] in 0 … 255 and give logits [N, C], as the pipeline's
own networks do.
"""

from typing import Any

import keras
from keras import layers, ops

from experiments.ensemble import settings
from experiments.ensemble.face_resnet import face_resnet
from stages import parameters
from stages.training.networks import build_network
from stages.training.symmetry import mirror_equivariant


def build_for_training(
    network: settings.Network, size: int, classes: int, precision: str
) -> keras.Model:
    """Build a network that computes in a precision of `Ensemble`; its weights are float32.

    The symmetric networks and `vgg` get mirror-equivariant layers.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        built = build_ordinary(network, size, classes)
        return built if isinstance(network, settings.FaceResNet) else mirror_equivariant(built)
    finally:
        keras.config.set_dtype_policy(before)


def build_ordinary(network: settings.Network, size: int, classes: int) -> keras.Model:
    """Build a network with random weights: [N, size, size, 1] to logits [N, classes]."""
    match network:
        case settings.Vgg():
            return vgg(network, size, classes)
        case settings.FaceResNet():
            return face_resnet(network, size, classes)
        case parameters.SymmetricResidual() | parameters.SymmetricLatePooling():
            return build_network(network, size, classes)


def vgg(network: settings.Vgg, size: int, classes: int) -> keras.Model:
    """Stages of 3×3 convolutions without shortcuts (Simonyan and Zisserman, 2014)."""
    faces = keras.Input((size, size, 1), name="faces")
    x = NORMALIZATIONS[network.normalization](faces)
    for stage, width in enumerate(network.widths):
        if stage:
            x = layers.MaxPooling2D()(x)
        for _ in range(network.convolutions):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(network.dropout)(x)
    return keras.Model(faces, layers.Dense(classes, dtype="float32")(x), name="vgg")


class LocalContrast(layers.Layer):
    """Each pixel less the mean of its 9×9 surroundings, divided by their deviation.

    Where the surroundings are flat, 10 grey levels are added to the deviation.
    """

    def call(self, faces: Any) -> Any:
        """Normalise float32 [N, size, size, 1]."""
        centred = faces - _surroundings(faces)
        return centred / ops.sqrt(_surroundings(ops.square(centred)) + 100.0)


def _surroundings(faces: Any) -> Any:
    return ops.average_pool(faces, 9, strides=1, padding="same")


NORMALIZATIONS = {
    "face": lambda faces: layers.GroupNormalization(
        groups=1, center=False, scale=False, epsilon=100.0, dtype="float32"
    )(faces),
    "local_contrast": lambda faces: LocalContrast(dtype="float32")(faces),
}
