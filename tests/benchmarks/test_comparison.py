"""The comparison with `fer`: a candidate in its own process, its metrics, and the page."""

import csv
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.comparison import (
    FER_DEFAULT,
    Candidate,
    compare,
    measure,
    our_models,
    page,
    quality,
    relative_to_fer,
)
from benchmarks.provenance import Provenance
from benchmarks.result_files import write_results
from recognizer.classifier import Classifier
from stages.dataset.fer2013 import EMOTIONS
from tests.model_fixture import LABELS, write_tiny_model

ROOT = Path(__file__).parents[2]
IMAGES = np.random.default_rng(0).integers(0, 256, (175, 48, 48), np.uint8)
SOURCE = Provenance("tiny `0123456789ab`", "`0123abc`", "a machine")
TRUTH = (np.arange(175) % 7).astype(np.uint8)


def candidate(model: Path) -> Candidate:
    return Candidate("tiny", "0123", Path(sys.executable), "recognizer", str(model))


def test_a_candidate_classifies_every_face_and_its_labels_are_matched_with_ours(tmp_path):
    backwards = '["' + '", "'.join(reversed(LABELS)) + '"]'
    model = write_tiny_model(tmp_path / "model.onnx", metadata={"labels": backwards})
    np.save(tmp_path / "faces.npy", IMAGES)
    probabilities, costs = measure(candidate(model), tmp_path / "faces.npy", 20, tmp_path)
    assert probabilities == pytest.approx(Classifier(model).predict(IMAGES)[:, ::-1])
    assert costs["file_mb"] == pytest.approx(model.stat().st_size / 1e6)
    assert 0 < costs["median_ms"] <= costs["p95_ms"]
    assert 10 < costs["peak_mib"] < 1000


def test_quality():
    probabilities = np.full((len(TRUTH), 7), 0.1)
    probabilities[np.arange(len(TRUTH)), TRUTH] = 0.4
    probabilities[TRUTH == 2] = probabilities[TRUTH == 3][0]  # Every fear is predicted as happy.
    metrics = quality(TRUTH, probabilities)
    assert metrics["accuracy"] == pytest.approx(6 / 7)
    # Five classes are perfect; no fear is found; half of the faces predicted as happy are happy.
    assert metrics["macro_f1"] == pytest.approx((5 + 0 + 2 / 3) / 7)
    assert metrics["min_recall"] == 0
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]


def test_the_csv_file_and_the_page_have_the_measured_values(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    (row,) = compare([candidate(model)], IMAGES, TRUTH, 20, tmp_path)
    assert row.accuracy == np.mean(Classifier(model).predict(IMAGES).argmax(axis=1) == TRUTH)
    assert row.import_seconds > 0
    write_results(tmp_path / "comparison.csv", [row], page([row], 20, {"tiny": SOURCE}))
    with (tmp_path / "comparison.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert float(found["accuracy"]) == pytest.approx(row.accuracy, abs=1e-4)
    assert float(found["peak_mib"]) == pytest.approx(row.peak_mib, rel=1e-3)
    text = (tmp_path / "comparison.md").read_text()
    assert "`python -m benchmarks.comparison tiny`" in text
    assert "95th percentile of 20 faces" in text
    line = next(line for line in text.splitlines() if "| `0123` " in line)
    assert (
        line.startswith("| tiny")
        and f"{row.accuracy:.4f} (" in line
        and f"{row.median_ms:.2f}" in line
    )


def test_times_are_divided_by_those_of_fer(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    (row,) = compare([candidate(model)], IMAGES, TRUTH, 20, tmp_path)
    assert row.times_fer is None
    rows = [
        replace(row, name=name, median_ms=milliseconds)
        for name, milliseconds in (("ours", 1.0), (FER_DEFAULT, 0.5), ("`fer`, slow", 20.0))
    ]
    assert [found.times_fer for found in relative_to_fer(rows)] == [2, 1, 40]
    text = page(relative_to_fer(rows), 20, {"ours": SOURCE})
    write_results(tmp_path / "comparison.csv", relative_to_fer(rows), text)
    ours, *_ = csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines())
    assert float(ours["times_fer"]) == 2
    assert "| relative to fer |" in re.sub(" +", " ", (tmp_path / "comparison.md").read_text())


def test_the_error_of_a_failed_candidate_is_shown(tmp_path):
    np.save(tmp_path / "faces.npy", IMAGES)
    with pytest.raises(SystemExit, match=r"(?s)error: tiny fails\n.*nowhere.onnx: cannot be read"):
        measure(candidate(tmp_path / "nowhere.onnx"), tmp_path / "faces.npy", 20, tmp_path)


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
    with pytest.raises(SystemExit, match=r"it does not know angry; .*FER-2013's 7 emotions"):
        our_models(["foreign"])


def test_missing_faces_are_an_error_with_a_remedy(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.comparison"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: data/fer2013/faces.npz: not found; run `dvc repro`, which makes it first\n"
    )
