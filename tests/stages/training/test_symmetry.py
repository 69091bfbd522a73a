"""Mirror-equivariant networks: a face and its mirror image get the same logits."""

import keras
import numpy as np
import pytest
from keras import layers

from stages import parameters
from stages.training.networks import build_network
from stages.training.normalization import FusedBatchNormalization
from stages.training.symmetry import MirrorBatchNormalization, mirror_equivariant, ordinary_weights

NETWORK = parameters.SymmetricResidual(
    name="symmetric_residual", widths=[4, 8, 12], blocks=2, dropout=0.3
)
# Dark on the left, so that a mirror image is another picture.
FACES = (
    np.random.default_rng(0).uniform(0, 255, (3, 40, 40, 1)) * np.linspace(0, 1, 40)[:, None]
).astype(np.float32)


LATE = parameters.SymmetricLatePooling(
    **(NETWORK.model_dump() | {"name": "symmetric_late_pooling"}),
)


def weighted(network: keras.Model) -> keras.Model:
    """The network, with the same random weights every time, statistics not all alike."""
    random = np.random.default_rng(0)
    network.set_weights(
        [
            random.uniform(0.5, 1.5, weight.shape)
            if weight.ndim == 1
            else random.normal(0, np.prod(weight.shape[:-1]) ** -0.5, weight.shape)
            for weight in network.get_weights()
        ]
    )
    return network


def mirrored(faces: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(faces[:, :, ::-1])


@pytest.mark.parametrize("size", [16, 32, 40])
@pytest.mark.parametrize("settings", [NETWORK, LATE], ids=lambda settings: settings.name)
def test_a_face_and_its_mirror_image_get_the_same_logits(settings, size):
    network = weighted(mirror_equivariant(build_network(settings, size, 7)))
    faces = FACES[:, :size, :size]
    logits = network.predict_on_batch(faces)
    assert logits == pytest.approx(network.predict_on_batch(mirrored(faces)), abs=1e-4)
    # Both halves count: with one half mirrored, the logits differ.
    half = np.concatenate([faces[:, :, : size // 2], mirrored(faces)[:, :, size // 2 :]], axis=2)
    assert np.abs(logits - network.predict_on_batch(half)).max() > 1e-2


@pytest.mark.parametrize("settings", [NETWORK, LATE], ids=lambda settings: settings.name)
def test_the_ordinary_network_with_expanded_weights_has_the_same_logits(settings):
    ordinary = build_network(settings, 40, 7)
    network = weighted(mirror_equivariant(ordinary))
    logits = network.predict_on_batch(FACES)
    ordinary.set_weights(ordinary_weights(network.get_weights(), ordinary))
    assert ordinary.predict_on_batch(FACES) == pytest.approx(logits, abs=1e-4)
    biases = 7
    assert 2 * (network.count_params() - biases) == ordinary.count_params() - biases
    kinds = {type(layer) for layer in ordinary.layers}
    assert {layers.Conv2D, layers.BatchNormalization, layers.Dense} < kinds


def test_weights_of_an_ordinary_network_stay_as_they_are():
    ordinary = build_network(NETWORK, 40, 7)
    weights = ordinary.get_weights()
    assert all(map(np.array_equal, ordinary_weights(weights, ordinary), weights))


@pytest.mark.parametrize("kind", [layers.BatchNormalization, FusedBatchNormalization])
def test_a_channel_and_its_twin_are_normalised_as_one(kind):
    inputs = np.random.default_rng(0).normal(3, 2, (8, 5, 4, 6)).astype(np.float32)
    layer = MirrorBatchNormalization(kind(momentum=0))
    outputs = keras.ops.convert_to_numpy(layer(inputs, training=True))
    both = np.stack([inputs[..., :3], inputs[..., 3:]])
    mean, variance = both.mean(axis=(0, 1, 2, 3)), both.var(axis=(0, 1, 2, 3))
    expected = (inputs - np.tile(mean, 2)) / np.sqrt(np.tile(variance, 2) + 1e-3)
    assert outputs == pytest.approx(expected, abs=1e-3)
    assert layer.inner.moving_mean.numpy() == pytest.approx(mean, rel=1e-3)
    # Fused, the variance is divided by n - 1 instead of n.
    assert layer.inner.moving_variance.numpy() == pytest.approx(variance, rel=5e-3)


@pytest.mark.parametrize("widths", [[4, 7], [5]])
def test_a_channel_without_a_twin_is_refused(widths):
    with pytest.raises(ValueError, match="multiple of 2"):
        parameters.SymmetricResidual.model_validate(NETWORK.model_dump() | {"widths": widths})
