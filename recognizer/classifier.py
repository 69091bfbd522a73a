"""The model file model.onnx: its contract, its metadata, its probabilities."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime

from recognizer.errors import ModelError
from recognizer.onnx_operators import DamagedError, check_operators
from recognizer.regular_file import MAX_MODEL_BYTES, read_regular_file
from recognizer.training_distribution import TrainingDistribution, parse

T = TypeVar("T")

FORMAT = "fer-onnx/2"
"""Value of the metadata key `format` in a file with the contract below."""

OLD_FORMAT = "fer-onnx/1"
"""The older contract: one `temperature` instead of `calibration`."""

SIZE = 48
"""Height and width of a face crop in pixels, as in FER-2013."""

INPUT = "faces"
"""Name of the only input: uint8 [N, 48, 48], grey levels."""

OUTPUT = "probabilities"
"""Name of the only output: float32 [N, C], one column per label, rows sum to 1."""

BATCH = 64
"""Faces per run of the network. Larger batches are no faster on a CPU and take more memory."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities are softmax(scale · logits + bias); both are in the order of the labels.

    Vector scaling: Guo et al., On Calibration of Modern Neural Networks (ICML 2017).
    """

    scale: tuple[float, ...]
    bias: tuple[float, ...]


@dataclass(frozen=True)
class Metadata:
    """The metadata in a model file."""

    format: str
    labels: tuple[str, ...]
    """Names of the emotions, in the order of the probabilities."""
    dataset: str
    parameters_digest: str
    """SHA-256 of the training parameters, in hexadecimal digits."""
    data_digest: str
    """SHA-256 of the training data, in hexadecimal digits."""
    calibration: Calibration
    metrics: dict[str, Any]
    """Headline metrics by split, measured by the export stage; may be empty."""
    training_distribution: TrainingDistribution | None
    """Of the faces of Training; None in a file of an older export."""


class Classifier:
    """Classifies faces with a model file. Many threads may use it at once.

    Parameters
    ----------
    path : Path
        A model.onnx of the export stage.
    threads : int
        Threads of one call of `predict`.

    Attributes
    ----------
    version : str
        SHA-256 of the file's bytes, in hexadecimal digits.
    metadata : Metadata
    labels : tuple of str
    dataset : str

    Raises
    ------
    ModelError
        The file cannot be read, is not an ONNX model, or does not have this project's contract.
    """

    def __init__(self, path: Path, threads: int = 1):
        try:
            content = read_regular_file(Path(path), MAX_MODEL_BYTES)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
        self._load(content, str(path), threads)

    @classmethod
    def of(cls, content: bytes, name: str, threads: int = 1) -> "Classifier":
        """Load a file that has been read; `name` is its name in the errors."""
        classifier = cls.__new__(cls)
        classifier._load(content, name, threads)
        return classifier

    def _load(self, content: bytes, name: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are in the exception
        # onnxruntime would also accept its own format, whose operators are not checked.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            check_operators(content)
        except DamagedError as error:
            raise ModelError(f"{name}: not an ONNX model, or a damaged one") from error
        except ValueError as error:
            raise ModelError(f"{name}: not a model of this project: {error}") from None
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the exceptions of onnxruntime have no other common class
            raise ModelError(f"{name}: not an ONNX model, or a damaged one") from error
        try:
            self.metadata = _read_metadata(self._session.get_modelmeta().custom_metadata_map)
            _check_tensors(self._session, len(self.metadata.labels))
        except ValueError as error:
            raise ModelError(f"{name}: not a model of this project: {error}") from None
        self.version = hashlib.sha256(content).hexdigest()
        self.labels = self.metadata.labels
        self.dataset = self.metadata.dataset

    def predict(self, faces: np.ndarray) -> np.ndarray:
        """Classify faces in batches of at most `BATCH`.

        Parameters
        ----------
        faces : uint8 [N, 48, 48]
            Grey levels of aligned crops, as in FER-2013. N may be 0.

        Returns
        -------
        float32 [N, C]
            Calibrated probabilities in the order of `labels`; rows sum to 1.

        Raises
        ------
        ValueError
            `faces` has another dtype or shape.
        """
        if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1:] != (SIZE, SIZE):
            shape = ", ".join(map(str, faces.shape))
            raise ValueError(
                f"faces: expected uint8 [N, {SIZE}, {SIZE}], got {faces.dtype} [{shape}]"
            )
        probabilities = np.empty((len(faces), len(self.labels)), np.float32)
        for start in range(0, len(faces), BATCH):
            batch = slice(start, start + BATCH)
            probabilities[batch] = self._session.run([OUTPUT], {INPUT: faces[batch]})[0]
        return probabilities


def _read_metadata(properties: Mapping[str, str]) -> Metadata:
    """Check and convert the properties of a file; raise ValueError for a wrong one."""
    found = properties.get("format")
    if found not in (FORMAT, OLD_FORMAT):
        raise ValueError(f"metadata format is {found!r}, expected {FORMAT!r}")

    def field(key: str, read: Callable[[str], T], expected: str) -> T:
        if key not in properties:
            raise ValueError(f"metadata {key} is missing")
        try:
            return read(properties[key])
        except ValueError:
            raise ValueError(f"metadata {key} is not {expected}") from None

    labels = field("labels", _labels, "a JSON list of different names")
    if found == FORMAT:
        expected = "a JSON object of scale, positive numbers, and bias, numbers"
        calibration = field("calibration", _calibration, expected)
        if {len(calibration.scale), len(calibration.bias)} != {len(labels)}:
            raise ValueError(f"metadata calibration is not {expected}, one for each label")
    else:
        scale = 1 / field("temperature", _temperature, "a positive number")
        calibration = Calibration((scale,) * len(labels), (0.0,) * len(labels))
    distribution = None
    if "training_distribution" in properties:
        distribution = field(
            "training_distribution",
            lambda text: parse(text, labels),
            "a JSON object of faces, emotion_shares, brightness and contrast",
        )
    return Metadata(
        format=found,
        labels=labels,
        dataset=field("dataset", _name, "a dataset's name"),
        parameters_digest=field("parameters_digest", _digest, "hexadecimal digits"),
        data_digest=field("data_digest", _digest, "hexadecimal digits"),
        calibration=calibration,
        metrics=field("metrics", _metrics, "a JSON object"),
        training_distribution=distribution,
    )


def _labels(text: str) -> tuple[str, ...]:
    labels = json.loads(text)
    if (
        not isinstance(labels, list)
        or not labels
        or not all(isinstance(label, str) and label for label in labels)
        or len(set(labels)) < len(labels)
    ):
        raise ValueError
    return tuple(labels)


def _name(text: str) -> str:
    # The name of a folder; a path to another folder is refused.
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise ValueError
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]+", text):
        raise ValueError
    return text


def _calibration(text: str) -> Calibration:
    lists = json.loads(text, parse_int=float)
    if not isinstance(lists, dict) or set(lists) != {"scale", "bias"}:
        raise ValueError
    for values in lists.values():
        if not isinstance(values, list):
            raise ValueError
        if not all(isinstance(value, float) and isfinite(value) for value in values):
            raise ValueError
    if not all(value > 0 for value in lists["scale"]):
        raise ValueError
    return Calibration(tuple(lists["scale"]), tuple(lists["bias"]))


def _temperature(text: str) -> float:
    temperature = float(text)
    if not 0 < temperature < float("inf"):
        raise ValueError
    return temperature


def _metrics(text: str) -> dict[str, Any]:
    metrics = json.loads(text)
    if not isinstance(metrics, dict):
        raise ValueError
    return metrics


def _check_tensors(session: onnxruntime.InferenceSession, labels: int) -> None:
    """Compare names, types and shapes with the contract; raise ValueError for a difference."""
    for kind, found, expected in (
        ("inputs", session.get_inputs(), (INPUT, "tensor(uint8)", [SIZE, SIZE])),
        ("outputs", session.get_outputs(), (OUTPUT, "tensor(float)", [labels])),
    ):
        name, type_, shape = expected
        if (
            len(found) != 1
            or (found[0].name, found[0].type) != (name, type_)
            or found[0].shape[1:] != shape
            or isinstance(found[0].shape[0], int)
        ):
            tensors = ", ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in found)
            wanted = f"{name} {type_} {['N', *shape]}"
            raise ValueError(f"its {kind} are {tensors or 'none'}, expected {wanted}")
