"""Export the trained network as the served file: `python -m stages.export DATASET`.

Reads model.keras and the Training and PublicTest splits of faces.npz; writes model.onnx: faces
uint8 [N, 48, 48] to calibrated probabilities [N, C], with its description as metadata.
float32.onnx is the same before quantization, to measure what quantization costs.
"""

from stages.command_line import check_parameters, run

if __name__ == "__main__":
    check_parameters()  # before the following imports, which take seconds

import hashlib
import json
import logging
from dataclasses import asdict

import keras
import numpy as np
import onnx
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss

from recognizer.atomic_file import written_atomically
from recognizer.classifier import FORMAT, Classifier
from recognizer.training_distribution import measure
from stages.artifacts import Artifacts, rounded
from stages.dataset.faces import Faces
from stages.errors import UserError
from stages.onnx_graph.calibration import calibrated, fit_calibration, raise_recalls
from stages.onnx_graph.conversion import convert, served_model
from stages.onnx_graph.logits import predict_logits
from stages.onnx_graph.quantization import to_precision
from stages.parameters import Parameters

log = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference between a probability of the Keras network and of float32.onnx."""


def main(dataset: str, settings: Parameters) -> None:
    """Convert, quantize, calibrate on PublicTest, and compare ONNX with Keras."""
    files = Artifacts(dataset)
    for path in (files.data / "train.npz", files.models / "model.keras"):
        if not path.exists():
            raise UserError(f"{path}: not found; run `dvc repro`, which makes it first")
    faces = Faces.read(files.data / "faces.npz")
    training, public = faces.of_split("Training"), faces.of_split("PublicTest")
    network = keras.saving.load_model(files.models / "model.keras", compile=False)
    description = {
        "format": FORMAT,
        "labels": json.dumps(faces.emotions),
        "dataset": dataset,
        "parameters_digest": parameters_digest(settings),
        "data_digest": hashlib.sha256((files.data / "train.npz").read_bytes()).hexdigest(),
        "training_distribution": json.dumps(
            asdict(measure(training.images, training.labels, faces.emotions))
        ),
    }

    served = served_model(network, settings.train.resolutions[-1].size)
    converted = convert(served)
    _compare(converted, served, public.images, settings.train.network.name)
    networks = {
        "float32.onnx": converted,
        "model.onnx": to_precision(converted, settings.export, training.images),
    }
    validation = public.images, public.labels, settings.export.recall_floor
    models = {name: _calibrated_on(*validation, own, description) for name, own in networks.items()}
    for name, model in models.items():
        with written_atomically(files.models / name) as temporary:
            onnx.save(model, temporary)
            Classifier(temporary)  # raises where the contract is broken


def _compare(
    converted: onnx.ModelProto, served: keras.Model, faces: np.ndarray, network: str
) -> None:
    expected = softmax(served.predict(faces, 256, verbose=0), axis=1)
    difference = np.abs(softmax(predict_logits(converted, faces), axis=1) - expected).max()
    if not difference <= TOLERANCE:
        raise UserError(
            f"model.onnx: a probability differs from the Keras network's by {difference:.2g},"
            f" more than {TOLERANCE:.0e}; the conversion is wrong for network {network},"
            " nothing was written"
        )
    log.info("float32.onnx differs from Keras by at most %.1e", difference)


def _calibrated_on(
    faces: np.ndarray,
    labels: np.ndarray,
    recall_floor: float,
    model: onnx.ModelProto,
    description: dict[str, str],
) -> onnx.ModelProto:
    """Calibrate a model on these faces, and add its description."""
    logits = predict_logits(model, faces)
    scale, bias = fit_calibration(logits, labels)
    bias += raise_recalls(logits * scale + bias, labels, recall_floor)
    properties = {
        "calibration": json.dumps(rounded({"scale": scale.tolist(), "bias": bias.tolist()}, 6)),
        "metrics": json.dumps(
            {"PublicTest": _headline(labels, softmax(logits * scale + bias, axis=1))}
        ),
    }
    return calibrated(model, scale, bias, description | properties)


def parameters_digest(settings: Parameters) -> str:
    """SHA-256 of the parameters that shape a model: all sections but `evaluate`."""
    shaping = settings.model_dump_json(exclude={"evaluate"})
    return hashlib.sha256(shaping.encode()).hexdigest()


def _headline(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": round(accuracy_score(labels, predicted), 4),
        "macro_f1": round(f1_score(labels, predicted, average="macro", zero_division=0), 4),
        "log_loss": round(log_loss(labels, probabilities, labels=range(probabilities.shape[1])), 4),
    }


if __name__ == "__main__":
    run(main, "Convert the network to ONNX, quantize and calibrate it.")
