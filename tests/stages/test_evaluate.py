"""The evaluate stage on a tiny model: faces.npz to evaluation.json, the plots and the card."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
from scipy.special import softmax

from recognizer.classifier import Classifier
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from stages.evaluate import main
from stages.evaluation.metrics import headline
from stages.parameters import load_parameters
from tests.model_fixture import write_tiny_model

ROOT = Path(__file__).parents[2]
FACES = Path("data/sample/faces.npz")
MODEL = Path("models/sample/model.onnx")
FLOAT32 = Path("models/sample/float32.onnx")
EVALUATION = Path("metrics/sample/evaluation.json")
TRAINING = Path("metrics/sample/training.json")
INTERVALS = Path("metrics/sample/intervals.json")
PLOTS = Path("metrics/sample/plots")
STAGES_BEFORE = ("validation", "balance", "training")


@pytest.fixture
def parameters():
    """Parameters of the sample with fewer resamples."""
    settings = load_parameters("sample", ROOT / "params")
    fewer = settings.evaluate.model_copy(update={"bootstrap": 100})
    return settings.model_copy(update={"evaluate": fewer})


@pytest.fixture
def faces():
    """210 faces of every emotion in every split; some test images are train–test duplicates."""
    generator = np.random.default_rng(0)
    count = 210
    split = np.repeat([0, 1, 2], count // 3).astype(np.uint8)
    return {
        "images": generator.integers(0, 256, (count, 48, 48), dtype=np.uint8),
        "labels": (np.arange(count) % 7).astype(np.uint8),
        "split": split,
        "row": np.arange(2, count + 2, dtype=np.int32),
        "copy_in_training": (split > 0) & (np.arange(count) % 9 == 0),
    }


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch, faces):
    """A folder with the outputs of the earlier stages."""
    monkeypatch.chdir(tmp_path)
    for path in (FACES, MODEL, EVALUATION):
        path.parent.mkdir(parents=True)
    for stage in STAGES_BEFORE:
        shutil.copy2(ROOT / f"metrics/sample/{stage}.json", EVALUATION.parent)
    np.savez(FACES, **faces)
    write_tiny_model(MODEL)
    write_tiny_model(FLOAT32, seed=1)


def outputs() -> dict[str, bytes]:
    files = [path for path in EVALUATION.parent.rglob("*") if path.is_file()]
    written = [path for path in files if path.stem not in STAGES_BEFORE]
    return {str(path): path.read_bytes() for path in (*written, *Path("models").rglob("*.md"))}


def test_the_headline_has_few_metrics(parameters):
    main("sample", parameters)
    evaluation = json.loads(EVALUATION.read_text())
    metrics = evaluation["PrivateTest"]
    written = json.loads((EVALUATION.parent / "headline.json").read_text())
    assert len(written) <= 12
    for name in ("accuracy", "min_recall", "log_loss", "ece"):
        assert written[name] == metrics[name]
    assert written["f1"] == metrics["macro_f1"]
    assert written["bal_acc"] == metrics["balanced_accuracy"]
    assert written["val_f1"] == evaluation["PublicTest"]["macro_f1"]
    low, high = json.loads(INTERVALS.read_text())["PrivateTest"]["accuracy"]
    assert 0 < written["margin"] == pytest.approx((high - low) / 2, abs=1e-4)


@pytest.mark.parametrize("dataset", ["sample", "fer2013", "fer2013-small", "ferplus"])
def test_the_committed_headline_is_that_of_the_committed_evaluation(dataset):
    evaluation = json.loads((ROOT / f"metrics/{dataset}/evaluation.json").read_text())
    committed = json.loads((ROOT / f"metrics/{dataset}/headline.json").read_text())
    assert committed == pytest.approx(
        headline(evaluation["PublicTest"], evaluation["PrivateTest"]), abs=6e-5
    )


def test_metrics_are_those_of_the_served_model(parameters, faces):
    main("sample", parameters)
    metrics = json.loads(EVALUATION.read_text())
    assert set(metrics) == {"PublicTest", "PrivateTest", "robustness", "model"}
    classifier = Classifier(MODEL)
    assert classifier.version.startswith(metrics["model"]["version"])
    assert metrics["model"]["bytes"] == MODEL.stat().st_size
    for code, name in ((1, "PublicTest"), (2, "PrivateTest")):
        chosen = faces["split"] == code
        right = (
            classifier.predict(faces["images"][chosen]).argmax(axis=1) == faces["labels"][chosen]
        )
        unseen = ~faces["copy_in_training"][chosen]
        assert metrics[name]["images"] == 70
        assert metrics[name]["accuracy"] == pytest.approx(right.mean(), abs=1e-4)
        assert metrics[name]["accuracy_deduplicated"] == pytest.approx(
            right[unseen].mean(), abs=1e-4
        )
        assert set(metrics[name]["recall"]) == set(metrics[name]["f1"]) == set(EMOTIONS)
    assert metrics["PublicTest"] != metrics["PrivateTest"]
    private = metrics["PrivateTest"]
    weights = onnx.numpy_helper.to_array(onnx.load(MODEL).graph.initializer[0])
    before = softmax(faces["images"][chosen].reshape(70, -1) @ weights.astype(float), axis=1)
    brier = ((before - np.eye(7)[faces["labels"][chosen]]) ** 2).sum(axis=1).mean()
    assert private["uncalibrated"]["brier"] == pytest.approx(brier, abs=1e-3)
    assert private["uncalibrated"]["brier"] != private["brier"]
    other = Classifier(FLOAT32).predict(faces["images"][chosen]).argmax(axis=1)
    assert private["float32"]["bytes"] == FLOAT32.stat().st_size
    assert private["float32"]["accuracy"] == pytest.approx(
        (other == faces["labels"][chosen]).mean(), abs=1e-4
    )
    assert private["float32"]["accuracy"] != private["accuracy"]
    intervals = json.loads(INTERVALS.read_text())["PrivateTest"]
    assert intervals["accuracy"] == [private["accuracy_low"], private["accuracy_high"]]
    assert intervals["ece"][0] <= private["ece"] <= intervals["ece"][1]


def test_plots_show_private_test(parameters, faces):
    main("sample", parameters)
    private = faces["split"] == 2
    confusion = pd.read_csv(PLOTS / "confusion.csv")
    assert confusion["actual"].tolist() == [EMOTIONS[k] for k in faces["labels"][private]]
    assert pd.read_csv(PLOTS / "per_class.csv")["emotion"].tolist() == list(EMOTIONS)
    assert pd.read_csv(PLOTS / "reliability.csv")["images"].sum() == private.sum()
    for name, rate in (("roc", "fpr"), ("precision_recall", "recall")):
        table = pd.read_csv(PLOTS / f"{name}.csv")
        assert list(table.columns) == [rate, *EMOTIONS]
        assert table[rate].tolist() == [n / 100 for n in range(101)]
    abstention = pd.read_csv(PLOTS / "abstention.csv")
    accuracy = json.loads(EVALUATION.read_text())["PrivateTest"]["accuracy"]
    assert abstention.iloc[-1].tolist() == [1, pytest.approx(accuracy, abs=1e-4)]
    picture = cv2.imread(str(PLOTS / "mistakes.png"), cv2.IMREAD_UNCHANGED)
    assert picture.ndim == 2
    assert picture.shape[1] == 1000


def test_a_second_run_gives_the_same_bytes_whatever_the_training_images(parameters, faces):
    main("sample", parameters)
    first = outputs()
    assert len(first) == 15
    faces["images"][faces["split"] == 0] = 0
    np.savez(FACES, **faces)
    main("sample", parameters)
    assert outputs() == first


def test_an_emotion_without_images_is_an_error(parameters, faces):
    kept = ~((faces["split"] == 2) & (faces["labels"] == 1))
    np.savez(FACES, **{name: values[kept] for name, values in faces.items()})
    with pytest.raises(UserError, match=r"faces\.npz: PrivateTest has no image of disgust"):
        main("sample", parameters)
    assert not outputs()


def test_a_split_of_duplicates_alone_is_an_error(parameters, faces):
    faces["copy_in_training"][faces["split"] == 1] = True
    np.savez(FACES, **faces)
    with pytest.raises(UserError, match="every image of PublicTest is also in Training"):
        main("sample", parameters)


def test_labels_in_another_order_are_an_error(parameters):
    write_tiny_model(MODEL, metadata={"labels": json.dumps(EMOTIONS[::-1])})
    with pytest.raises(UserError, match=r"model\.onnx: the model's labels are neutral, surprise"):
        main("sample", parameters)


@pytest.mark.parametrize("missing", [FACES, MODEL, FLOAT32, TRAINING])
def test_a_missing_input_is_an_error_that_names_the_remedy(parameters, missing):
    missing.unlink()
    with pytest.raises(UserError, match=f"{missing.name}.*`dvc repro`"):
        main("sample", parameters)


def test_a_damaged_model_ends_the_command_with_one_line_of_error():
    MODEL.write_bytes(MODEL.read_bytes()[:1000])
    shutil.copytree(ROOT / "params", "params")
    ended = subprocess.run(
        [sys.executable, "-m", "stages.evaluate", "sample"],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    # The first line says what the stage does.
    description, error = ended.stderr.splitlines()
    assert description.startswith("Evaluate the exported model")
    assert error.startswith("error: models/sample/model.onnx")
