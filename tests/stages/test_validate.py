"""The validate stage: raw.csv to faces.npz, the quarantine, the report and the metrics."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages import validate
from stages.dataset.faces import SPLITS
from stages.dataset.fer_csv import HEADER, format_row
from stages.errors import UserError
from stages.parameters import FileSource, Rows, Validate, load_parameters
from tests.fer_csv_fixture import GOOD, SAME, pixels

ROOT = Path(__file__).parents[2]

LIMITS = Validate(
    min_std=1.0, max_rejected=0.2, min_class_share=0.01, max_class_share=0.5, min_split_rows=7
)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A function that writes raw.csv in a new folder and runs the stage."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/toy").mkdir(parents=True)
    base = load_parameters("sample", ROOT / "params")

    def run(
        *lines: str,
        rows: Rows | None = None,
        header: str = HEADER,
        emotions: list[str] | None = None,
        **limits,
    ):
        Path("data/toy/raw.csv").write_text("\n".join([header, *lines]))
        fetch = FileSource(
            source="file", path=Path("toy.csv"), sha256=None, rows=rows, emotions=emotions
        )
        limits = LIMITS.model_copy(update=limits)
        validate.main("toy", base.model_copy(update={"fetch": fetch, "validate_": limits}))
        return json.loads(Path("metrics/toy/validation.json").read_text())

    return run


def quarantine() -> list[list[str]]:
    with Path("data/toy/quarantine.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_no_cell_of_the_quarantine_is_a_formula(dataset):
    dataset(*GOOD, format_row("=1+1", pixels(250), "Training"))
    assert quarantine()[1][1:] == ["label", "'=1+1"]


def test_a_valid_dataset_passes_and_is_reported(dataset):
    metrics = dataset(
        *GOOD,
        f"1,{SAME},Training",
        f"2,{SAME},PublicTest",
        f"<script>,{pixels()},Training",
        f'3,{pixels()},"Train, ""ing"',
        rows=Rows(Training=16, PublicTest=15, PrivateTest=14),
    )
    assert quarantine() == [
        ["row", "check", "observed"],
        ["44", "copy_of_test_image", "45"],
        ["46", "label", "<script>"],
        ["47", "usage", 'Train, "ing'],
    ]
    with np.load("data/toy/faces.npz") as arrays:
        assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
            "images": ("uint8", (43, 48, 48)),
            "labels": ("uint8", (43,)),
            "split": ("uint8", (43,)),
            "row": ("int32", (43,)),
            "copy_in_training": ("bool", (43,)),
        }
        assert arrays["row"].tolist() == [*range(2, 44), 45]
    expectations = metrics["expectations"]
    assert expectations["row"]["label"] == {"success": True, "observed": 1}
    assert expectations["dataset"]["rejected"] == {"success": True, "observed": 0.0652}
    assert expectations["dataset"]["declared_rows.Training"] == {"success": True, "observed": 16}
    assert expectations["dataset"]["copies_left"] == {"success": True, "observed": 0}
    assert expectations["dataset"]["class_share.PublicTest.fear"] == {
        "success": True,
        "observed": 0.2,
    }
    assert expectations["note"]["conflicting_labels"] == {"success": False, "observed": 2}
    assert expectations["note"]["duplicates_within.Training"] == {"success": True, "observed": 0}
    page = Path("data/toy/validation.html").read_text()
    assert "every expectation is met" in page
    assert "emotion is a whole number" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_a_second_process_writes_the_same_bytes_and_a_quiet_log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parameters = (ROOT / "params/sample.yaml").read_text()
    parameters = parameters.replace(
        "1600, PublicTest: 200, PrivateTest: 200", "72, PublicTest: 70, PrivateTest: 70"
    )
    Path("params").mkdir()
    parameters = parameters.replace("min_split_rows: 100", "min_split_rows: 70")
    Path("params/sample.yaml").write_text(parameters)
    lines = [*GOOD * 5, f"9,{pixels()},Training", f"3,{'8 ' * 2304},Training"]
    Path("data/sample").mkdir(parents=True)
    Path("data/sample/raw.csv").write_text("\n".join([HEADER, *lines]))
    outputs = [
        Path("data/sample/faces.npz"),
        Path("data/sample/quarantine.csv"),
        Path("data/sample/validation.html"),
        Path("metrics/sample/validation.json"),
    ]
    validate.main("sample", load_parameters("sample"))
    first = [path.read_bytes() for path in outputs]
    completed = subprocess.run(
        [sys.executable, "-m", "stages.validate", "sample"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "3"},
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 0, completed.stderr
    assert [path.read_bytes() for path in outputs] == first
    assert completed.stdout == ""
    assert completed.stderr.splitlines() == [
        "Check every row of raw.csv and write faces.npz.",
        "data/sample/raw.csv: read 212 rows",
        "data/sample/quarantine.csv: 2 rows (1 label, 1 flat)",
        "data/sample/faces.npz: 210 faces",
    ]


SCALED = {"min_class_share": None, "max_class_share": None, "min_split_rows": None}


def faces_of(emotions: tuple[str, ...], training: int, test: int) -> list[str]:
    """Rows with this number of faces of each emotion."""
    numbers = {"Training": training, "PublicTest": test, "PrivateTest": test}
    return [
        format_row(emotion, pixels(), split)
        for split, number in numbers.items()
        for emotion in emotions
        for _ in range(number)
    ]


def test_limits_of_null_fit_small_datasets_with_their_own_emotions(dataset):
    emotions = ("calm", "tense")
    metrics = dataset(*faces_of(emotions, 10, 2), emotions=list(emotions), **SCALED)
    assert metrics["kept"]["Training"] == {"calm": 10, "tense": 10, "total": 20}
    checks = metrics["expectations"]["dataset"]
    assert checks["class_faces.PrivateTest.tense"] == {"success": True, "observed": 2}
    assert not any(name.startswith(("class_share", "split_rows")) for name in checks)
    with np.load("data/toy/faces.npz") as arrays:
        assert arrays["emotions"].tolist() == list(emotions)
        assert arrays["labels"].tolist() == [0] * 10 + [1] * 10 + [0, 0, 1, 1] * 2
    page = Path("data/toy/validation.html").read_text()
    assert "emotion is a whole number 0 … 1, or one of calm, tense" in page


def test_too_few_faces_of_an_emotion_say_how_many_are_needed(dataset):
    emotions = ("calm", "tense")
    with pytest.raises(UserError) as raised:
        dataset(*faces_of(emotions, 9, 1), emotions=list(emotions), **SCALED)
    assert "class_faces.Training.calm (9 of at least 10)" in str(raised.value)
    assert "class_faces.PublicTest.tense (1 of at least 2)" in str(raised.value)
    assert "rejected" not in str(raised.value)


@pytest.mark.parametrize("limits", [SCALED, {}])
def test_a_split_without_a_row_is_named_and_nothing_else(dataset, limits):
    emotions = ("calm", "tense")
    with pytest.raises(UserError) as raised:
        dataset(*faces_of(emotions, 10, 0), emotions=list(emotions), **limits)
    assert str(raised.value) == (
        "data/toy/raw.csv: PublicTest and PrivateTest have no row; what was expected is in "
        "data/toy/validation.html; each split needs rows: add them, or remove the column Usage "
        "from the CSV to have the splits drawn"
    )


def test_a_split_whose_rows_are_all_rejected_is_named(dataset):
    rows = [row for row in faces_of(("calm", "tense"), 10, 2) if "PublicTest" not in row]
    flat = format_row("calm", " ".join(["7"] * 2304), "PublicTest")
    with pytest.raises(UserError, match=r"csv: PublicTest has no valid row; the rejected rows"):
        dataset(*rows, flat, emotions=["calm", "tense"], **SCALED)


def test_labels_and_splits_that_are_unknown_are_shown(dataset):
    unknown = [f"{name},{pixels()},Training" for name in ("grumpy", "b", "grumpy", "c", "d", "e")]
    splits = [f"3,{pixels()},Test"] * 3
    with pytest.raises(UserError) as raised:
        dataset(*GOOD, *unknown, *splits, max_rejected=0.01)
    assert "label (6 rows: grumpy, b, c and 2 more), usage (3 rows: Test)" in str(raised.value)


def test_votes_and_drawn_splits_are_checked_and_kept(dataset):
    rows = faces_of(("calm", "tense"), 11, 2)
    extended = [f"{row},{5 * (row[0] == 'c')} 6,{int('Public' in row)}" for row in rows]
    extended[0] = f"{rows[0]},1,0"
    metrics = dataset(
        *extended, header=f"{HEADER},votes,drawn", emotions=["calm", "tense"], **SCALED
    )
    assert metrics["rejected"]["votes"] == 1
    assert quarantine()[1] == ["2", "votes", "1"]
    assert metrics["drawn"] == {"PublicTest": 4, "PrivateTest": 0}
    with np.load("data/toy/faces.npz") as arrays:
        assert arrays["votes"].tolist() == [
            [5 * (label == 0), 6] for label in arrays["labels"].tolist()
        ]


def test_of_drawn_splits_the_declared_rows_are_not_compared(dataset):
    drawn = [f"{row},{int('Training' not in row)}" for row in GOOD]
    other = Rows(Training=len(GOOD), PublicTest=1, PrivateTest=1)
    metrics = dataset(*drawn, header=f"{HEADER},drawn", rows=other)
    assert not [name for name in metrics["expectations"]["dataset"] if "declared" in name]
    with pytest.raises(UserError, match="declared_rows"):
        dataset(*GOOD, rows=other)


@pytest.mark.parametrize(
    ("lines", "changes", "failed"),
    [
        (GOOD + [f"8,{SAME},Training"] * 11, {}, ["label (11 rows: 8)", "rejected (0.2075)"]),
        (
            # Each check alone stays below the limit.
            GOOD + [f"8,{SAME},Training"] * 5 + [f"3,{SAME},Test"] * 5 + ["3,unreadable x"] * 5,
            {},
            ["rejected (0.2632)"],
        ),
        (GOOD, {"min_split_rows": 15}, [f"split_rows.{split} (14)" for split in SPLITS]),
        (
            GOOD,
            {"rows": Rows(Training=14, PublicTest=14, PrivateTest=15)},
            ["declared_rows.PrivateTest (14)"],
        ),
        (
            [line for line in GOOD if not line.startswith("1,")],
            {},
            [f"class_share.{split}.disgust (0)" for split in SPLITS],
        ),
        (
            GOOD + [format_row(3, pixels(), "PublicTest") for _ in range(20)],
            {},
            ["class_share.PublicTest.happy (0.6471)"],
        ),
    ],
    ids=[
        "one check",
        "checks together",
        "small splits",
        "declared",
        "absent",
        "common",
    ],
)
def test_a_failed_expectation_stops_the_pipeline(dataset, lines, changes, failed):
    stale = Path("data/toy/faces.npz")
    stale.write_text("of an earlier run")
    with pytest.raises(UserError) as raised:
        dataset(*lines, **changes)
    message = str(raised.value)
    assert message.isprintable()
    listed = message.split("what was found: ")[1].split("; ")[0]
    assert sorted(listed.split(", ")) == sorted(failed)
    metrics = json.loads(Path("metrics/toy/validation.json").read_text())
    assert ("data/toy/quarantine.csv" in message) == (metrics["rows"]["rejected"] > 0)
    assert "validate in params/toy.yaml" in message
    assert not stale.exists()
    assert len(quarantine()) == 1 + metrics["rows"]["rejected"]
    assert "expectations failed: " in Path("data/toy/validation.html").read_text()


def test_a_mistake_is_one_line_and_status_1(tmp_path):
    shutil.copytree(ROOT / "params", tmp_path / "params")
    raw = tmp_path / "data/sample/raw.csv"
    raw.parent.mkdir(parents=True)
    raw.write_text("emotion,pixel,Usage\n")
    completed = subprocess.run(
        [sys.executable, "-m", "stages.validate", "sample"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 1
    assert completed.stderr == (
        "Check every row of raw.csv and write faces.npz.\n"
        "error: data/sample/raw.csv, line 1: no column 'pixels' (nearest: 'pixel'); expected "
        "emotion,pixels,Usage, found emotion,pixel,Usage; correct the first line or fetch the "
        "dataset again\n"
    )
