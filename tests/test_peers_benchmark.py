"""The peer benchmark: a contender in its own process, how it is judged, and the page."""

import csv
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import (
    FER_DEFAULT,
    Contender,
    beside_fer,
    compare,
    judge,
    measure,
    our_models,
    write,
)
from recognizer.classifier import Classifier
from stages.dataset.faces import EMOTIONS
from tests.model_fixture import LABELS, write_tiny_model

ROOT = Path(__file__).parents[1]
IMAGES = np.random.default_rng(0).integers(0, 256, (175, 48, 48), np.uint8)
TRUTH = (np.arange(175) % 7).astype(np.uint8)


def contender(model: Path) -> Contender:
    return Contender("tiny", "0123", Path(sys.executable), "recognizer", str(model))


def test_a_contender_classifies_every_face_and_its_labels_are_brought_into_our_order(tmp_path):
    backwards = '["' + '", "'.join(reversed(LABELS)) + '"]'
    model = write_tiny_model(tmp_path / "model.onnx", metadata={"labels": backwards})
    np.save(tmp_path / "faces.npy", IMAGES)
    said, costs = measure(contender(model), tmp_path / "faces.npy", 20, tmp_path)
    assert said == pytest.approx(Classifier(model).predict(IMAGES)[:, ::-1])
    assert costs["file_mb"] == pytest.approx(model.stat().st_size / 1e6)
    assert 0 < costs["median_ms"] <= costs["p95_ms"]
    assert 10 < costs["peak_mib"] < 1000


def test_judging():
    said = np.full((len(TRUTH), 7), 0.1)
    said[np.arange(len(TRUTH)), TRUTH] = 0.4
    said[TRUTH == 2] = said[TRUTH == 3][0]  # every fear is said to be happy
    figures = judge(TRUTH, said)
    assert figures["accuracy"] == pytest.approx(6 / 7)
    # Five classes are perfect, fear has no hit, half of what is called happy is.
    assert figures["macro_f1"] == pytest.approx((5 + 0 + 2 / 3) / 7)
    assert figures["min_recall"] == 0
    assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]


def test_the_table_and_the_page_come_from_what_was_measured(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    (row,) = compare([contender(model)], IMAGES, TRUTH, 20, tmp_path)
    assert row.accuracy == np.mean(Classifier(model).predict(IMAGES).argmax(axis=1) == TRUTH)
    assert row.import_seconds > 0
    write([row], 20, ["tiny"], tmp_path / "peers.csv")
    with (tmp_path / "peers.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert float(found["accuracy"]) == pytest.approx(row.accuracy, abs=1e-4)
    assert float(found["peak_mib"]) == pytest.approx(row.peak_mib, rel=1e-3)
    page = (tmp_path / "peers.md").read_text()
    assert "`python -m benchmarks.peers tiny`" in page
    assert "95th percentile of 20 faces" in page
    line = next(line for line in page.splitlines() if line.startswith("| tiny"))
    assert "`0123`" in line and f"{row.accuracy:.4f} (" in line and f"{row.median_ms:.2f}" in line


def test_times_stand_beside_those_of_fer_by_default(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    (row,) = compare([contender(model)], IMAGES, TRUTH, 20, tmp_path)
    assert row.times_fer is None
    rows = [
        replace(row, name=name, median_ms=milliseconds)
        for name, milliseconds in (("ours", 1.0), (FER_DEFAULT, 0.5), ("`fer`, slow", 20.0))
    ]
    assert [found.times_fer for found in beside_fer(rows)] == [2, 1, 40]
    write(beside_fer(rows), 20, ["ours"], tmp_path / "peers.csv")
    ours, *_ = csv.DictReader((tmp_path / "peers.csv").read_text().splitlines())
    assert float(ours["times_fer"]) == 2
    assert "| times fer |" in re.sub(" +", " ", (tmp_path / "peers.md").read_text())


def test_a_contender_that_fails_shows_why(tmp_path):
    np.save(tmp_path / "faces.npy", IMAGES)
    with pytest.raises(SystemExit, match=r"(?s)error: tiny fails\n.*nowhere.onnx: cannot be read"):
        measure(contender(tmp_path / "nowhere.onnx"), tmp_path / "faces.npy", 20, tmp_path)


def test_models_are_checked_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("whole", "damaged", "foreign"):
        (tmp_path / "models" / name).mkdir(parents=True)
    whole = write_tiny_model(tmp_path / "models" / "whole" / "model.onnx")
    (found,) = our_models(["whole"])
    assert (found.name, found.version) == ("whole", Classifier(whole).version[:12])
    assert Path(found.model) == whole

    with pytest.raises(SystemExit, match=r"error: models/no/model.onnx: not found; `dvc repro`"):
        our_models(["whole", "no"])
    (tmp_path / "models" / "damaged" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(SystemExit, match=r"error: models/damaged/model.onnx: not an ONNX model"):
        our_models(["damaged"])
    labels = '["cat", "' + '", "'.join(EMOTIONS[1:]) + '"]'
    write_tiny_model(tmp_path / "models" / "foreign" / "model.onnx", metadata={"labels": labels})
    with pytest.raises(SystemExit, match=r"its labels are cat, disgust, .*FER-2013's 7 emotions"):
        our_models(["foreign"])


def test_without_the_faces_the_command_says_where_they_come_from(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: data/fer2013/faces.npz: not found; `dvc repro` or `dvc pull` brings it\n"
    )
