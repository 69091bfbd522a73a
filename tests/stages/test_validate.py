"""What validate keeps, rejects and says, on rows made for it and on the real FER-2013."""

import csv
import json
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages import validate
from stages.dataset.faces import EMOTIONS, SPLITS
from stages.dataset.fer_csv import HEADER, format_row, read_faces
from stages.dataset.row_checks import CHECKS, check_rows, count_rows, kept_faces
from stages.errors import UserError
from stages.parameters import FolderSource, Rows, Validate, load_parameters

ROOT = Path(__file__).parents[2]
REAL_CSV = ROOT.parent / "shared" / "data" / "fer2013.csv.xz"

RNG = np.random.default_rng(11)
LIMITS = Validate(
    min_std=1.0, max_rejected=0.2, min_class_share=0.01, max_class_share=0.5, min_split_rows=7
)


def pixels(count: int = 2304) -> str:
    return " ".join(map(str, RNG.integers(0, 256, count)))


SAME = pixels()
GOOD = [format_row(index % 7, pixels(), SPLITS[index // 14]) for index in range(42)]


def checked(tmp_path: Path, *lines: str | bytes, min_std: float = 1.0):
    raw = tmp_path / "raw.csv"
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    raw.write_bytes(b"\n".join([HEADER.encode(), *encoded]))
    rows, images = read_faces(raw)
    return check_rows(rows, images, min_std), images


def rejected(rows) -> list[tuple]:
    faulty = rows[rows["check"].notna()]
    return list(faulty[["row", "check", "observed"]].itertuples(index=False, name=None))


# ---------------------------------------------------------------- one row


@pytest.mark.parametrize(
    ("line", "check", "observed"),
    [
        (f"3,{pixels(2303)},Training", "pixel_count", "2303"),
        (f"3,{pixels(2305)},Training", "pixel_count", "2305"),
        ("3,,Training", "pixel_count", "0"),
        (f"3,{pixels(1000)} dark {pixels(1303)},Training", "pixel_value", "dark at pixel 1001"),
        (f"3,-1 {pixels(2303)},Training", "pixel_value", "-1 at pixel 1"),
        (f"3,{pixels(2303)} 256,Training", "pixel_value", "256 at pixel 2304"),
        (f"3,{'1' * 5000} {pixels(2303)},Training", "pixel_value", "1" * 39 + "… at pixel 1"),
        ("3,unreadable sad/x.png,Training", "pixel_value", "unreadable sad/x.png"),
        (f"7,{pixels()},Training", "label", "7"),
        (f"-1,{pixels()},Training", "label", "-1"),
        (f"3.0,{pixels()},Training", "label", "3.0"),
        (f" 3,{pixels()},Training", "label", " 3"),
        (f",{pixels()},Training", "label", "(empty)"),
        (f"happy,{pixels()},Training", "label", "happy"),
        (f"7,{pixels()},Test", "label", "7"),
        (f"{'7' * 100},{pixels()},Training", "label", "7" * 79 + "…"),
        (f"3,{pixels()},Test", "usage", "Test"),
        (f"3,{pixels()},training", "usage", "training"),
        (f"3,{pixels()},Trai", "usage", "Trai"),
        (f"3,{pixels()},Train\x00ing", "usage", "Train\\x00ing"),
        (b"\xff\xfe,1,Training", "label", "\\xff\\xfe"),
        ("3,12 13 14", "fields", "2 fields"),
        ("3", "fields", "1 fields"),
        (f"3,{pixels()},Training,more", "fields", "4 fields"),
        (f'3,"{pixels(1152)}\n{pixels(1152)}",Training', "fields", "a line break inside quotes"),
        (f'3,"{pixels()},Training', "fields", "a quote is not closed"),
        (b"1 " * 5_000_000, "fields", "more than 65536 bytes"),
        (f"3,{'9 ' * 2304},Training", "flat", "0"),
        (f"3,{'9 ' * 2304},PublicTest", "flat", "0"),
        (f"3,{'9 10 ' * 1152},PrivateTest", "flat", "0.5"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_faulty_row_is_named_and_its_neighbours_are_kept(line, check, observed, tmp_path):
    rows, images = checked(tmp_path, *GOOD[:3], line, *GOOD[3:])
    assert rejected(rows) == [(5, check, observed)]
    after = 6 + (line.count("\n") if isinstance(line, str) else 0)
    faces = kept_faces(rows, images)
    assert faces.row.tolist() == [2, 3, 4, *range(after, after + len(GOOD) - 3)]
    assert [format_row(*parts) for parts in spelled(faces)] == GOOD


def spelled(faces: dict):
    for image, label, split in zip(faces.images, faces.labels, faces.split, strict=True):
        yield int(label), " ".join(map(str, image.ravel())), SPLITS[split]


def test_a_last_line_cut_anywhere_is_quarantined(tmp_path):
    for kept in (1, 2, 10, 5000, len(GOOD[1]) - 1):
        rows, _ = checked(tmp_path, GOOD[0], GOOD[1][:kept])
        assert [(row, check) for row, check, _ in rejected(rows)] == [
            (3, "usage" if kept > 8000 else "fields")
        ]


def test_the_limit_of_flatness_is_a_parameter(tmp_path):
    line = format_row(3, "9 11 " * 1152, "Training")
    assert rejected(checked(tmp_path, line, min_std=1.0)[0]) == []
    assert rejected(checked(tmp_path, line, min_std=1.01)[0]) == [(2, "flat", "1")]


# ---------------------------------------------------------------- copies


def test_training_copies_of_test_images_are_removed_and_the_test_images_marked(tmp_path):
    lines = [
        GOOD[0],
        f"1,{SAME},Training",
        f"2,{SAME},PublicTest",
        f"3,{SAME},Training",
        f"1,{SAME},PrivateTest",
        GOOD[20],
    ]
    rows, images = checked(tmp_path, *lines)
    assert rejected(rows) == [
        (3, "copy_of_test_image", "4"),
        (5, "copy_of_test_image", "4"),
    ]
    faces = kept_faces(rows, images)
    assert faces.row.tolist() == [2, 4, 6, 7]
    assert faces.split.tolist() == [0, 1, 2, 1]
    assert faces.copy_in_training.tolist() == [False, True, True, False]


def test_copies_without_a_training_row_are_kept_and_not_marked(tmp_path):
    lines = [f"1,{SAME},PublicTest", f"2,{SAME},PrivateTest", f"2,{SAME},PublicTest", GOOD[0]]
    rows, images = checked(tmp_path, *lines, f"7,{SAME},Training")
    assert rejected(rows) == [(6, "label", "7")]
    assert not kept_faces(rows, images).copy_in_training.any()


def test_a_rejected_test_row_takes_nothing_out_of_training(tmp_path):
    rows, _ = checked(tmp_path, f"1,{SAME},Training", f"9,{SAME},PublicTest", GOOD[0])
    assert rejected(rows) == [(3, "label", "9")]


def test_images_that_differ_in_one_level_are_no_copies(tmp_path):
    first, rest = SAME.split(" ", 1)
    other = f"{(int(first) + 1) % 256} {rest}"
    rows, images = checked(tmp_path, f"1,{SAME},Training", f"1,{other},PublicTest")
    assert rejected(rows) == []
    assert not kept_faces(rows, images).copy_in_training.any()


def test_counts(tmp_path):
    other = pixels()
    rows, _ = checked(
        tmp_path,
        f"1,{SAME},Training",
        f"2,{SAME},Training",
        f"1,{SAME},PublicTest",
        f"3,{other},PrivateTest",
        f"3,{other},PrivateTest",
        *[f"3,{'0 ' * 2304},Training"] * 2,
        f"8,{pixels()},Training",
        GOOD[0],
    )
    counts = count_rows(rows)
    assert counts["rows"] == {"read": 9, "kept": 4, "rejected": 5}
    nothing = dict.fromkeys(EMOTIONS, 0)
    assert counts["kept"] == {
        "Training": {**nothing, "angry": 1, "total": 1},
        "PublicTest": {**nothing, "disgust": 1, "total": 1},
        "PrivateTest": {**nothing, "happy": 2, "total": 2},
    }
    assert counts["rejected"] == {
        **dict.fromkeys(CHECKS, 0),
        "flat": 2,
        "label": 1,
        "copy_of_test_image": 2,
    }
    assert counts["duplicates"] == {
        "groups": 2,
        "redundant_copies": 3,
        "groups_with_conflicting_labels": 1,
        "redundant_copies_within": {"Training": 1, "PublicTest": 0, "PrivateTest": 1},
        "copies_in_training": {"PublicTest": 1, "PrivateTest": 0},
    }


# ---------------------------------------------------------------- the whole stage


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A working folder; the returned function writes raw.csv and runs the stage on it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/toy").mkdir(parents=True)
    base = load_parameters("sample", ROOT / "params.yaml")

    def run(*lines: str, rows: Rows | None = None, **limits):
        Path("data/toy/raw.csv").write_text("\n".join([HEADER, *lines]))
        fetch = FolderSource(source="folder", path=Path("toy"), rows=rows)
        limits = LIMITS.model_copy(update=limits)
        validate.main("toy", base.model_copy(update={"fetch": fetch, "validate_": limits}))
        return json.loads(Path("metrics/toy/validation.json").read_text())

    return run


def quarantine() -> list[list[str]]:
    with Path("data/toy/quarantine.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_a_sound_dataset_passes_and_reports(dataset):
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
    parameters = (ROOT / "params.yaml").read_text()
    parameters = parameters.replace(
        "1600, PublicTest: 200, PrivateTest: 200", "72, PublicTest: 70, PrivateTest: 70"
    )
    Path("params.yaml").write_text(parameters.replace("min_split_rows: 100", "min_split_rows: 70"))
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
        "data/sample/raw.csv: read 212 rows",
        "data/sample/quarantine.csv: 2 rows (1 label, 1 flat)",
        "data/sample/faces.npz: 210 faces",
    ]


@pytest.mark.parametrize(
    ("lines", "changes", "failed"),
    [
        (GOOD + [f"8,{SAME},Training"] * 11, {}, ["label (11 rows)", "rejected (0.2075)"]),
        (
            # Each check alone stays below the limit.
            GOOD + [f"8,{SAME},Training"] * 5 + [f"3,{SAME},Test"] * 5 + ["3,unreadable x"] * 5,
            {},
            ["rejected (0.2632)"],
        ),
        (GOOD[:28], {}, ["split_rows.PrivateTest (0)"]),
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
        "no split",
        "small splits",
        "declared",
        "absent",
        "common",
    ],
)
def test_an_unsound_dataset_stops_the_pipeline(dataset, lines, changes, failed):
    stale = Path("data/toy/faces.npz")
    stale.write_text("of an earlier run")
    with pytest.raises(UserError) as raised:
        dataset(*lines, **changes)
    message = str(raised.value)
    assert message.isprintable()
    listed = message.split("what was found: ")[1].split("; ")[0]
    assert sorted(listed.split(", ")) == sorted(failed)
    assert "data/toy/quarantine.csv" in message
    assert "toy.validate in params.yaml" in message
    assert not stale.exists()
    metrics = json.loads(Path("metrics/toy/validation.json").read_text())
    assert len(quarantine()) == 1 + metrics["rows"]["rejected"]
    assert "expectations failed: " in Path("data/toy/validation.html").read_text()


def test_a_mistake_is_one_line_and_status_1(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
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
        "emotion,pixels,Usage, found emotion,pixel,Usage; mend the first line or fetch the "
        "dataset again\n"
    )


@pytest.mark.skipif(not REAL_CSV.exists(), reason="the real FER-2013 is not on this machine")
def test_the_real_dataset_has_its_known_figures(tmp_path):
    raw = tmp_path / "raw.csv"
    with lzma.open(REAL_CSV) as packed, raw.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 2**20)
    rows, images = read_faces(raw)
    assert int((rows["std"] == 0).sum()) == 12
    rows = check_rows(rows, images, min_std=1.0)
    counts = count_rows(rows)
    assert counts["rows"] == {"read": 35_887, "kept": 35_182, "rejected": 705}
    assert counts["rejected"] == {
        **dict.fromkeys(CHECKS, 0),
        "flat": 13,
        "copy_of_test_image": 692,
    }
    assert counts["duplicates"]["redundant_copies"] == 1844
    assert counts["duplicates"]["groups"] == 1517
    assert counts["duplicates"]["groups_with_conflicting_labels"] == 58
    assert counts["duplicates"]["copies_in_training"] == {"PublicTest": 279, "PrivateTest": 288}
    faces = kept_faces(rows, images)
    assert np.bincount(faces.split).tolist() == [28_005, 3_588, 3_589]
    assert faces.images[0, 0, :4].tolist() == [70, 80, 82, 72]
