"""The weights that a training starts from, read from the file of a trained network."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from stages import parameters
from stages.artifacts import Artifacts
from stages.errors import UserError
from stages.training.fine_tuning import layer_groups
from stages.training.keras_archive import TRAINABLE_WEIGHTS, load_network, model_version
from stages.training.networks import build_network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialWeights:
    """Weights in the order of `keras.Model.get_weights`, without the head's if that is new."""

    file: Path
    sha256: str
    arrays: list[np.ndarray]


def read_initial_weights(settings: parameters.Train) -> InitialWeights | None:
    """Read the weights that `train.init` names.

    Returns
    -------
    InitialWeights or None
        None where the training starts from random weights.

    Raises
    ------
    UserError
        The file is missing, is not the declared one or no Keras network, or its network is another
        one than `train.network`; or `freeze` exceeds the number of groups.
    """
    init = settings.init
    if init is None:
        return None
    path = _file(init.source)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if init.sha256 and not sha256.startswith(init.sha256):
        raise UserError(
            f"{path}: its SHA-256 begins with {sha256[: len(init.sha256)]}, train.init expects"
            f" {init.sha256}; restore the file or declare the new digest"
        )
    source = load_network(path)
    own = build_network(settings.network, settings.resolutions[-1].size, 2)
    weights = source.get_weights()[:-2]
    if source.name != own.name or [array.shape for array in weights] != [
        array.shape for array in own.get_weights()[:-2]
    ]:
        raise UserError(
            f"train.init: {path} is a network {_described(source)}, train.network is"
            f" {_described(own)}; set train.network to that of the file, or init.name to none"
        )
    groups = len(layer_groups(own, settings.network))
    if init.freeze > groups:
        raise UserError(
            f"train.init.weights.freeze: network {settings.network.name} has {groups} groups of"
            f" layers, cannot freeze {init.freeze}"
        )
    log.info("the training starts from the weights of %s (SHA-256 %s)", path, sha256[:12])
    return InitialWeights(path, sha256, source.get_weights() if init.keep_head else weights)


def _file(source: str) -> Path:
    if source.endswith(".keras"):
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(f"train.init.weights.from: {path}: not found")
        return path
    folder = Artifacts(source).models
    released, trained = folder / TRAINABLE_WEIGHTS, folder / "model.keras"
    if released.is_file():
        _check_release(released)
        return released
    if trained.is_file():
        return trained
    found = sorted({path.parent.name for path in folder.parent.glob("*/*.keras")})
    raise UserError(
        f"train.init.weights.from: neither {released} nor {trained.name} there; datasets with"
        f" trained weights: {', '.join(found) or 'none'}; a path ends with .keras"
    )


def _check_release(path: Path) -> None:
    """Compare the version of the model that the weights belong to with model.onnx beside them."""
    model = path.with_name("model.onnx")
    if model.is_file() and hashlib.sha256(model.read_bytes()).hexdigest() != model_version(path):
        raise UserError(
            f"{path}: of another version than {model}; write it again with"
            f" `python -m tools.trainable_weights {path.parent.name}`"
        )


def _described(network: keras.Model) -> str:
    channels = [array.shape[-1] for array in network.get_weights() if array.ndim == 4]
    widths = [
        width for index, width in enumerate(channels) if index == 0 or width != channels[index - 1]
    ]
    if len(widths) > 8:
        return f"{network.name} ({network.count_params():,} parameters)"
    return f"{network.name} (widths {widths}, {len(channels)} convolutions)"
