"""Rejected rows, their reasons and the counts: for made rows and for the real FER-2013."""

import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest

from stages.dataset.faces import SPLITS
from stages.dataset.fer2013 import EMOTIONS
from stages.dataset.fer_csv import HEADER, format_row, read_faces
from stages.dataset.row_checks import CHECKS, check_rows, count_rows, kept_faces
from tests.fer_csv_fixture import GOOD, SAME, pixels

ROOT = Path(__file__).parents[3]
REAL_CSV = ROOT.parent / "shared" / "data" / "fer2013.csv.xz"


def checked(tmp_path: Path, *lines: str | bytes, min_std: float = 1.0):
    raw = tmp_path / "raw.csv"
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    raw.write_bytes(b"\n".join([HEADER.encode(), *encoded]))
    rows, images = read_faces(raw)
    return check_rows(rows, images, EMOTIONS, min_std), images


def rejected(rows) -> list[tuple]:
    faulty = rows[rows["check"].notna()]
    return list(faulty[["row", "check", "observed"]].itertuples(index=False, name=None))


def spelled(faces: dict):
    for image, label, split in zip(faces.images, faces.labels, faces.split, strict=True):
        yield int(label), " ".join(map(str, image.ravel())), SPLITS[split]


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
        ("3,no face in sad/x.png,Training", "pixel_value", "no face in sad/x.png"),
        (f"7,{pixels()},Training", "label", "7"),
        (f"-1,{pixels()},Training", "label", "-1"),
        (f"3.0,{pixels()},Training", "label", "3.0"),
        (f" 3,{pixels()},Training", "label", " 3"),
        (f",{pixels()},Training", "label", "(empty)"),
        (f"joyful,{pixels()},Training", "label", "joyful"),
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
def test_an_invalid_row_is_named_and_its_neighbours_are_kept(line, check, observed, tmp_path):
    rows, images = checked(tmp_path, *GOOD[:3], line, *GOOD[3:])
    assert rejected(rows) == [(5, check, observed)]
    after = 6 + (line.count("\n") if isinstance(line, str) else 0)
    faces = kept_faces(rows, images, EMOTIONS)
    assert faces.row.tolist() == [2, 3, 4, *range(after, after + len(GOOD) - 3)]
    assert [format_row(*parts) for parts in spelled(faces)] == GOOD


def test_a_truncated_last_line_is_quarantined(tmp_path):
    for kept in (1, 2, 10, 5000, len(GOOD[1]) - 1):
        rows, _ = checked(tmp_path, GOOD[0], GOOD[1][:kept])
        assert [(row, check) for row, check, _ in rejected(rows)] == [
            (3, "usage" if kept > 8000 else "fields")
        ]


def test_the_threshold_of_flat_images_is_a_parameter(tmp_path):
    line = format_row(3, "9 11 " * 1152, "Training")
    assert rejected(checked(tmp_path, line, min_std=1.0)[0]) == []
    assert rejected(checked(tmp_path, line, min_std=1.01)[0]) == [(2, "flat", "1")]


def test_train_test_duplicates_are_removed_from_training_and_marked_in_the_test_splits(tmp_path):
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
    faces = kept_faces(rows, images, EMOTIONS)
    assert faces.row.tolist() == [2, 4, 6, 7]
    assert faces.split.tolist() == [0, 1, 2, 1]
    assert faces.copy_in_training.tolist() == [False, True, True, False]


def test_duplicates_without_a_training_row_are_kept_and_not_marked(tmp_path):
    lines = [f"1,{SAME},PublicTest", f"2,{SAME},PrivateTest", f"2,{SAME},PublicTest", GOOD[0]]
    rows, images = checked(tmp_path, *lines, f"7,{SAME},Training")
    assert rejected(rows) == [(6, "label", "7")]
    assert not kept_faces(rows, images, EMOTIONS).copy_in_training.any()


def test_a_rejected_test_row_removes_nothing_from_training(tmp_path):
    rows, _ = checked(tmp_path, f"1,{SAME},Training", f"9,{SAME},PublicTest", GOOD[0])
    assert rejected(rows) == [(3, "label", "9")]


def test_images_that_differ_in_one_grey_level_are_no_duplicates(tmp_path):
    first, rest = SAME.split(" ", 1)
    other = f"{(int(first) + 1) % 256} {rest}"
    rows, images = checked(tmp_path, f"1,{SAME},Training", f"1,{other},PublicTest")
    assert rejected(rows) == []
    assert not kept_faces(rows, images, EMOTIONS).copy_in_training.any()


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
    counts = count_rows(rows, EMOTIONS)
    assert counts["rows"] == {"read": 9, "kept": 4, "rejected": 5}
    nothing = dict.fromkeys(EMOTIONS, 0)
    assert counts["kept"] == {
        "Training": {**nothing, "angry": 1, "total": 1},
        "PublicTest": {**nothing, "disgust": 1, "total": 1},
        "PrivateTest": {**nothing, "happy": 2, "total": 2},
    }
    assert counts["rejected"] == {
        **{check: 0 for check in CHECKS if check != "votes"},
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


@pytest.mark.skipif(not REAL_CSV.exists(), reason="the real FER-2013 is not on this machine")
def test_the_real_dataset_has_its_known_counts(tmp_path):
    raw = tmp_path / "raw.csv"
    with lzma.open(REAL_CSV) as packed, raw.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 2**20)
    rows, images = read_faces(raw)
    assert int((rows["std"] == 0).sum()) == 12
    rows = check_rows(rows, images, EMOTIONS, min_std=1.0)
    counts = count_rows(rows, EMOTIONS)
    assert counts["rows"] == {"read": 35_887, "kept": 35_182, "rejected": 705}
    assert counts["rejected"] == {
        **{check: 0 for check in CHECKS if check != "votes"},
        "flat": 13,
        "copy_of_test_image": 692,
    }
    assert counts["duplicates"]["redundant_copies"] == 1844
    assert counts["duplicates"]["groups"] == 1517
    assert counts["duplicates"]["groups_with_conflicting_labels"] == 58
    assert counts["duplicates"]["copies_in_training"] == {"PublicTest": 279, "PrivateTest": 288}
    faces = kept_faces(rows, images, EMOTIONS)
    assert np.bincount(faces.split).tolist() == [28_005, 3_588, 3_589]
    assert faces.images[0, 0, :4].tolist() == [70, 80, 82, 72]
