"""The comparison with other packages: a candidate in its own process, its metrics, and the page."""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks import comparison
from benchmarks.comparison import (
    FER_DEFAULT,
    NODE_FOLDER,
    NODE_NAMES,
    RESULT,
    Candidate,
    Row,
    compare,
    import_seconds,
    measure,
    node_models,
    our_models,
    page,
    python_candidate,
    quality,
    relative_to_fer,
    table,
)
from benchmarks.provenance import Provenance
from benchmarks.result_files import write_results
from recognizer.classifier import Classifier
from stages.dataset.faces import SPLITS, Faces
from stages.dataset.fer2013 import EMOTIONS
from tests.model_fixture import LABELS, write_tiny_model

ROOT = Path(__file__).parents[2]
IMAGES = np.random.default_rng(0).integers(0, 256, (175, 48, 48), np.uint8)
SOURCE = Provenance("tiny `0123456789ab`", "`0123abc`", "a machine")
TRUTH = (np.arange(175) % 7).astype(np.uint8)
DUPLICATED = np.arange(175) < 10
PRIVATE = Faces(
    IMAGES,
    TRUTH,
    np.full(175, SPLITS.index("PrivateTest"), np.uint8),
    np.arange(2, 177, dtype=np.int32),
    DUPLICATED,
)
INSTALLED = ROOT / NODE_FOLDER / "node_modules"
NEEDS_PACKAGES = pytest.mark.skipif(
    not shutil.which("node") or not INSTALLED.is_dir(),
    reason=f"needs node and `npm ci --prefix {NODE_FOLDER} --ignore-scripts`",
)


def candidate(model: Path) -> Candidate:
    return python_candidate("tiny", "0123", Path(sys.executable), "recognizer", model)


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
    metrics = quality(TRUTH, DUPLICATED, probabilities)
    assert metrics["accuracy"] == pytest.approx(6 / 7)
    # Two of the 10 duplicates are fear, and 23 of the 165 other faces.
    assert metrics["accuracy_duplicates"] == pytest.approx(8 / 10)
    assert metrics["accuracy_deduplicated"] == pytest.approx(142 / 165)
    # Five classes are perfect; no fear is found; half of the faces predicted as happy are happy.
    assert metrics["macro_f1"] == pytest.approx((5 + 0 + 2 / 3) / 7)
    assert metrics["min_recall"] == 0
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]


