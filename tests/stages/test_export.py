"""The export stage: the file has the Keras network's probabilities, calibrated, and metadata."""

import hashlib
import json
import os
import shutil
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
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from recognizer.classifier import Classifier
from recognizer.onnx_operators import check_operators
from stages import export, parameters
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from stages.onnx_graph.calibration import calibrated, fit_calibration, raise_recalls
from stages.onnx_graph.conversion import convert, served_model
from stages.onnx_graph.logits import predict_logits
from stages.onnx_graph.quantization import quantize
from stages.parameters import Parameters, load_parameters
from stages.training.augmentation import resize
from stages.training.networks import build_network
from tests.faces_fixture import write_faces, write_training_set
from tests.stages.training.test_networks import NETWORKS as SMALL
from tests.stages.training.test_networks import settle

ROOT = Path(__file__).parents[2]
NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)
# From coarse to fine: random networks average plain noise away.
FACES = np.stack([cv2.resize(face[: n + 3, : n + 3], (48, 48)) for n, face in enumerate(NOISE)])
LABELS = (np.arange(40) % 7).astype(np.uint8)
DIGEST = "0a" * 32
METADATA = {
    "format": "fer-onnx/2",
    "labels": json.dumps(EMOTIONS),
    "dataset": "tiny",
    "parameters_digest": DIGEST,
    "data_digest": DIGEST,
    "calibration": json.dumps({"scale": [1.5] * 7, "bias": [0.5] * 7}),
    "metrics": "{}",
}
SCALE = np.float32([1.1, 0.9, 0.8, 1.2, 1.0, 0.7, 1.3])
BIAS = np.float32([0.1, -0.2, 0.3, 0.0, -0.1, 0.2, -0.3])
RESIDUAL = parameters.Residual(name="residual", widths=[4, 8], blocks=1, dropout=0.2)
LATE = parameters.SymmetricLatePooling(
    name="symmetric_late_pooling", widths=[4, 8, 8], blocks=1, dropout=0.2
)


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


def test_an_application_is_converted_and_quantized():
    """The smallest of keras.applications; its activations are those of a trained network."""
    network = build_network(SMALL["application"], 48, 7)
    settle(network)
    served = served_model(network, 48)
    converted = convert(served)
    logits = served.predict(FACES, verbose=0)
    assert np.ptp(logits) > 0.1
    assert predict_logits(converted, FACES) == pytest.approx(logits, rel=1e-3, abs=1e-3)
    check_operators(converted.SerializeToString())
    eight_bit = quantize(converted, FACES)
    assert len(eight_bit.SerializeToString()) < 0.4 * len(converted.SerializeToString())
    assert np.corrcoef(predict_logits(eight_bit, FACES).ravel(), logits.ravel())[0, 1] > 0.8


FILES = {"model.keras", "float32.onnx", "model.onnx"}


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString())


# ---------------------------------------------------------------- calibration


def drawn(scale, bias, images: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated once they are multiplied by the scale and the bias is added."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (images, 7))
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return (logits - bias) / scale, labels


@given(
    st.lists(st.floats(0.5, 2), min_size=7, max_size=7),
    st.lists(st.floats(-1, 1), min_size=7, max_size=7),
)
@settings(max_examples=10)
def test_scale_and_bias_are_found(scale, bias):
    logits, labels = drawn(scale, bias)
    found_scale, found_bias = fit_calibration(logits, labels)
    assert (found_scale.dtype, found_bias.dtype) == (np.float32, np.float32)
    assert found_scale == pytest.approx(np.array(scale), rel=0.15)
    # One number added to all biases changes no probability.
    found_bias, bias = found_bias - found_bias.mean(), np.array(bias) - np.mean(bias)
    assert found_bias == pytest.approx(bias, abs=0.15)


def test_calibration_helps_on_faces_it_has_not_seen():
    scale, bias = np.linspace(0.6, 1.8, 7), np.linspace(-0.8, 0.8, 7)
    found = fit_calibration(*drawn(scale, bias, 3000, seed=1))
    logits, labels = drawn(scale, bias, 3000, seed=2)

    def cost(scale, bias) -> float:
        return log_loss(labels, softmax(logits * scale + bias, axis=1))

    assert cost(scale, bias) < cost(*found) < cost(scale, bias) + 0.01
    assert cost(*found) < cost(1, 0) - 0.05


def test_few_faces_change_little():
    logits, labels = 10 * np.eye(7), np.arange(7)[::-1]
    scale, bias = fit_calibration(logits, labels)
    assert (scale > 0.1).all()
    assert np.abs(bias).max() < 1


# ---------------------------------------------------------------- recall


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.35))
@settings(max_examples=30)
def test_every_class_reaches_the_minimum_recall(seed, floor):
    scores, labels = drawn(np.ones(7), np.linspace(-1, 1, 7), 1000, seed)
    added = raise_recalls(scores, labels, floor)
    before, after = (
        recall_score(labels, logits.argmax(axis=1), average=None)
        for logits in (scores, scores + added)
    )
    assert after.min() >= floor
    assert added.min() == 0
    assert (added > 0).any() == (before.min() < floor)


