"""The contract of the model file, and `predict`."""

import hashlib
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest

from recognizer.classifier import BATCH, Calibration, Classifier
from recognizer.errors import ModelError
from tests.model_fixture import BIAS, LABELS, METADATA, SCALE, write_tiny_model

ROOT = Path(__file__).parents[2]


def random_faces(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), dtype=np.uint8)


def test_version_and_metadata_come_from_the_file(classifier, model_path):
    assert classifier.version == hashlib.sha256(model_path.read_bytes()).hexdigest()
    assert classifier.labels == LABELS
    assert classifier.dataset == "tiny"
    metadata = classifier.metadata
    assert metadata.calibration == Calibration(SCALE, BIAS)
    assert metadata.parameters_digest == METADATA["parameters_digest"]
    assert metadata.data_digest == METADATA["data_digest"]
    assert metadata.metrics["PublicTest"]["accuracy"] == 0.5


@pytest.mark.parametrize("count", [0, 1, 2, BATCH, BATCH + 1, 3 * BATCH - 1])
def test_probabilities_for_any_number_of_faces(classifier, count):
    probabilities = classifier.predict(random_faces(count))
    assert probabilities.shape == (count, 7)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_face_does_not_depend_on_the_others_in_its_batch(classifier):
    faces = random_faces(2 * BATCH + 3)
    together = classifier.predict(faces)
    alone = np.concatenate([classifier.predict(face[None]) for face in faces])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(classifier.predict(faces[::-1]), together[::-1], atol=1e-5)


def test_probabilities_are_those_of_the_network(classifier, model_path):
    weights = onnx.numpy_helper.to_array(onnx.load(model_path).graph.initializer[0])
    faces = random_faces(5)
    scores = np.exp(faces.reshape(5, -1).astype(np.float64) @ weights * SCALE + BIAS)
    expected = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict(faces), expected, atol=1e-5)


def test_arrays_in_any_memory_order_give_the_same_probabilities(classifier):
    faces = random_faces(4)
    turned = faces.transpose(0, 2, 1)
    np.testing.assert_array_equal(
        classifier.predict(turned), classifier.predict(np.ascontiguousarray(turned))
    )


@pytest.mark.parametrize(
    ("faces", "got"),
    [
        (np.zeros((1, 48, 48), np.float32), r"float32 \[1, 48, 48\]"),
        (np.zeros((48, 48), np.uint8), r"uint8 \[48, 48\]"),
        (np.zeros((2, 48, 47), np.uint8), r"uint8 \[2, 48, 47\]"),
        (np.zeros((2, 48, 48, 1), np.uint8), r"uint8 \[2, 48, 48, 1\]"),
    ],
)
def test_other_arrays_are_refused(classifier, faces, got):
    with pytest.raises(ValueError, match=rf"expected uint8 \[N, 48, 48\], got {got}"):
        classifier.predict(faces)


