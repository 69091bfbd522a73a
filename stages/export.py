"""Turn the trained network into the file that is served: `python -m stages.export DATASET`.

Reads model.keras and the PublicTest split of faces.npz; writes model.onnx: uint8
[N, 48, 48] in, calibrated probabilities [N, 7] out, its own description inside.
"""

import hashlib
import json
import logging
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import onnx
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss

from recognizer.classifier import FORMAT, INPUT, OUTPUT, Classifier
from stages.artifacts import Artifacts, written_atomically
from stages.errors import UserError
from stages.fer_csv import EMOTIONS, SIZE, SPLITS
from stages.parameters import Parameters
from stages.shell import run

log = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference between a probability of the Keras network and of the ONNX file."""


def served_model(network: keras.Model, size: int, temperature: float) -> keras.Model:
    """Wrap a network the way it is served.

    Parameters
    ----------
    network : keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, 7].
    size : int
        Height and width that the network was trained on last.
    temperature : float
        Divides the logits (Guo et al., On Calibration of Modern Neural Networks, 2017).

    Returns
    -------
    keras.Model
        `faces` uint8 [N, 48, 48] to `probabilities` float32 [N, 7].
    """
    faces = keras.Input((SIZE, SIZE), dtype="uint8", name=INPUT)
    x = keras.ops.expand_dims(keras.ops.cast(faces, "float32"), -1)
    if size != SIZE:
        x = keras.layers.Resizing(size, size, interpolation="bilinear")(x)
    logits = keras.layers.Rescaling(1 / temperature)(network(x, training=False))
    return keras.Model(faces, keras.layers.Softmax(name=OUTPUT)(logits))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature in 0.1 … 10 with the lowest log loss.

    Parameters
    ----------
    logits : float [N, C]
    labels : int [N]

    Returns
    -------
    float
        Below 1 where the network is too timid, above 1 where it is too sure.
    """

    def cost(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -scores[np.arange(len(labels)), labels].mean()

    found = minimize_scalar(
        cost, bounds=np.log([0.1, 10]), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def convert(model: keras.Model, metadata: dict[str, str]) -> onnx.ModelProto:
    """Convert a served model to ONNX, name its input and output and add the metadata."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        faces = keras.InputSpec("uint8", (None, SIZE, SIZE), name=INPUT)
        with warnings.catch_warnings():
            # Keras asks NumPy 2 for a name of NumPy 1, and is not bothered by the answer.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            model.export(path, format="onnx", input_signature=[faces], verbose=False)
        exported = onnx.load(path)
    _name_by_position(exported.graph)
    for value in (*exported.graph.input, *exported.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    exported.graph.name = "facial expression recognition"
    exported.graph.doc_string = ""
    onnx.helper.set_model_props(exported, dict(sorted(metadata.items())))
    onnx.checker.check_model(exported, full_check=True)
    return exported


def _name_by_position(graph: onnx.GraphProto) -> None:
    """Rename nodes and tensors by their place in the graph, the input and output by contract.

    tf2onnx numbers them, and sorts the constants by these numbers, differently in
    every process; the same network shall give the same bytes.
    """
    # An optional input that is left out has the empty name.
    names = {"": "", graph.input[0].name: INPUT, graph.output[0].name: OUTPUT}
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
        for position, name in enumerate(node.input):
            names.setdefault(name, f"{node.name}.input_{position}")
        for position, name in enumerate(node.output):
            names.setdefault(name, f"{node.name}.output_{position}")
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = names[value.name]
    graph.initializer.sort(key=lambda constant: constant.name)


def main(dataset: str, settings: Parameters) -> None:
    """Calibrate on PublicTest, write the ONNX file, and prove that it says what Keras says."""
    files = Artifacts(dataset)
    for path in (files.data / "faces.npz", files.data / "train.npz", files.models / "model.keras"):
        if not path.exists():
            raise UserError(f"{path}: not found; run `dvc repro`, which makes it first")
    size = settings.train.resolutions[-1].size
    network = keras.saving.load_model(files.models / "model.keras", compile=False)
    with np.load(files.data / "faces.npz") as arrays:
        public = arrays["split"] == SPLITS.index("PublicTest")
        images, labels = arrays["images"][public], arrays["labels"][public]

    # Logits through the served graph itself: the log of its uncalibrated probabilities.
    uncalibrated = served_model(network, size, 1.0).predict(images, 256, verbose=0)
    logits = np.log(uncalibrated.clip(1e-30))
    temperature = fit_temperature(logits, labels)
    probabilities = softmax(logits / temperature, axis=1)
    log.info("temperature %.3f", temperature)

    served = served_model(network, size, temperature)
    metadata = {
        "format": FORMAT,
        "labels": json.dumps(EMOTIONS),
        "dataset": dataset,
        "parameters_digest": _parameters_digest(settings),
        "data_digest": hashlib.sha256((files.data / "train.npz").read_bytes()).hexdigest(),
        "temperature": f"{temperature:.6f}",
        "metrics": json.dumps({"PublicTest": _headline(labels, probabilities)}),
    }
    exported = convert(served, metadata)
    with written_atomically(files.models / "model.onnx") as temporary:
        onnx.save(exported, temporary)
        difference = np.abs(
            Classifier(temporary).predict(images) - served.predict(images, 256, verbose=0)
        ).max()
        if not difference <= TOLERANCE:
            raise UserError(
                f"model.onnx: a probability differs from the Keras network's by {difference:.2g},"
                f" more than {TOLERANCE:.0e}; the conversion is wrong for network"
                f" {settings.train.network.name}, nothing was written"
            )
    log.info("model.onnx differs from Keras by at most %.1e", difference)


def _parameters_digest(settings: Parameters) -> str:
    """SHA-256 of the parameters that shape a model: all sections but `evaluate`."""
    return hashlib.sha256(settings.model_dump_json(exclude={"evaluate"}).encode()).hexdigest()


def _headline(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": round(accuracy_score(labels, predicted), 4),
        "macro_f1": round(f1_score(labels, predicted, average="macro", zero_division=0), 4),
        "log_loss": round(log_loss(labels, probabilities, labels=range(len(EMOTIONS))), 4),
    }


if __name__ == "__main__":
    run(main, __doc__)
