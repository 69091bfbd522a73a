"""Turn the trained network into the file that is served: `python -m stages.export DATASET`.

Reads model.keras, the Training and PublicTest splits of faces.npz; writes model.onnx: uint8
[N, 48, 48] in, calibrated probabilities [N, 7] out, its own description inside. float32.onnx is
the same before its own network was quantised: what quantisation costs can be measured on it.
Both also hold the teachers that `export.committee` names, and answer with the mean of all logits.
"""

import hashlib
import json
import logging

import keras
import numpy as np
import onnx
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from recognizer.classifier import FORMAT, OUTPUT, Classifier
from stages.artifacts import Artifacts, written_atomically
from stages.committee import committee, read_teachers
from stages.conversion import convert, dequantized, served_model, to_precision
from stages.errors import UserError
from stages.fer_csv import EMOTIONS, SPLITS
from stages.logits import LOGITS, predict_logits
from stages.parameters import Parameters
from stages.shell import run

log = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference between a probability of the Keras network and of float32.onnx."""


# ---------------------------------------------------------------- calibration


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find a scale and a bias for each class's logit that make the labels likely.

    Vector scaling (Guo et al., On Calibration of Modern Neural Networks, 2017). Few faces
    change little: the scales' logarithms and the biases have a normal prior around 0 with
    standard deviation 0.5.

    Parameters
    ----------
    logits : float [N, C]
    labels : int [N]

    Returns
    -------
    scale : float32 [C]
        Above 1 where the network is too timid, below 1 where it is too sure.
    bias : float32 [C]
    """
    classes = logits.shape[1]
    targets = np.eye(classes)[labels]

    def cost(values: np.ndarray) -> tuple[float, np.ndarray]:
        scale, bias = np.exp(values[:classes]), values[classes:]
        scores = log_softmax(logits * scale + bias, axis=1)
        error = np.exp(scores) - targets
        slope = np.concatenate([scale * (error * logits).sum(axis=0), error.sum(axis=0)])
        prior = 0.5 / 0.5**2 * (values**2).sum()
        return prior - (targets * scores).sum(), slope + values / 0.5**2

    found = minimize(cost, np.zeros(2 * classes), jac=True, method="L-BFGS-B")
    return np.float32(np.exp(found.x[:classes])), np.float32(found.x[classes:])


def raise_recalls(scores: np.ndarray, labels: np.ndarray, floor: float) -> np.ndarray:
    """Find how much to add to each class's logit so that no class is forgotten.

    The class of the lowest recall rises by 0.01 until every recall is at least `floor`: a logit
    adjustment after training (Menon et al., 2021), by what the network finds hard instead of by
    frequency.

    Parameters
    ----------
    scores : float [N, C]
        Calibrated logits.
    labels : int [N]
        Every class must occur.
    floor : float
        0 … 1.

    Returns
    -------
    float32 [C], 0 and above.

    Raises
    ------
    UserError
        The classes push each other below the floor for ever.
    """
    added = np.zeros(scores.shape[1], np.float32)
    for _ in range(100 * scores.shape[1]):
        recalls = recall_score(labels, (scores + added).argmax(axis=1), average=None)
        if recalls.min() >= floor:
            return added
        added[recalls.argmin()] += np.float32(0.01)
    raise UserError(
        f"no emotion can be given a recall of {floor} on PublicTest without taking it from"
        f" another (now {recalls.min():.2f}); lower export.recall_floor or train a better network"
    )


def calibrated(
    model: onnx.ModelProto, scale: np.ndarray, bias: np.ndarray, metadata: dict[str, str]
) -> onnx.ModelProto:
    """Go on from `logits` to `probabilities`, and add the metadata.

    Parameters
    ----------
    model : onnx.ModelProto
        `faces` to `logits`.
    scale, bias : float32 [C]
    metadata : dict
        Text by key.
    """
    complete, make = onnx.ModelProto(), onnx.helper
    complete.CopyFrom(model)
    graph = complete.graph
    graph.node.extend(
        [
            make.make_node("Mul", [LOGITS, "scale"], ["scaled"], "Scale"),
            make.make_node("Add", ["scaled", "bias"], ["calibrated"], "Bias"),
            make.make_node("Softmax", ["calibrated"], [OUTPUT], "Softmax", axis=1),
        ]
    )
    graph.initializer.extend(
        [onnx.numpy_helper.from_array(scale, "scale"), onnx.numpy_helper.from_array(bias, "bias")]
    )
    graph.output[0].name = OUTPUT
    make.set_model_props(complete, dict(sorted(metadata.items())))
    onnx.checker.check_model(complete, full_check=True)
    return complete