def test_a_minimum_of_0_raises_no_class():
    scores, labels = drawn(np.ones(7), np.zeros(7), 300, seed=1)
    assert np.array_equal(raise_recalls(scores, labels, 0), np.zeros(7))


def test_a_minimum_recall_that_cannot_be_reached_is_an_error():
    scores, labels = np.zeros((70, 7)), np.arange(70) % 7
    with pytest.raises(UserError, match=r"a recall of 0\.6 .* lower export\.recall_floor"):
        raise_recalls(scores, labels, 0.6)


# ---------------------------------------------------------------- quantization


@pytest.fixture(scope="module")
def converted():
    return convert(served_model(trained(RESIDUAL, 32), 32))


def test_quantized_logits_are_close_to_those_of_float32(converted):
    before, quantized = predict_logits(converted, FACES), quantize(converted, FACES)
    after = predict_logits(quantized, FACES)
    kernels = {c.dims[1] == 1: c.data_type for c in quantized.graph.initializer if len(c.dims) == 4}
    # The convolution of the image, of one channel, and all others.
    assert kernels == {True: onnx.TensorProto.FLOAT, False: onnx.TensorProto.INT8}
    assert 0 < np.abs(after - before).mean() < 0.1 * np.abs(before - before.mean(axis=0)).mean()


def test_weights_take_seven_bits(converted):
    """With eight, processors without VNNI would add up to something else."""
    for constant in quantize(converted, FACES).graph.initializer:
        if constant.data_type == onnx.TensorProto.INT8:
            values = onnx.numpy_helper.to_array(constant)
            assert np.abs(values.astype(int)).max() <= 64


def test_the_faces_determine_the_ranges(converted):
    some, others = (quantize(converted, FACES[half]) for half in (slice(0, 20), slice(20, 40)))
    assert some.SerializeToString() != others.SerializeToString()


# ---------------------------------------------------------------- conversion


