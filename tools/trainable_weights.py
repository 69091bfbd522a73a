"""Write a dataset's trainable weights for git: `python -m tools.trainable_weights DATASET`.

model.keras is in DVC's cache alone, and model.onnx cannot be trained. This writes
models/DATASET/weights.keras: the trained network with its kernels in half precision, half the size
of model.keras. Other datasets start their training from it by `train.init`; Keras loads it too. Its
metadata.json names the labels and the version of model.onnx that it belongs to.

Run it after `dvc repro`, and commit the file together with model.onnx.
"""

import argparse
import hashlib
import logging
import sys
from pathlib import Path

import numpy as np
import yaml

from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts
from stages.dataset.faces import Faces
from stages.errors import UserError
from stages.parameters import load_parameters
from stages.training.keras_archive import (
    TRAINABLE_WEIGHTS,
    load_network,
    save_trainable_weights,
)
from stages.training.trainer import predict_probabilities

TOLERANCE = 0.01
"""Largest change of a probability by half precision."""

log = logging.getLogger(__name__)


def write_trainable_weights(dataset: str) -> None:
    """Write weights.keras and compare its predictions on PublicTest with those of model.keras.

    Raises
    ------
    UserError
        A file of the dataset is missing, model.onnx was not exported from this model.keras, or half
        precision changes the predictions. An existing file stays as it is.
    """
    files = Artifacts(dataset)
    check_export(dataset)
    size = load_parameters(dataset).train.resolutions[-1].size
    faces = Faces.read(files.data / "faces.npz")
    public = faces.of_split("PublicTest")
    network = load_network(files.models / "model.keras")
    description = {
        "dataset": dataset,
        "labels": list(faces.emotions),
        "model": hashlib.sha256((files.models / "model.onnx").read_bytes()).hexdigest(),
    }
    path = files.models / TRAINABLE_WEIGHTS
    with written_atomically(path) as temporary:
        save_trainable_weights(network, temporary, description)
        before, after = (
            predict_probabilities(own, public.images, size)
            for own in (network, load_network(temporary))
        )
        difference = np.abs(before - after).max()
        if not difference <= TOLERANCE:
            raise UserError(
                f"{path}: half precision changes a probability by {difference:.2g}, more than"
                f" {TOLERANCE}; nothing was written"
            )
        changed = np.count_nonzero(before.argmax(axis=1) != after.argmax(axis=1))
        accuracies = [(own.argmax(axis=1) == public.labels).mean() for own in (before, after)]
        log.info(
            "%s: %.2f MB; on PublicTest %d of %d predictions differ from model.keras, a probability"
            " by at most %.1e; accuracy %.4f, before %.4f",
            path,
            temporary.stat().st_size / 1e6,
            changed,
            len(before),
            difference,
            accuracies[1],
            accuracies[0],
        )


def check_export(dataset: str) -> None:
    """Raise UserError unless dvc.lock records that model.onnx was exported from model.keras."""
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    stage = lock["stages"].get(f"export@{dataset}", {"deps": [], "outs": []})
    recorded = {file["path"]: file["md5"] for file in (*stage["deps"], *stage["outs"])}
    for name in ("model.keras", "model.onnx"):
        path = Artifacts(dataset).models / name
        if not path.is_file():
            raise UserError(f"{path}: not found; run `dvc repro`, which makes it first")
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        if recorded.get(path.as_posix()) != md5:
            raise UserError(
                f"{path}: not the file of stage export@{dataset} in dvc.lock; run `dvc repro`"
            )


def main() -> None:
    """Write the weights of the dataset named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="the name of a file of params/, for instance sample")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        write_trainable_weights(parser.parse_args().dataset)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
