"""Every network by its name: shapes, sizes, and grey levels as they come."""

import inspect
import sys
from typing import get_args

import keras
import numpy as np
import pytest

from stages import parameters
from stages.errors import UserError
from stages.training.networks import BUILDERS, _preprocessing, _with_rescaling, build_network
from stages.training.trainer import build_for_training

NETWORKS = {
    "residual": parameters.Residual(name="residual", widths=[4, 8, 8], blocks=2, dropout=0.3),
    "symmetric_residual": parameters.SymmetricResidual(
        name="symmetric_residual", widths=[4, 8, 8], blocks=2, dropout=0.3
    ),
    "symmetric_late_pooling": parameters.SymmetricLatePooling(
        name="symmetric_late_pooling", widths=[4, 8, 8], blocks=2, dropout=0.3
    ),
    "five_block": parameters.FiveBlock(name="five_block", dropout=0.3),
    "five_layer": parameters.FiveLayer(name="five_layer", dropout=0.3),
    "application": parameters.Application(
        name="application",
        model="MobileNetV3Small",
        weights=None,
        input_size=64,
        dropout=0.3,
        frozen_epochs=0,
    ),
}
FACES = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 1)).astype(np.float32)


def settle(network: keras.Model) -> None:
    """Give the batch normalisations of a backbone the statistics of FACES.

    Without training, the activations of a deep network vanish.
    """
    backbones = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    normalizations = [
        layer
        for backbone in backbones
        for layer in backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for layer in normalizations:
        layer.momentum = 0.0
    if normalizations:
        network(FACES, training=True)


def numpy(network: keras.Model, faces: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(network(faces, training=False))


def test_every_network_of_the_parameters_has_a_builder():
    union, _ = get_args(parameters.Network)
    names = {
        name for kind in get_args(union) for name in get_args(kind.model_fields["name"].annotation)
    }
    assert names == set(BUILDERS) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_faces_to_logits(name):
    network = build_network(NETWORKS[name], 48, 7)
    assert network.name == getattr(NETWORKS[name], "model", name)
    settle(network)
    logits = numpy(network, FACES)
    assert logits.shape == (2, 7)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    # Logits, not probabilities, of what the faces show.
    assert not np.allclose(logits.sum(axis=1), 1)
    assert not np.allclose(logits[0], logits[1])


def test_the_seed_gives_the_weights():
    def weights(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        return build_network(NETWORKS["residual"], 48, 7).get_weights()

    one, again, other = weights(1), weights(1), weights(2)
    assert all(map(np.array_equal, one, again))
    assert not all(map(np.array_equal, one, other))


@pytest.mark.parametrize(
    ("name", "widening"), [("symmetric_residual", [24, 12]), ("symmetric_late_pooling", [48, 24])]
)
def test_late_pooling_widens_at_the_size_before_pooling(name, widening):
    network = build_network(NETWORKS[name].model_copy(update={"widths": [4, 6, 8]}), 48, 7)
    faces = keras.Input((48, 48, 1))
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    sizes = {
        layer.name: value.shape[1]
        for layer, value in zip(
            convolutions,
            keras.Model(network.input, [layer.output for layer in convolutions])(faces),
            strict=True,
        )
    }
    wider = [layer for layer in convolutions if layer.kernel.shape[2] not in (1, layer.filters)]
    assert [sizes[layer.name] for layer in wider] == widening
    # What comes after is of the same size in both.
    assert sizes[convolutions[-1].name] == 12


def test_residual_takes_any_size():
    network = build_network(NETWORKS["residual"], 48, 7)
    for size in (16, 33, 48, 96):
        faces = np.zeros((1, size, size, 1), np.float32)
        assert numpy(network, faces).shape == (1, 7)


def test_residual_overlooks_lighting_and_exposure():
    network = build_network(NETWORKS["residual"], 48, 7)
    face = FACES[:1] * 0.5
    assert numpy(network, face + 60) == pytest.approx(numpy(network, face), abs=1e-4)
    assert numpy(network, face * 1.5) == pytest.approx(numpy(network, face), rel=0.02, abs=0.01)


def test_residual_finds_a_flat_face_no_trouble():
    network = build_network(NETWORKS["residual"], 48, 7)
    assert np.isfinite(numpy(network, np.full((1, 48, 48, 1), 255, np.float32))).all()


def test_residual_has_the_widths_and_blocks_asked_for():
    network = build_network(NETWORKS["residual"], 48, 7)
    kernels = [weight.shape for weight in network.weights if weight.name == "kernel"]
    block = [(3, 3, 8, 8)] * 4
    assert kernels == [(3, 3, 1, 4), (3, 3, 4, 8), *block, (3, 3, 8, 8), *block, (8, 7)]


def test_dropout_is_on_in_training_alone():
    network = build_network(NETWORKS["five_layer"], 48, 7)
    assert np.array_equal(numpy(network, FACES), numpy(network, FACES))
    trained = [keras.ops.convert_to_numpy(network(FACES, training=True)) for _ in range(2)]
    assert not np.array_equal(*trained)


# ---------------------------------------------------------------- keras.applications


def application(model: str, **changes) -> parameters.Application:
    return NETWORKS["application"].model_copy(update={"model": model} | changes)


def test_every_network_of_keras_applications_can_be_named():
    functions = inspect.getmembers(keras.applications, inspect.isfunction)
    assert {name for name, _ in functions} == set(parameters.APPLICATIONS)


@pytest.mark.parametrize("model", ["ResNet50", "ResNet50V2", "DenseNet121", "EfficientNetB0"])
def test_the_preprocessing_is_that_of_the_application(model):
    build = getattr(keras.applications, model)
    scale, offset = _preprocessing(build)
    grey = np.linspace(0, 255, 12, dtype=np.float32).reshape(1, 2, 6, 1).repeat(3, axis=3)
    expected = sys.modules[build.__module__].preprocess_input(grey.copy())
    assert grey * scale + offset == pytest.approx(np.asarray(expected), abs=1e-4)


def test_the_input_of_efficientnet_is_normalised_as_by_keras():
    keras.utils.set_random_seed(0)
    network = build_network(application("EfficientNetB0", input_size=32), 32, 7)
    (backbone,) = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    original = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    weights = iter(backbone.get_weights())
    for layer in original.layers:
        if isinstance(layer, keras.layers.Normalization):
            # As ImageNet's, which the file of weights brings along.
            layer.set_weights(
                [np.float32([0.4, 0.5, 0.6]), np.float32([0.1, 0.2, 0.3]), np.int32(0)]
            )
            layer.finalize_state()
        else:
            layer.set_weights([next(weights) for _ in layer.weights])
    faces = FACES[:, :32, :32].repeat(3, axis=3)
    expected = numpy(original, faces)
    assert numpy(_with_rescaling(original), faces) == pytest.approx(expected, abs=1e-5)
    assert not any(isinstance(layer, keras.layers.Normalization) for layer in backbone.layers)


def test_faces_are_scaled_to_the_size_of_the_input():
    network = build_network(NETWORKS["application"], 48, 7)
    (backbone,) = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    assert backbone.input_shape == (None, 64, 64, 3)
    assert network.input_shape == (None, 48, 48, 1)


def test_a_network_that_needs_larger_inputs_is_an_error():
    with pytest.raises(
        UserError, match=r"application.input_size: Input size must be at least 71x71"
    ):
        build_network(application("Xception", input_size=64), 48, 7)


def test_weights_of_a_file(tmp_path):
    pretrained = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    path = tmp_path / "mobilenet.weights.h5"
    pretrained.save_weights(path)
    network = application("MobileNet", weights=path)
    for precision in ("float32", "fused_bfloat16"):
        found = build_for_training(precision, network, 48, 7).get_weights()[:-2]
        assert all(map(np.array_equal, found, pretrained.get_weights()))
    with pytest.raises(UserError, match=f"application.weights: {tmp_path}/absent.h5: not found"):
        build_network(application("MobileNet", weights=tmp_path / "absent.h5"), 48, 7)
    with pytest.raises(UserError, match=rf"weights: no {path} weights for VGG16 \("):
        build_network(application("VGG16", weights=path), 48, 7)
