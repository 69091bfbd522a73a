"""Train one teacher on the dataset's balanced faces: `python -m experiments.teacher NAME`.

Writes experiments/teachers/NAME.onnx (faces to logits, not calibrated, in the precision of
`teacher_export`) and NAME.json (its metrics on PublicTest). A parameter file of the pipeline uses
a teacher by its path and SHA-256, so a teacher that is trained again changes no dataset by itself.
A killed run resumes after its last finished epoch.
"""

import argparse
import hashlib
import logging
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
from sklearn.metrics import accuracy_score, f1_score

from experiments.settings import load_experiments
from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts, write_metrics
from stages.dataset.faces import Faces
from stages.errors import UserError
from stages.onnx_graph.conversion import convert, served_model
from stages.onnx_graph.logits import predict_logits
from stages.onnx_graph.quantization import to_precision
from stages.parameters import Export
from stages.training.data import read_training_data
from stages.training.trainer import make_repeatable, run_fingerprint, train_resumably

FOLDER = Path("experiments/teachers")

log = logging.getLogger(__name__)


def main() -> None:
    """Train one teacher, export it and measure it on PublicTest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a key of `teachers` in experiments/params.yaml")
    name = parser.parse_args().name
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        train_teacher(name)
    except UserError as error:
        sys.exit(f"error: {error}")


def train_teacher(name: str) -> None:
    """Train, export and measure the teacher of this name.

    Raises
    ------
    UserError
        There is no such teacher, or a file of the dataset is missing.
    """
    make_repeatable()
    experiments = load_experiments()
    settings = experiments.teacher(name)
    files = Artifacts(experiments.dataset)
    data = read_training_data(files, settings)
    resume = FOLDER / f".{name}.resume.npz"
    network, _ = train_resumably(data, settings, resume, run_fingerprint(data, settings))
    faces = Faces.read(files.data / "faces.npz")
    write_teacher(name, network, settings.resolutions[-1].size, experiments.teacher_export, faces)
    resume.unlink()


def write_teacher(
    name: str,
    network: keras.Model,
    size: int,
    export: Export,
    faces: Faces,
    pretrained_on: str | None = None,
) -> None:
    """Write NAME.onnx and NAME.json.

    Parameters
    ----------
    name : str
    network : keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, C].
    size : int
    export : Export
        Precision of the file.
    faces : Faces
        Of all splits. Those of Training determine the ranges of the activations, those of
        PublicTest the metrics.
    pretrained_on : str or None
        As in `write_description`.
    """
    converted = convert(served_model(network, size))
    teacher = to_precision(converted, export, faces.of_split("Training").images)
    path = FOLDER / f"{name}.onnx"
    with written_atomically(path) as temporary:
        onnx.save(teacher, temporary)
    public = faces.of_split("PublicTest")
    predicted = predict_logits(teacher, public.images).argmax(axis=1)
    write_description(path, network, public.labels, predicted, pretrained_on)


def write_description(
    path: Path,
    network: keras.Model,
    labels: np.ndarray,
    predicted: np.ndarray,
    pretrained_on: str | None = None,
) -> None:
    """Write the JSON file beside a file of experiments/teachers.

    Parameters
    ----------
    path : Path
    network : keras.Model
        The one in the file.
    labels, predicted : int [N]
        Of PublicTest.
    pretrained_on : str or None
        What the network, or one that taught it, had learned from before.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_metrics(
        path.with_suffix(".json"),
        {
            "parameters": network.count_params(),
            "sha256": digest,
            "accuracy": accuracy_score(labels, predicted),
            "macro_f1": f1_score(labels, predicted, average="macro"),
            **({"pretrained_on": pretrained_on} if pretrained_on else {}),
        },
    )
    log.info("%s: SHA-256 %s", path.name, digest[:12])


if __name__ == "__main__":
    main()