def test_many_threads_get_the_probabilities_of_one(classifier):
    inputs = [random_faces(20, seed) for seed in range(8)]
    serial = [classifier.predict(faces) for faces in inputs]
    results = [[] for _ in inputs]

    def predict(k):
        for _ in range(20):
            results[k].append(classifier.predict(inputs[k]))

    threads = [threading.Thread(target=predict, args=(k,)) for k in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, found in zip(serial, results, strict=True):
        assert len(found) == 20
        assert all(np.array_equal(expected, result) for result in found)


# ---------------------------------------------------------------- files that are refused


def refusal(path):
    with pytest.raises(ModelError) as caught:
        Classifier(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def test_missing_and_unreadable_files(tmp_path):
    assert "cannot be read: No such file" in refusal(tmp_path / "absent.onnx")
    assert "cannot be read: Is a directory" in refusal(tmp_path)


def test_damaged_files(tmp_path, model_path):
    whole = model_path.read_bytes()
    for number, content in enumerate([b"", b"hello", whole[: len(whole) // 2], whole[:-1000]]):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(content)
        assert "not an ONNX model, or a damaged one" in refusal(path)


OLD = {"metadata": {"format": "fer-onnx/1", "calibration": None}}
TWO = {"labels": '["angry", "sad"]', "calibration": '{"scale": [1, 1], "bias": [0, 0]}'}
TEMPERATURE = "metadata temperature is not a positive number"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input_name": "images"}, "its inputs are images .*, expected faces"),
        ({"output_name": "scores"}, "its outputs are scores .*, expected probabilities"),
        ({"input_type": onnx.TensorProto.FLOAT}, r"its inputs are faces tensor\(float\)"),
        ({"input_shape": ("N", 48, 47)}, r"its inputs are .*47\], expected .*\['N', 48, 48\]"),
        ({"input_shape": (1, 48, 48)}, r"its inputs are .*\[1, 48, 48\], expected"),
        ({"metadata": {"format": None}}, "metadata format is None, expected 'fer-onnx/2'"),
        ({"metadata": {"format": "fer-onnx/3"}}, "metadata format is 'fer-onnx/3'"),
        ({"metadata": {"format": "fer-onnx/1"}}, "metadata temperature is missing"),
        ({"metadata": {"labels": None}}, "metadata labels is missing"),
        ({"metadata": {"labels": "angry,sad"}}, "metadata labels is not a JSON list"),
        ({"metadata": {"labels": '["a", "a"]'}}, "metadata labels is not a JSON list"),
        ({"metadata": {"labels": '["angry", "sad"]'}}, "metadata calibration is .* each label"),
        ({"metadata": TWO}, "its outputs are .*'N', 2"),
        ({"metadata": {"dataset": "../../etc"}}, "metadata dataset is not a dataset's name"),
        (OLD | {"metadata": OLD["metadata"] | {"temperature": "warm"}}, TEMPERATURE),
        (OLD | {"metadata": OLD["metadata"] | {"temperature": "nan"}}, TEMPERATURE),
        ({"metadata": {"data_digest": "xyz"}}, "metadata data_digest is not hexadecimal"),
        ({"metadata": {"metrics": "[]"}}, "metadata metrics is not a JSON object"),
    ],
)
def test_foreign_models(tmp_path, changes, reason):
    path = write_tiny_model(tmp_path / "foreign.onnx", **changes)
    message = refusal(path)
    assert "not a model of this project" in message
    assert re.search(reason, message)


@pytest.mark.parametrize(
    "text",
    [
        "warm",
        "[]",
        "{}",
        '{"scale": 1, "bias": 0}',
        '{"scale": [1, 1, 1, 1, 1, 1, 1], "bias": [0, 0, 0, 0, 0, 0]}',
        '{"scale": [1, 1, 1, 1, 1, 1, 0], "bias": [0, 0, 0, 0, 0, 0, 0]}',
        '{"scale": [1, 1, 1, 1, 1, 1, true], "bias": [0, 0, 0, 0, 0, 0, 0]}',
        '{"scale": [1, 1, 1, 1, 1, 1, 1], "bias": [0, 0, 0, 0, 0, 0, NaN]}',
        '{"scale": [1, 1, 1, 1, 1, 1, 1], "bias": [0, 0, 0, 0, 0, 0, 1' + 400 * "0" + "]}",
    ],
)
def test_a_wrong_calibration(tmp_path, text):
    path = write_tiny_model(tmp_path / "foreign.onnx", metadata={"calibration": text})
    assert "metadata calibration is not a JSON object of scale, positive numbers" in refusal(path)


def test_an_older_file_has_one_temperature(tmp_path):
    path = write_tiny_model(
        tmp_path / "old.onnx", metadata=OLD["metadata"] | {"temperature": "1.25"}
    )
    assert Classifier(path).metadata.calibration == Calibration((0.8,) * 7, (0.0,) * 7)


def test_metrics_may_be_empty(tmp_path):
    path = write_tiny_model(tmp_path / "model.onnx", metadata={"metrics": json.dumps({})})
    assert Classifier(path).metadata.metrics == {}


def test_the_committed_model_keeps_the_contract():
    path = ROOT / "models" / "fer2013" / "model.onnx"
    if not path.exists():
        pytest.skip("models/fer2013/model.onnx is not committed")
    classifier = Classifier(path)
    assert classifier.labels == LABELS
    assert classifier.dataset == "fer2013"
    faces = random_faces(9)
    together = classifier.predict(faces)
    alone = np.concatenate([classifier.predict(face[None]) for face in faces])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_nothing_is_written_into_the_home_folder(model_path, tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom recognizer.classifier import Classifier\n"
        "Classifier(Path(sys.argv[1]))"
    )
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": ""}
    subprocess.run([sys.executable, "-c", code, str(model_path)], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