NETWORKS = {
    "residual, resized": (RESIDUAL, 32),
    "residual": (RESIDUAL, 48),
    "symmetric_late_pooling, resized": (LATE, 40),
    "five_layer": (parameters.FiveLayer(name="five_layer", dropout=0.2), 48),
    "five_block, resized": (parameters.FiveBlock(name="five_block", dropout=0.2), 40),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_has_the_probabilities_of_keras(name, tmp_path):
    settings, size = NETWORKS[name]
    network = trained(settings, size)
    served = served_model(network, size)
    converted = convert(served)

    logits = network.predict(resize(FACES, size)[..., None], verbose=0)
    expected = softmax(logits * SCALE + BIAS, axis=1)
    # The faces have different probabilities, so that agreement means something.
    assert np.abs(expected - expected[0]).max() > 0.1
    assert served.predict(FACES, verbose=0) == pytest.approx(logits, abs=1e-3)
    assert predict_logits(converted, FACES) == pytest.approx(logits, abs=1e-3)

    path = tmp_path / "model.onnx"
    exported = calibrated(converted, SCALE, BIAS, METADATA)
    onnx.save(exported, path)
    assert predict_logits(exported, FACES) == pytest.approx(logits, abs=1e-3)
    classifier = Classifier(path)
    probabilities = classifier.predict(FACES)
    assert probabilities.dtype == np.float32
    assert probabilities == pytest.approx(expected, abs=1e-4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    for count in (0, 1, 3):
        assert classifier.predict(FACES[:count]) == pytest.approx(expected[:count], abs=1e-4)


def test_the_contract_of_the_file():
    exported = calibrated(convert(served_model(trained(RESIDUAL, 32), 32)), SCALE, BIAS, METADATA)
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
        convert(served_model(trained(RESIDUAL, 32), 32)).SerializeToString() for _ in range(2)
    )
    assert one == again
    other = convert(served_model(trained(RESIDUAL, 32, seed=1), 32))
    assert one != other.SerializeToString()


@pytest.mark.parametrize("count", [1, 64, 70, 130])
def test_any_number_of_faces_determines_the_ranges(converted, count):
    faces = np.resize(FACES, (count, 48, 48))
    whole = faces[: 64 * (count // 64) or count]
    one, other = (quantize(converted, some).SerializeToString() for some in (faces, whole))
    assert one == other


# ---------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A repository with a dataset `tiny`, and what the stage made of it as a process."""
    folder = tmp_path_factory.mktemp("repository")
    tiny = yaml.safe_load((ROOT / "params/sample.yaml").read_text())
    tiny["train"]["network"]["residual"] = RESIDUAL.model_dump(exclude={"name"})
    tiny["train"]["resolutions"] = [{"size": 32, "share": 1.0}]
    (folder / "params").mkdir()
    (folder / "params/tiny.yaml").write_text(yaml.safe_dump(tiny))
    data, models = folder / "data" / "tiny", folder / "models" / "tiny"
    data.mkdir(parents=True)
    models.mkdir(parents=True)
    write_training_set(data / "train.npz", FACES, LABELS)
    # Other splits hold what must not be looked at.
    images = np.concatenate([FACES[::-1], FACES, FACES[::-1]])
    split = np.repeat(np.array([0, 1, 2], np.uint8), 40)
    write_faces(data / "faces.npz", images, np.tile(LABELS, 3), split)
    trained(RESIDUAL, 32).save(models / "model.keras")
    done = subprocess.run(
        [sys.executable, "-m", "stages.export", "tiny"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "float32.onnx differs from Keras by at most " in done.stderr
    assert "Using opset" not in done.stderr
    assert done.stdout == ""
    assert {path.name for path in models.iterdir()} == FILES
    shutil.copytree(models, folder / "made")
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
    metrics = metadata.metrics["PublicTest"]
    predicted = probabilities.argmax(axis=1)
    assert metrics == {
        "accuracy": round(accuracy_score(LABELS, predicted), 4),
        "macro_f1": round(f1_score(LABELS, predicted, average="macro", zero_division=0), 4),
        "log_loss": pytest.approx(log_loss(LABELS, probabilities), abs=1e-3),
    }


def test_the_file_has_the_distribution_of_training(repository):
    """Training has the same faces as PublicTest here, in another order."""
    for name in ("model.onnx", "float32.onnx"):
        found = Classifier(Path("models/tiny", name)).metadata.training_distribution
        assert found.faces == 40
        shares = np.bincount(LABELS, minlength=7) / 40
        assert list(found.emotion_shares) == list(EMOTIONS)
        assert list(found.emotion_shares.values()) == pytest.approx(shares, abs=1e-4)
        for points, values in (
            (found.brightness, FACES.mean(axis=(1, 2))),
            (found.contrast, FACES.std(axis=(1, 2))),
        ):
            assert [point.share for point in points] == pytest.approx(
                [np.mean(values <= point.up_to) for point in points], abs=1e-4
            )


def test_the_calibration_is_that_of_public_test(repository):
    network = keras.saving.load_model("models/tiny/model.keras", compile=False)
    logits = network.predict(resize(FACES, 32)[..., None], verbose=0)
    classifier = Classifier(Path("models/tiny/float32.onnx"))
    scale, bias = fit_calibration(logits, LABELS)
    calibration = classifier.metadata.calibration
    assert calibration.scale == pytest.approx(scale, rel=1e-3)
    assert calibration.bias == pytest.approx(bias, abs=1e-3)
    assert np.abs(scale - 1).max() > 0.1
    expected = softmax(logits * scale + bias, axis=1)
    assert classifier.predict(FACES) == pytest.approx(expected, abs=1e-3)


def test_the_quantized_file_is_calibrated_on_its_own_logits(repository):
    model = onnx.load("models/tiny/model.onnx")
    scale, bias = fit_calibration(predict_logits(model, FACES), LABELS)
    calibration = Classifier(Path("models/tiny/model.onnx")).metadata.calibration
    assert calibration.scale == pytest.approx(scale, rel=1e-5)
    assert calibration.bias == pytest.approx(bias, abs=1e-5)
    other = Classifier(Path("models/tiny/float32.onnx")).metadata.calibration
    assert other.scale != calibration.scale


def changed(place: str, key: str, value) -> Parameters:
    """The parameters of `tiny` with one key set."""
    document = section = yaml.safe_load(Path("params/tiny.yaml").read_text())
    for part in place.split("."):
        section = section[part]
    section[key] = value
    Path("changed").mkdir(exist_ok=True)
    Path("changed/tiny.yaml").write_text(yaml.safe_dump(document))
    return load_parameters("tiny", Path("changed"))


def test_without_quantization_both_files_are_equal(repository):
    quantized = Path("models/tiny/model.onnx").read_bytes()
    export.main("tiny", changed("export", "precision", "float32"))
    one, other = (Path("models/tiny", name).read_bytes() for name in ("model.onnx", "float32.onnx"))
    Path("models/tiny/model.onnx").write_bytes(quantized)
    assert one == other != quantized


def test_another_process_makes_the_same_bytes(repository):
    """This process after the one of the fixture, which hashes texts otherwise."""
    export.main("tiny", load_parameters("tiny"))
    for name in ("float32.onnx", "model.onnx"):
        assert Path("models/tiny", name).read_bytes() == Path("made", name).read_bytes(), name


def test_what_shapes_the_model_is_in_its_digest(repository):
    def digest(place: str, key: str, value) -> str:
        return export.parameters_digest(changed(place, key, value))

    digests = [
        Classifier(Path("models/tiny/model.onnx")).metadata.parameters_digest,
        digest("train", "epochs", 99),
        digest("balance", "seed", 99),
        digest("fetch.sample", "seed", 99),
        digest("export.int8", "seed", 99),
        digest("export", "recall_floor", 0.1),
    ]
    assert len(set(digests)) == 6
    assert digest("evaluate", "seed", 99) == digests[0]
    assert digest("train.optimizer.adam", "learning_rate", 0.5) == digests[0]


def test_a_wrong_conversion_is_refused(repository, monkeypatch):
    path = Path("models/tiny/model.onnx")
    before = path.read_bytes()

    # A fault of the converter: one constant of the graph comes out changed.
    def faulty(model):
        converted = convert(model)
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
    assert {file.name for file in path.parent.iterdir()} == FILES


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
