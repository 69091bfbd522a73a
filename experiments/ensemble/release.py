"""Write the networks of a run as files that the pipeline names by their SHA-256.

`python -m experiments.ensemble.release OUT`, in the pipeline's environment. Writes into
experiments/teachers NAME.onnx for each of `teachers` in params.yaml (faces to logits, as
`experiments.teacher` writes it), NAME.keras for each of `starts`, and NAME.json, their
metrics on PublicTest.
"""

import argparse
import logging
import sys
from pathlib import Path

import keras
import numpy as np

from experiments.ensemble.networks import build_ordinary
from experiments.ensemble.settings import Ensemble, FaceResNet, Member, load_ensemble
from experiments.settings import load_experiments
from experiments.teacher import FOLDER, write_description, write_teacher
from stages.artifacts import Artifacts
from stages.dataset.faces import Faces
from stages.errors import UserError
from stages.training.keras_archive import save_trainable_weights
from stages.training.symmetry import ordinary_weights
from stages.training.trainer import predict_probabilities

PRETRAINED_ON = "faces: dlib's face recognition ResNet (CC0), about 3 million photos from the web"
"""What the network `FaceResNet` has learned from before; it teaches the later phases."""


def main() -> None:
    """Write the teachers and the starts that the parameters name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder that `python -m experiments.ensemble` wrote")
    out = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        release(out)
    except UserError as error:
        sys.exit(f"error: {error}")


def release(out: Path) -> None:
    """Write the files of experiments/teachers.

    Raises
    ------
    UserError
        A network is missing in `out`.
    """
    ensemble, export = load_ensemble(), load_experiments().teacher_export
    members = {name: one for phase in ensemble.phases for name, one in phase.members.items()}
    faces = Faces.read(Artifacts(ensemble.dataset).data / "faces.npz")
    public = faces.of_split("PublicTest")
    pretrained = pretrained_networks(ensemble)
    for name in ensemble.teachers:
        network = read_network(members[name], out / f"{name}.npz", len(faces.emotions))
        pretrained_on = PRETRAINED_ON if name in pretrained else None
        write_teacher(name, network, members[name].size, export, faces, pretrained_on)
    for name in ensemble.starts:
        network = read_network(members[name], out / f"{name}.npz", len(faces.emotions))
        pretrained_on = PRETRAINED_ON if name in pretrained else None
        path = FOLDER / f"{name}.keras"
        save_trainable_weights(network, path, {"labels": list(faces.emotions)})
        probabilities = predict_probabilities(network, public.images, members[name].size)
        predicted = probabilities.argmax(axis=1)
        write_description(path, network, public.labels, predicted, pretrained_on)


def pretrained_networks(ensemble: Ensemble) -> set[str]:
    """Names of the networks that start from dlib's weights, or learn from one that does."""
    found: set[str] = set()
    for phase in ensemble.phases:
        taught = set(phase.members) if found else set()
        found |= taught | {
            name for name, one in phase.members.items() if isinstance(one.network, FaceResNet)
        }
    return found


def read_network(member: Member, file: Path, classes: int) -> keras.Model:
    """Build the ordinary network of a member with the weights of a run.

    Returns
    -------
    keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, C].

    Raises
    ------
    UserError
        There is no such file, or its weights are those of another network.
    """
    # Keras numbers the layers of a session, and the names are in the files.
    keras.backend.clear_session()
    network = build_ordinary(member.network, member.size, classes)
    try:
        with np.load(file) as arrays:
            weights = [arrays[name].astype(np.float32) for name in arrays.files]
        network.set_weights(ordinary_weights(weights, network))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not the weights of this network: {error}") from None
    return network


if __name__ == "__main__":
    main()
