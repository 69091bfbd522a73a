"""The export stage: what is served says what was trained, calibrated, and describes itself."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss

from recognizer.classifier import Classifier
from stages import export, parameters
from stages.augmentation import resize
from stages.errors import UserError
from stages.export import convert, fit_temperature, served_model
from stages.fer_csv import EMOTIONS
from stages.networks import build_network
from stages.parameters import load_parameters

ROOT = Path(__file__).parents[2]
NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)
# From coarse to fine: random networks average plain noise away.
FACES = np.stack([cv2.resize(face[: n + 3, : n + 3], (48, 48)) for n, face in enumerate(NOISE)])
LABELS = (np.arange(40) % 7).astype(np.uint8)
DIGEST = "0a" * 32
METADATA = {
    "format": "fer-onnx/1",
    "labels": json.dumps(EMOTIONS),
    "dataset": "tiny",
    "parameters_digest": DIGEST,
    "data_digest": DIGEST,
    "temperature": "1.5",
    "metrics": "{}",
}
RESIDUAL = parameters.Residual(name="residual", widths=[4, 8], blocks=1, dropout=0.2)


def trained(network, size: int, seed: int = 0) -> keras.Model:
    """A network whose every weight is random, batch normalisation's statistics among them."""
    built = build_network(network, size, 7)
    rng = np.random.default_rng(seed)

    def values(weight) -> np.ndarray:
        if weight.name in ("gamma", "moving_variance"):
            return rng.uniform(0.5, 2, weight.shape)
        if weight.name != "kernel":
            return rng.normal(0, 0.3, weight.shape)
        # Large enough at the end for answers that differ from face to face.
        spread = 4 if weight.shape[-1] == 7 else 1.4
        return rng.normal(0, spread * np.prod(weight.shape[:-1]) ** -0.5, weight.shape)

    built.set_weights([values(weight) for weight in built.weights])
    return built


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString())


# ---------------------------------------------------------------- temperature


def drawn(temperature: float, images: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated once they are divided by the temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (images, 7))
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return logits * temperature, labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_is_found(temperature):
    logits, labels = drawn(temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.05)

    def cost(value: float) -> float:
        return -log_softmax(logits / value, axis=1)[np.arange(len(labels)), labels].mean()

    assert cost(found) < min(cost(found * 1.01), cost(found / 1.01))


def test_the_temperature_keeps_its_bounds():
    labels = np.arange(70) % 7
    assert fit_temperature(np.eye(7)[labels], labels) == pytest.approx(0.1, rel=1e-3)
    assert fit_temperature(np.eye(7)[(labels + 1) % 7], labels) == pytest.approx(10, rel=1e-3)


@given(st.floats(0.2, 5), st.floats(-100, 100))
@settings(deadline=None, max_examples=20)
def test_the_temperature_scales_and_ignores_offsets(factor, offset):
    logits, labels = drawn(1.0, 500)
    found = fit_temperature(logits * factor + offset, labels)
    assert found == pytest.approx(fit_temperature(logits, labels) * factor, rel=1e-3)


# ---------------------------------------------------------------- conversion