# ---------------------------------------------------------------- the stage


def main(dataset: str, settings: Parameters) -> None:
    """Convert, quantise, calibrate on PublicTest, and prove that ONNX says what Keras says."""
    files = Artifacts(dataset)
    for path in (files.data / "faces.npz", files.data / "train.npz", files.models / "model.keras"):
        if not path.exists():
            raise UserError(f"{path}: not found; run `dvc repro`, which makes it first")
    network = keras.saving.load_model(files.models / "model.keras", compile=False)
    with np.load(files.data / "faces.npz") as arrays:
        split, images, labels = arrays["split"], arrays["images"], arrays["labels"]
    training, public = (split == SPLITS.index(name) for name in SPLITS[:2])
    description = {
        "format": FORMAT,
        "labels": json.dumps(EMOTIONS),
        "dataset": dataset,
        "parameters_digest": _parameters_digest(settings),
        "data_digest": hashlib.sha256((files.data / "train.npz").read_bytes()).hexdigest(),
    }

    served = served_model(network, settings.train.resolutions[-1].size)
    converted = convert(served)
    _compare(converted, served, images[public], settings.train.network.name)
    networks = {
        "float32.onnx": converted,
        "model.onnx": to_precision(converted, settings.export, images[training]),
    }
    if settings.export.committee:
        teachers = [
            to_precision(dequantized(teacher), settings.export, images[training])
            for teacher in read_teachers(files.models / "teachers", settings.export.committee)
        ]
        networks = {name: committee([own, *teachers]) for name, own in networks.items()}
    judged = images[public], labels[public], settings.export.recall_floor
    models = {name: _calibrated_on(*judged, own, description) for name, own in networks.items()}
    for name, model in models.items():
        with written_atomically(files.models / name) as temporary:
            onnx.save(model, temporary)
            Classifier(temporary)  # raises where the contract is broken


def _compare(converted: onnx.ModelProto, served: keras.Model, faces, network: str) -> None:
    expected = softmax(served.predict(faces, 256, verbose=0), axis=1)
    difference = np.abs(softmax(predict_logits(converted, faces), axis=1) - expected).max()
    if not difference <= TOLERANCE:
        raise UserError(
            f"model.onnx: a probability differs from the Keras network's by {difference:.2g},"
            f" more than {TOLERANCE:.0e}; the conversion is wrong for network {network},"
            " nothing was written"
        )
    log.info("float32.onnx differs from Keras by at most %.1e", difference)


def _calibrated_on(faces, labels, recall_floor, model, description) -> onnx.ModelProto:
    """Calibrate a model on these faces, and let it describe itself."""
    logits = predict_logits(model, faces)
    scale, bias = fit_calibration(logits, labels)
    bias += raise_recalls(logits * scale + bias, labels, recall_floor)
    properties = {
        "calibration": json.dumps({"scale": _rounded(scale), "bias": _rounded(bias)}),
        "metrics": json.dumps(
            {"PublicTest": _headline(labels, softmax(logits * scale + bias, axis=1))}
        ),
    }
    return calibrated(model, scale, bias, description | properties)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]


def _parameters_digest(settings: Parameters) -> str:
    """SHA-256 of the parameters that shape a model: all sections but `evaluate`."""
    shaping = settings.model_dump_json(exclude={"evaluate"})
    return hashlib.sha256(shaping.encode()).hexdigest()


def _headline(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": round(accuracy_score(labels, predicted), 4),
        "macro_f1": round(f1_score(labels, predicted, average="macro", zero_division=0), 4),
        "log_loss": round(log_loss(labels, probabilities, labels=range(len(EMOTIONS))), 4),
    }


if __name__ == "__main__":
    run(main, "Convert the network to ONNX, quantize and calibrate it.")