def test_the_csv_file_and_the_page_have_the_measured_values(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    (row,) = compare([candidate(model)], PRIVATE, 20, tmp_path)
    assert row.accuracy == np.mean(Classifier(model).predict(IMAGES).argmax(axis=1) == TRUTH)
    assert row.import_seconds > 0
    write_results(tmp_path / "comparison.csv", [row], page([row], PRIVATE, 20, {"tiny": SOURCE}))
    with (tmp_path / "comparison.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert float(found["accuracy"]) == pytest.approx(row.accuracy, abs=1e-4)
    assert float(found["peak_mib"]) == pytest.approx(row.peak_mib, rel=1e-3)
    text = (tmp_path / "comparison.md").read_text()
    assert "`python -m benchmarks.comparison tiny`" in text
    assert "of the 10 images of PrivateTest" in text and "is of the other 165" in text
    assert "95th percentile of 20 faces" in text
    line = next(line for line in text.splitlines() if "| `0123` " in line)
    assert (
        line.startswith("| tiny")
        and f"{row.accuracy:.4f} (" in line
        and f"{row.median_ms:.2f}" in line
    )


def test_without_times_the_accuracy_is_the_same_and_the_page_has_dashes(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    (row,) = compare([candidate(model)], PRIVATE, 0, tmp_path)
    assert row.accuracy == np.mean(Classifier(model).predict(IMAGES).argmax(axis=1) == TRUTH)
    assert row.peak_mib > 10
    assert (row.median_ms, row.p95_ms, row.import_seconds, row.times_fer) == (None,) * 4
    text = page([row], PRIVATE, 0, {"tiny": SOURCE})
    assert "Times were not measured." in text
    assert table([row]).splitlines()[2].count(" – ") == 4


def test_the_released_results_are_read_and_formatted():
    rows = [Row(**found) for found in pd.read_csv(RESULT).replace(np.nan, None).to_dict("records")]
    names = {row.name for row in rows}
    assert {f"`{name}`" for name in NODE_NAMES.values()} | {"fer2013", FER_DEFAULT} <= names
    lines = table(rows).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    on_page = RESULT.with_suffix(".md").read_text().splitlines()
    for row, line in zip(rows, lines[2:], strict=True):
        (found,) = (one for one in on_page if one.startswith(f"| {row.name} ") and "(0." in one)
        name_version_and_costs = [1, 2, 8, 9, 10, 11, 12, 13]
        for column in name_version_and_costs:
            assert found.split("|")[column].strip() == line.split("|")[column].strip()
        # Both parts together are the whole of PrivateTest.
        parts = row.accuracy_deduplicated, row.accuracy_duplicates
        assert min(parts) <= row.accuracy <= max(parts)


def test_times_are_divided_by_those_of_fer(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    (row,) = compare([candidate(model)], PRIVATE, 20, tmp_path)
    assert row.times_fer is None
    rows = [
        replace(row, name=name, median_ms=milliseconds)
        for name, milliseconds in (("ours", 1.0), (FER_DEFAULT, 0.5), ("`fer`, slow", 20.0))
    ]
    assert [found.times_fer for found in relative_to_fer(rows)] == [2, 1, 40]
    text = page(relative_to_fer(rows), PRIVATE, 20, {"ours": SOURCE})
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
    assert whole in found.measure

    with pytest.raises(SystemExit, match=r"error: models/no/model.onnx: not found; `dvc repro`"):
        our_models(["whole", "no"])
    (tmp_path / "models" / "damaged" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(SystemExit, match=r"error: models/damaged/model.onnx: not an ONNX model"):
        our_models(["damaged"])
    labels = '["cat", "' + '", "'.join(EMOTIONS[1:]) + '"]'
    write_tiny_model(tmp_path / "models" / "foreign" / "model.onnx", metadata={"labels": labels})
    with pytest.raises(SystemExit, match=r"it does not know angry; .*FER-2013's 7 emotions"):
        our_models(["foreign"])


# ---------------------------------------------------------------- packages under node


@NEEDS_PACKAGES
@pytest.mark.parametrize("package", NODE_NAMES)
def test_a_package_under_node_recognizes_a_smile_and_its_labels_are_ours(package, tmp_path):
    portrait = cv2.imread(str(ROOT / "docs/astronaut.jpg"), cv2.IMREAD_GRAYSCALE)
    smile = cv2.resize(portrait[67:171, 174:278], (48, 48), interpolation=cv2.INTER_AREA)
    faces = np.stack([smile, smile[:, ::-1], *IMAGES[:99]])
    np.save(tmp_path / "faces.npy", faces)
    (candidate,) = node_models([package])
    probabilities, costs = measure(candidate, tmp_path / "faces.npy", 1, tmp_path)
    assert probabilities.shape == (101, 7)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert [EMOTIONS[index] for index in probabilities[:2].argmax(axis=1)] == ["happy", "happy"]
    # Not only one face was read: noise is something else.
    assert len(np.unique(probabilities.round(4), axis=0)) > 50
    assert 0.3 < costs["file_mb"] < 1
    assert 0 < costs["median_ms"] <= costs["p95_ms"]
    assert 50 < costs["peak_mib"] < 1000
    assert 0 < import_seconds(candidate) < 60


def test_a_missing_package_or_node_is_an_error_that_names_the_remedies(tmp_path, monkeypatch):
    packages = list(NODE_NAMES)
    (tmp_path / NODE_FOLDER).mkdir(parents=True)
    shutil.copy(ROOT / NODE_FOLDER / "package-lock.json", tmp_path / NODE_FOLDER)
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    (tmp_path / "node").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    install = (
        "version 3.3.6 is not installed; run"
        " `npm ci --prefix benchmarks/other_classifiers --ignore-scripts`,"
        " or leave out: --without human --without face-api"
    )
    with pytest.raises(SystemExit, match=re.escape(install)):
        node_models(packages)
    for name in NODE_NAMES.values():
        installed = tmp_path / NODE_FOLDER / "node_modules" / name
        installed.mkdir(parents=True)
        (installed / "package.json").write_text(json.dumps({"version": "3.3.6"}))
    assert [found.version for found in node_models(["human"])] == ["3.3.6"]
    with pytest.raises(SystemExit, match=r"face-api: version 1\.7\.15 is not installed"):
        node_models(packages)
    (tmp_path / "node").unlink()
    with pytest.raises(SystemExit, match=r"error: node: not found; install Node\.js 20 or later"):
        node_models(packages)
    assert node_models([]) == []


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
