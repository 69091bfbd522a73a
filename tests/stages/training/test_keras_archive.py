"""Trainable weights: half the size, loaded by Keras itself as float32, the same bytes again."""

import json
import zipfile

import keras
import numpy as np
import pytest

from stages import parameters
from stages.errors import UserError
from stages.training.keras_archive import model_version, save_network, save_trainable_weights
from stages.training.networks import build_network

NETWORK = parameters.Residual(name="residual", widths=[16, 32, 64], blocks=1, dropout=0.2)


def network_with_statistics() -> keras.Model:
    """Variances outside of half precision's range, as of dead or of loud channels."""
    network = build_network(NETWORK, 32, 7)
    for weight in network.weights:
        if weight.name == "moving_variance":
            weight.assign(np.geomspace(1e-9, 1e6, weight.shape[0]))
    return network


def test_kernels_are_rounded_to_half_precision_and_vectors_kept(tmp_path):
    network = network_with_statistics()
    path, whole = tmp_path / "weights.keras", tmp_path / "model.keras"
    save_trainable_weights(network, path, {"model": "0a", "labels": ["happy", "sad"]})
    save_network(network, whole)
    assert path.stat().st_size < 0.6 * whole.stat().st_size
    loaded = keras.saving.load_model(path, compile=False)
    assert loaded.dtype_policy.name == "float32"
    for before, after in zip(network.get_weights(), loaded.get_weights(), strict=True):
        assert after.dtype == np.float32
        assert np.array_equal(after, before if before.ndim == 1 else np.float16(before))
    assert model_version(path) == "0a"
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("metadata.json"))["labels"] == ["happy", "sad"]


def test_the_same_weights_give_the_same_bytes(tmp_path):
    contents = []
    for _ in range(2):
        # Keras numbers the layers of a process.
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        save_trainable_weights(network_with_statistics(), tmp_path / "a.keras", {"model": "0a"})
        contents.append((tmp_path / "a.keras").read_bytes())
    assert contents[0] == contents[1]


def test_a_weight_beyond_half_precision_is_an_error(tmp_path):
    network = build_network(NETWORK, 32, 7)
    network.weights[0].assign(np.full(network.weights[0].shape, 7e4))
    with pytest.raises(UserError, match="too large for half precision"):
        save_trainable_weights(network, tmp_path / "weights.keras", {})
    assert list(tmp_path.iterdir()) == []
