"""Faces that the command line wrote and a person has sorted, as a dataset."""

import csv
import logging
import shutil
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.cli.main import main
from stages.balancing.strategies import balance
from stages.dataset import sources
from stages.dataset.fer_csv import read_faces
from stages.dataset.labels import in_order
from stages.dataset.row_checks import check_rows, count_rows, kept_faces
from stages.errors import UserError
from stages.fetch import fetch
from stages.parameters import Balance, BalanceAugmentation, Draw, FolderSource
from tests.model_fixture import write_tiny_model
from tests.portrait_fixture import portrait

PHOTOS = 6


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A tree of crops from photos of two faces each, with three predicted emotions."""
    folder = tmp_path_factory.mktemp("written")
    model = write_tiny_model(folder / "model.onnx", seed=6)
    (folder / "photos").mkdir()
    for number in range(PHOTOS):
        left = portrait(seed=2 * number)
        right = portrait(seed=2 * number + 1, place=(100, 60), size=300)
        cv2.imwrite(
            str(folder / f"photos/{number}.png"), np.hstack([left // (1 + number % 3), right])
        )
    with pytest.MonkeyPatch.context() as patch:
        command = ["recognize-emotions", str(folder / "photos"), "--csv", str(folder / "all.csv")]
        arguments = ["--model", str(model), "--crops", str(folder / "out")]
        patch.setattr(sys, "argv", command + arguments)
        assert main() == 0
    assert len({row["emotion"] for row in rows_of(folder / "out")}) == 3
    return folder / "out"


@pytest.fixture
def tree(written, tmp_path) -> Path:
    """A copy of the tree."""
    return shutil.copytree(written, tmp_path / "out")


def rows_of(tree: Path) -> list[dict[str, str]]:
    with (tree / "faces.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def move(tree: Path, row: dict[str, str], emotion: str, source: str | None = None) -> None:
    (tree / emotion).mkdir(exist_ok=True)
    (tree / (source or row["emotion"]) / row["file"]).rename(tree / emotion / row["file"])


def source_of(path: Path, **keys) -> FolderSource:
    return FolderSource(source="folder", path=path, **keys)


def split_into(tree: Path, root: Path) -> Path:
    """Make the tree the Training split of a dataset, with other images in the test splits."""
    shutil.move(tree, root / "train")
    emotions = [folder.name for folder in (root / "train").glob("[!_]*/") if folder.is_dir()]
    for number, split in enumerate(("val", "test")):
        for label, emotion in enumerate(emotions):
            noise = np.random.default_rng([number, label]).integers(0, 256, (48, 48), np.uint8)
            (root / split / emotion).mkdir(parents=True)
            cv2.imwrite(str(root / split / emotion / "1.png"), noise)
    return root


def faces_of(source: FolderSource, raw: Path):
    """The faces and the counted rows that fetch and validate make of a source."""
    fetch(source, raw)
    rows, images = read_faces(raw)
    emotions = in_order(rows["emotion"])
    rows = check_rows(rows, images, emotions, 1.0)
    return kept_faces(rows, images, emotions), count_rows(rows, emotions)


def test_a_moved_face_is_a_corrected_one_with_the_pixels_that_the_network_saw(tree, tmp_path):
    rows = rows_of(tree)
    present = sorted({row["emotion"] for row in rows})
    moved = [row for row in rows if row["emotion"] != present[0]][:2]
    for row in moved:
        move(tree, row, present[0])
    root = split_into(tree, tmp_path / "data")
    faces, counts = faces_of(source_of(root), tmp_path / "raw.csv")
    training = faces.of_split("Training")
    seen = {
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).tobytes(): path.name
        for path in (root / "train/_48x48").iterdir()
    }
    files = [seen[image.tobytes()] for image in training.images]
    assert sorted(files) == sorted(row["file"] for row in rows)
    corrected = {file for file, flag in zip(files, training.corrected, strict=True) if flag}
    assert corrected == {row["file"] for row in moved}
    labels = {file: faces.emotions[k] for file, k in zip(files, training.labels, strict=True)}
    assert labels == {row["file"]: present[0] if row in moved else row["emotion"] for row in rows}
    assert not faces.of_split("PrivateTest").corrected.any()
    assert counts["corrected"] == {"Training": 2, "PublicTest": 0, "PrivateTest": 0}


def test_copies_of_a_corrected_face_are_corrected(tree, tmp_path):
    rows = rows_of(tree)
    present = sorted({row["emotion"] for row in rows})
    (moved,) = [row for row in rows if row["emotion"] != present[0]][:1]
    move(tree, moved, present[0])
    faces, _ = faces_of(source_of(split_into(tree, tmp_path / "data")), tmp_path / "raw.csv")
    ranges = dict.fromkeys(BalanceAugmentation.model_fields, 0)
    for strategy in ("oversample", "augment"):
        how = Balance(strategy=strategy, target=1.0, seed=0, augmentation=ranges)
        training = balance(faces.of_split("Training"), how)
        original = faces.row[faces.corrected]
        assert training.corrected.tolist() == (training.row == original).tolist()
    assert training.augmented.any()


def test_without_corrections_nothing_changes(tree, tmp_path):
    root = split_into(tree, tmp_path / "data")
    faces, counts = faces_of(source_of(root), tmp_path / "raw.csv")
    assert faces.corrected is None
    assert "corrected" not in counts
    assert (tmp_path / "raw.csv").read_text().startswith("emotion,pixels,Usage\n")


def test_another_spelling_of_the_same_emotion_is_no_correction(tree, tmp_path):
    row = rows_of(tree)[0]
    spelled = {"sad": "Sadness", "happy": "joy", "angry": "anger", "fear": "fearful"}
    spelled |= {"surprise": "surprised", "disgust": "disgusted", "neutral": "ne"}
    (tree / row["emotion"]).rename(tree / spelled[row["emotion"]])
    faces, _ = faces_of(source_of(split_into(tree, tmp_path / "data")), tmp_path / "raw.csv")
    assert faces.corrected is None
    assert row["emotion"] in faces.emotions


@pytest.mark.parametrize("person", [None, r"/(0)-\w"])
def test_the_faces_of_a_photo_share_a_split(written, tmp_path, person):
    """Two emotions, so that each split can be drawn from six photos."""
    tree = shutil.copytree(written, tmp_path / "out")
    rows = rows_of(tree)
    for number, row in enumerate(rows):
        move(tree, row, ("happy", "sad")[number % 2])
    for folder in tree.glob("[!_]*/"):
        if folder.name not in ("happy", "sad") and folder.is_dir():
            folder.rmdir()
    draw = Draw(validation=0.3, test=0.3, person=person)
    faces, _ = faces_of(source_of(tree, draw=draw), tmp_path / "raw.csv")
    photo_of = {
        cv2.imread(str(tree / "_48x48" / row["file"]), 0).tobytes(): row["photo_sha256"]
        for row in rows
    }
    photos = [photo_of[image.tobytes()] for image in faces.images]
    assert len(set(photos)) == PHOTOS
    splits = {
        photo: {s for p, s in zip(photos, faces.split, strict=True) if p == photo}
        for photo in photos
    }
    assert [len(found) for found in splits.values()] == [1] * PHOTOS
    assert set(faces.split) == {0, 1, 2}


def test_a_photo_in_two_splits_is_an_error(tree, tmp_path):
    root = split_into(tree, tmp_path / "data")
    (root / "test/faces.csv").write_bytes((root / "train/faces.csv").read_bytes())
    row = rows_of(root / "train")[0]
    (root / "train" / row["emotion"] / row["file"]).rename(
        root / "test" / row["emotion"] / row["file"]
    )
    with pytest.raises(UserError, match="has faces in Training and in PrivateTest") as error:
        list(sources.folder(source_of(root)))
    assert f"the photo {row['photo']} has faces" in str(error.value)
    assert row["photo_sha256"] in str(error.value)


@pytest.mark.parametrize("tables", [("train",), ("test",), ("train", "val")])
def test_a_copy_of_a_face_in_another_split_is_an_error_that_names_both_files(
    tree, tmp_path, tables
):
    """Its pixels differ from those that the network saw, so validate finds no equal images."""
    row = rows_of(tree)[0]
    root = split_into(tree, tmp_path / "data")
    given = root / "train" / row["emotion"] / row["file"]
    copy = root / "val" / row["emotion"] / "renamed.png"
    shutil.copy(given, copy)
    if "test" in tables:
        for old, new in (("test", "other"), ("train", "test"), ("other", "train")):
            (root / old).rename(root / new)
        given = root / "test" / row["emotion"] / row["file"]
    if "val" in tables:  # a face of another photo, as where two files have the same photo
        (root / "val/faces.csv").write_text(
            f"file,photo_sha256,emotion\nrenamed.png,{'0' * 64},{row['emotion']}\n"
        )
    with pytest.raises(UserError) as error:
        list(sources.folder(source_of(root)))
    assert f"{copy}: a copy of {given}, a face that --crops has written" in str(error.value)
    assert "delete one of both files" in str(error.value)


def test_a_copy_that_no_table_has_is_an_error_before_splits_are_drawn(tree):
    row = rows_of(tree)[0]
    given = tree / row["emotion"] / row["file"]
    copy = shutil.copy(given, given.with_name("copy.png"))
    with pytest.raises(UserError, match="a face that --crops has written") as error:
        list(sources.folder(source_of(tree)))
    assert f"{copy}: a copy of {given}," in str(error.value)


def test_without_a_table_equal_files_are_left_to_validate(tree, tmp_path):
    root = split_into(tree, tmp_path / "data")
    (root / "train/faces.csv").unlink()
    row = next((root / "train").glob("[!_]*/*.png"))
    shutil.copy(row, root / "val" / row.parent.name)
    rows = [line.decode().split(",") for line in sources.folder(source_of(root))]
    equal = Counter(row[1] for row in rows)
    assert sorted(equal.values())[-2:] == [1, 2]


def test_a_copied_face_is_an_error_that_names_both_folders(tree, tmp_path):
    row = rows_of(tree)[0]
    other = next(r["emotion"] for r in rows_of(tree) if r["emotion"] != row["emotion"])
    shutil.copy(tree / row["emotion"] / row["file"], tree / other / row["file"])
    root = split_into(tree, tmp_path / "data")
    with pytest.raises(UserError, match="a face has one emotion: delete the wrong") as error:
        list(sources.folder(source_of(root)))
    for emotion in (row["emotion"], other):
        assert f"/train/{emotion}" in str(error.value)


def test_unsure_faces_are_left_out_until_they_are_sorted(tree, tmp_path, caplog):
    rows = rows_of(tree)
    (tree / "_unsure").mkdir()
    text = (tree / "faces.csv").read_text()
    for row in rows[:2]:
        move(tree, row, "_unsure")
        line = next(line for line in text.splitlines() if line.startswith(row["file"]))
        text = text.replace(line, line.replace(f",{row['emotion']},", ",,"))
    (tree / "faces.csv").write_text(text)
    move(tree, rows[1], rows[2]["emotion"], "_unsure")
    with caplog.at_level(logging.INFO):
        root = split_into(tree, tmp_path / "data")
        faces, counts = faces_of(source_of(root), tmp_path / "raw.csv")
    assert "1 of them has a predicted emotion that was corrected" in caplog.text
    assert "left out 1 face that is not sorted" in caplog.text
    assert "ignored" not in caplog.text
    assert len(faces.of_split("Training").labels) == len(rows) - 1
    assert counts["corrected"]["Training"] == 1


def test_without_the_48x48_crops_those_at_their_own_size_are_read(tree, tmp_path):
    root = split_into(tree, tmp_path / "data")
    before, _ = faces_of(source_of(root), tmp_path / "raw.csv")
    shutil.rmtree(root / "train/_48x48")
    after, _ = faces_of(source_of(root), tmp_path / "again.csv")
    assert (after.labels == before.labels).all()
    assert 0 < np.abs(after.images.astype(int) - before.images).mean() < 5


@pytest.mark.parametrize("change", ["cut", "semicolons"])
def test_a_damaged_table(tree, tmp_path, change):
    table = tree / "faces.csv"
    rows = rows_of(tree)
    if change == "cut":  # as after a kill; the run that completes it adds the row again
        last = rows[-1]["file"]
        text = table.read_text()
        table.write_text(text[: text.index(last) + len(last) + 200])
        faces, _ = faces_of(source_of(split_into(tree, tmp_path / "data")), tmp_path / "raw.csv")
        assert len(faces.of_split("Training").labels) == len(rows)
        assert faces.corrected is None
        return
    table.write_text(table.read_text().replace(",", ";"))
    with pytest.raises(UserError, match=r"faces\.csv: no column file; restore the table"):
        list(sources.folder(source_of(split_into(tree, tmp_path / "data"))))


def test_crops_are_not_detected_again(tree, tmp_path):
    root = split_into(tree, tmp_path / "data")
    given, _ = faces_of(source_of(root), tmp_path / "raw.csv")
    shutil.rmtree(root / "val")
    shutil.rmtree(root / "test")
    for number, split in enumerate(("val", "test")):
        for label in given.emotions:
            (root / split / label).mkdir(parents=True)
            photo = portrait(seed=100 + number)
            cv2.imwrite(str(root / split / label / f"{label}.png"), photo)
    detected, _ = faces_of(source_of(root, faces="detect"), tmp_path / "detected.csv")
    assert np.array_equal(detected.of_split("Training").images, given.of_split("Training").images)