NETWORKS = {
    "residual, resized": (RESIDUAL, 32),
    "residual": (RESIDUAL, 48),
    "five_layer": (parameters.FiveLayer(name="five_layer", dropout=0.2), 48),
    "five_block, resized": (parameters.FiveBlock(name="five_block", dropout=0.2), 40),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_says_what_keras_says(name, tmp_path):
    settings, size = NETWORKS[name]
    network = trained(settings, size)
    served = served_model(network, size, 1.5)
    exported = convert(served, METADATA)

    logits = network.predict(resize(FACES, size)[..., None], verbose=0)
    expected = softmax(logits / 1.5, axis=1)
    # Different answers to different faces, or agreement would say little.
    assert np.abs(expected - expected[0]).max() > 0.1
    assert served.predict(FACES, verbose=0) == pytest.approx(expected, abs=1e-4)

    path = tmp_path / "model.onnx"
    onnx.save(exported, path)
    classifier = Classifier(path)
    probabilities = classifier.predict(FACES)
    assert probabilities.dtype == np.float32
    assert probabilities == pytest.approx(expected, abs=1e-4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    for count in (0, 1, 3):
        assert classifier.predict(FACES[:count]) == pytest.approx(expected[:count], abs=1e-4)


def test_the_contract_of_the_file():
    exported = convert(served_model(trained(RESIDUAL, 32), 32, 1.0), METADATA)
    inference = session(exported)
    (faces,), (probabilities,) = inference.get_inputs(), inference.get_outputs()
    assert (faces.name, faces.type, faces.shape) == ("faces", "tensor(uint8)", ["N", 48, 48])
    assert (probabilities.name, probabilities.type, probabilities.shape) == (
        "probabilities",
        "tensor(float)",
        ["N", 7],
    )
    assert inference.get_modelmeta().custom_metadata_map == METADATA
    assert [entry.key for entry in exported.metadata_props] == sorted(METADATA)
    # Nothing of the machine or the moment it was made on.
    text = exported.SerializeToString()
    assert str(ROOT).encode() not in text
    assert b"/tmp" not in text


def test_the_same_network_gives_the_same_bytes():
    # Layers count up in Keras's names, and tf2onnx counts on in its own.
    one, again = (
        convert(served_model(trained(RESIDUAL, 32), 32, 1.5), METADATA).SerializeToString()
        for _ in range(2)
    )
    assert one == again
    other = convert(served_model(trained(RESIDUAL, 32, seed=1), 32, 1.5), METADATA)
    assert one != other.SerializeToString()


# ---------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A repository with a dataset `tiny`, and what the stage made of it as a process."""
    folder = tmp_path_factory.mktemp("repository")
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    tiny = document["sample"]
    tiny["train"]["network"] = RESIDUAL.model_dump()
    tiny["train"]["resolutions"] = [{"size": 32, "share": 1.0}]
    (folder / "params.yaml").write_text(yaml.safe_dump({"tiny": tiny}))
    data, models = folder / "data" / "tiny", folder / "models" / "tiny"
    data.mkdir(parents=True)
    models.mkdir(parents=True)
    np.savez(data / "train.npz", images=FACES, labels=LABELS)
    # Other splits hold what must not be looked at.
    np.savez(
        data / "faces.npz",
        images=np.concatenate([FACES[::-1], FACES, FACES[::-1]]),
        labels=np.concatenate([LABELS, LABELS, LABELS]),
        split=np.repeat(np.array([0, 1, 2], np.uint8), 40),
    )
    trained(RESIDUAL, 32).save(models / "model.keras")
    done = subprocess.run(
        [sys.executable, "-m", "stages.export", "tiny"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "model.onnx differs from Keras by at most " in done.stderr
    assert "Using opset" not in done.stderr
    assert [path.name for path in models.iterdir() if path.name != "model.keras"] == ["model.onnx"]
    return folder


@pytest.fixture
def repository(exported, monkeypatch):
    monkeypatch.chdir(exported)
    return exported


def test_the_file_describes_itself(repository):
    classifier = Classifier(Path("models/tiny/model.onnx"))
    assert classifier.labels == EMOTIONS
    assert classifier.dataset == "tiny"
    metadata = classifier.metadata
    assert (
        metadata.data_digest == hashlib.sha256(Path("data/tiny/train.npz").read_bytes()).hexdigest()
    )
    probabilities = classifier.predict(FACES)
    figures = metadata.metrics["PublicTest"]
    predicted = probabilities.argmax(axis=1)
    assert figures == {
        "accuracy": round(accuracy_score(LABELS, predicted), 4),
        "macro_f1": round(f1_score(LABELS, predicted, average="macro", zero_division=0), 4),
        "log_loss": pytest.approx(log_loss(LABELS, probabilities), abs=1e-3),
    }


def test_the_temperature_is_that_of_public_test(repository):
    network = keras.saving.load_model("models/tiny/model.keras", compile=False)
    logits = network.predict(resize(FACES, 32)[..., None], verbose=0)
    classifier = Classifier(Path("models/tiny/model.onnx"))
    temperature = classifier.metadata.temperature
    assert temperature == pytest.approx(fit_temperature(logits, LABELS), rel=1e-3)
    assert abs(temperature - 1) > 0.1
    expected = softmax(logits / temperature, axis=1)
    assert classifier.predict(FACES) == pytest.approx(expected, abs=1e-4)


def test_another_process_makes_the_same_bytes(repository):
    path = Path("models/tiny/model.onnx")
    before = path.read_bytes()
    export.main("tiny", load_parameters("tiny"))
    assert path.read_bytes() == before


def test_what_shapes_the_model_is_in_its_digest(repository):
    def digest(section: str, key: str, value) -> str:
        document = yaml.safe_load(Path("params.yaml").read_text())
        document["tiny"][section][key] = value
        Path("changed.yaml").write_text(yaml.safe_dump(document))
        return export._parameters_digest(load_parameters("tiny", Path("changed.yaml")))

    digests = [
        Classifier(Path("models/tiny/model.onnx")).metadata.parameters_digest,
        digest("train", "epochs", 99),
        digest("balance", "seed", 99),
        digest("fetch", "seed", 99),
    ]
    assert len(set(digests)) == 4
    assert digest("evaluate", "seed", 99) == digests[0]


def test_a_wrong_conversion_is_refused(repository, monkeypatch):
    path = Path("models/tiny/model.onnx")
    before = path.read_bytes()

    # A fault of the converter: one constant of the graph comes out changed.
    def faulty(model, metadata):
        converted = convert(model, metadata)
        (kernel,) = (c for c in converted.graph.initializer if list(c.dims) == [8, 7])
        values = onnx.numpy_helper.to_array(kernel) + np.float32(0.01) * np.eye(
            8, 7, dtype=np.float32
        )
        kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
        return converted

    monkeypatch.setattr(export, "convert", faulty)
    with pytest.raises(
        UserError, match=r"model\.onnx: a probability differs .* for network residual"
    ):
        export.main("tiny", load_parameters("tiny"))
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} == {"model.keras", "model.onnx"}


@pytest.mark.parametrize(
    "name", ["data/tiny/train.npz", "data/tiny/faces.npz", "models/tiny/model.keras"]
)
def test_a_missing_input_is_named(repository, name):
    path = Path(name)
    hidden = path.rename(path.with_name("hidden"))
    try:
        with pytest.raises(UserError, match=f"{name}: not found; run `dvc repro`"):
            export.main("tiny", load_parameters("tiny"))
    finally:
        hidden.rename(path)
