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
    training = Faces.read(files.data / "faces.npz").of_split("Training").images
    converted = convert(served_model(network, settings.resolutions[-1].size))
    teacher = to_precision(converted, experiments.teacher_export, training)
    with written_atomically(FOLDER / f"{name}.onnx") as temporary:
        onnx.save(teacher, temporary)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    predicted = predict_logits(teacher, data.validation_images).argmax(axis=1)
    write_metrics(
        FOLDER / f"{name}.json",
        {
            "parameters": network.count_params(),
            "sha256": digest,
            "accuracy": accuracy_score(data.validation_labels, predicted),
            "macro_f1": f1_score(data.validation_labels, predicted, average="macro"),
        },
    )
    resume.unlink()
    log.info("teacher %s: SHA-256 %s", name, digest[:12])


if __name__ == "__main__":
    main()
