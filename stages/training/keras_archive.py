"""Keras's archives: model.keras, and weights.keras, the same with kernels in half precision.

They are written so that the same network gives the same bytes.
"""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from recognizer.atomic_file import written_atomically
from stages.errors import UserError

TRAINABLE_WEIGHTS = "weights.keras"
"""File in models/DATASET from which other trainings can start; in git, unlike model.keras."""


def save_network(network: keras.Model, path: Path) -> None:
    """Write Keras's archive; the same weights give the same bytes.

    Keras stores the time of saving, and numbers shared objects by their address in memory. The
    time is removed and the objects are numbered in order.
    """
    with written_atomically(path) as temporary:
        _write(temporary, _saved(network, temporary))


def save_trainable_weights(network: keras.Model, path: Path, description: dict[str, Any]) -> None:
    """Write an archive with the kernels in half precision; Keras loads it as float32.

    Vectors (biases, batch normalisation) stay float32: they are few, and variances may be outside
    of half precision's range.

    Parameters
    ----------
    network : keras.Model
    path : Path
    description : dict
        Is added to the archive's metadata.json; `model_version` reads its key `model`.

    Raises
    ------
    UserError
        A weight is too large for half precision.
    """
    with written_atomically(path) as temporary:
        files = _saved(network, temporary)
        metadata = json.loads(files["metadata.json"]) | description
        files["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
        files["model.weights.h5"] = _in_half_precision(files["model.weights.h5"])
        _write(temporary, files)


def load_network(path: Path) -> keras.Model:
    """Read a network from a .keras file.

    Raises
    ------
    UserError
        The file is none, or its network has no dense layer at the end.
    """
    try:
        network = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise UserError(
            f"{path}: not a network of Keras ({' '.join(str(error).split())})"
        ) from error
    if not isinstance(network.layers[-1], keras.layers.Dense):
        raise UserError(f"{path}: the last layer of its network is no dense layer")
    return network


def model_version(path: Path) -> str | None:
    """SHA-256 of the model.onnx that an archive of trainable weights belongs to."""
    with zipfile.ZipFile(path) as archive:
        version: str | None = json.loads(archive.read("metadata.json")).get("model")
    return version


def _saved(network: keras.Model, path: Path) -> dict[str, bytes]:
    """The files of the archive that Keras saves at `path`, without what differs between runs."""
    network.save(path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(files["metadata.json"])
    del metadata["date_saved"]
    files["metadata.json"] = json.dumps(metadata).encode()
    numbers: dict[bytes, int] = {}
    files["config.json"] = re.sub(
        rb'(?<="shared_object_id": )\d+',
        lambda address: b"%d" % numbers.setdefault(address[0], len(numbers) + 1),
        files["config.json"],
    )
    return files


def _write(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content)


def _in_half_precision(weights: bytes) -> bytes:
    """Copy an HDF5 file of weights, arrays of two and more dimensions as float16."""
    result = io.BytesIO()
    with h5py.File(io.BytesIO(weights), "r") as source, h5py.File(result, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                target.require_group(name).attrs.update(item.attrs)
                return
            values = item[()]
            if values.ndim > 1 and values.dtype == np.float32:
                if np.abs(values).max() > np.finfo(np.float16).max:
                    raise UserError(
                        "a weight is too large for half precision; train with more weight decay"
                    )
                values = values.astype(np.float16)
            target.create_dataset(name, data=values)

        source.visititems(copy)
    return result.getvalue()
