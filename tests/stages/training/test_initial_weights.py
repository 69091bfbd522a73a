"""The file that a training starts from is found, and an unfit one is an error that says why."""

import hashlib
from pathlib import Path

import keras
import pytest

from stages.errors import UserError
from stages.training.initial_weights import read_initial_weights
from stages.training.keras_archive import save_network, save_trainable_weights
from stages.training.networks import build_network
from tests.stages.test_train import TINY, settings

OWN = settings().network
OTHERS = {
    "widths": settings(network=TINY["network"] | {"widths": [4, 6]}).network,
    "name": settings(network=TINY["network"] | {"name": "symmetric_residual"}).network,
    "five_layer": settings(network={"name": "five_layer", "dropout": 0}).network,
}


def init(source: str, **changes):
    """Training parameters with `train.init`."""
    usual = {"name": "weights", "freeze": 0, "frozen_epochs": 0, "learning_rate_scale": 1}
    return settings(init=usual | {"from": source} | changes)


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """An empty folder models/ in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def write_release(folder: Path, model: bytes = b"onnx") -> keras.Model:
    """A dataset's model.onnx with its trainable weights."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model)
    network = build_network(OWN, 32, 5)
    version = hashlib.sha256(model).hexdigest()
    save_trainable_weights(network, folder / "weights.keras", {"model": version})
    return network


def test_random_weights_need_no_file():
    assert read_initial_weights(settings()) is None


def test_a_dataset_has_its_committed_weights_or_else_its_trained_network(models):
    write_release(models / "release")
    found = read_initial_weights(init("release"))
    assert found.file == Path("models/release/weights.keras")
    assert found.sha256 == hashlib.sha256(found.file.read_bytes()).hexdigest()
    assert len(found.arrays) == len(build_network(OWN, 32, 5).weights) - 2
    (models / "mine").mkdir()
    save_network(build_network(OWN, 32, 3), models / "mine/model.keras")
    assert read_initial_weights(init("mine")).file == Path("models/mine/model.keras")
    assert read_initial_weights(init("models/mine/model.keras")).sha256
    with pytest.raises(
        UserError,
        match=r"from: neither models/mein/weights.keras nor model.keras there; datasets with"
        r" trained weights: mine, release; a path ends with .keras$",
    ):
        read_initial_weights(init("mein"))


def test_weights_of_an_earlier_model_are_an_error(models):
    write_release(models / "release")
    (models / "release/model.onnx").write_bytes(b"trained again")
    with pytest.raises(
        UserError,
        match=r"^models/release/weights.keras: of another version than models/release/model.onnx;"
        " write it again with `python -m tools.trainable_weights release`$",
    ):
        read_initial_weights(init("release"))


def test_a_declared_digest_is_compared(models):
    write_release(models / "release")
    digest = read_initial_weights(init("release")).sha256
    assert read_initial_weights(init("release", sha256=digest[:12]))
    with pytest.raises(
        UserError, match=rf"begins with {digest[:12]}, train.init expects {'0' * 12}"
    ):
        read_initial_weights(init("release", sha256="0" * 12))


@pytest.mark.parametrize(
    ("other", "described"),
    [
        ("widths", r"residual \(widths \[4, 6\], 4 convolutions\)"),
        ("name", r"symmetric_residual \(widths \[4, 8\], 4 convolutions\)"),
        ("five_layer", r"five_layer \(widths \[32, 64, 128\], 3 convolutions\)"),
    ],
)
def test_another_network_is_an_error_that_names_both(models, other, described):
    save_network(build_network(OTHERS[other], 32, 7), models / "other.keras")
    with pytest.raises(
        UserError,
        match=rf"^train.init: models/other.keras is a network {described}, train.network is"
        r" residual \(widths \[4, 8\], 4 convolutions\); set train.network to that of the file",
    ):
        read_initial_weights(init("models/other.keras"))


def test_more_groups_than_there_are_cannot_be_frozen(models):
    write_release(models / "release")
    assert read_initial_weights(init("release", freeze=2))
    with pytest.raises(UserError, match="network residual has 2 groups of layers, cannot freeze 3"):
        read_initial_weights(init("release", freeze=3))


def test_what_is_no_network_is_an_error(models):
    with pytest.raises(UserError, match=r"train.init.weights.from: absent.keras: not found"):
        read_initial_weights(init("absent.keras"))
    Path("text.keras").write_text("no archive")
    with pytest.raises(UserError, match=r"text.keras: not a network of Keras \("):
        read_initial_weights(init("text.keras"))
    inputs = keras.Input((32, 32, 1))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save("headless.keras")
    expected = r"headless\.keras: the last layer of its network is no dense layer"
    with pytest.raises(UserError, match=expected):
        read_initial_weights(init("headless.keras"))
