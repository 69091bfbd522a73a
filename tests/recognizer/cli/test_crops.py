"""`--crops`: the tree of faces that a person corrects; `--unsure`."""

import csv
import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.classifier import Classifier
from recognizer.cli.crops import folder_name
from recognizer.cli.main import main
from recognizer.cropping import crop
from recognizer.detectors.base import Square
from recognizer.image import decode
from tests.model_fixture import LABELS, write_tiny_model
from tests.portrait_fixture import portrait
from tests.recognizer.video_fixture import write_video


@pytest.fixture
def photos(tmp_path):
    """One face, two faces in a large JPEG, none, and the one face under another name."""
    folder = tmp_path / "in"
    (folder / "again").mkdir(parents=True)
    cv2.imwrite(str(folder / "one.png"), portrait())
    two = np.hstack([portrait(seed=1), portrait(seed=2, place=(100, 60), size=300)])
    two = cv2.resize(two, (3600, 1350), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "two 'faces', one\nline.jpg"), two)
    cv2.imwrite(str(folder / "none.png"), np.full((100, 150), 90, np.uint8))
    cv2.imwrite(str(folder / "again" / "one.png"), portrait(seed=3))
    return folder


@pytest.fixture
def recognize(tmp_path, model_path, monkeypatch, capsys):
    """Run the command in the temporary folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, model=model_path):
        monkeypatch.setattr(
            sys, "argv", ["recognize-emotions", "--model", str(model), *map(str, arguments)]
        )
        return main(), *capsys.readouterr()

    return call


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "faces.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(out: Path) -> dict[str, bytes]:
    """The content of each file by its path."""
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_each_face_is_written_twice_with_a_row(photos, recognize, model_path, tmp_path):
    assert recognize("in", "--crops", "out")[0] == 0
    out, classifier = tmp_path / "out", Classifier(model_path)
    rows = rows_of(out)
    assert [Path(row["photo"]).name for row in rows] == [
        "one.png",
        "one.png",
        "two 'faces', one\nline.jpg",
        "two 'faces', one\nline.jpg",
    ]
    for row in rows:
        seen = cv2.imread(str(out / "_48x48" / row["file"]), cv2.IMREAD_UNCHANGED)
        probabilities = classifier.predict(seen[None])[0]
        assert [float(row[label]) for label in LABELS] == pytest.approx(probabilities, abs=1e-6)
        assert row["emotion"] == LABELS[probabilities.argmax()]
        assert row["model"] == classifier.version
        photo = (tmp_path / row["photo"]).read_bytes()
        assert row["photo_sha256"] == hashlib.sha256(photo).hexdigest()

        own_size = cv2.imread(str(out / row["emotion"] / row["file"]), cv2.IMREAD_UNCHANGED)
        width, height = int(row["width"]), int(row["height"])
        assert own_size.shape[0] == own_size.shape[1]
        assert 0.7 * min(width, height) < len(own_size) < 1.5 * max(width, height)
        assert own_size.shape[2] == 3
        # The same part of the photo.
        grey = cv2.cvtColor(cv2.resize(own_size, (48, 48), interpolation=cv2.INTER_AREA), 6)
        assert np.abs(grey.astype(int) - seen).mean() < 5
    assert len(files_of(out)) == 2 * len(rows) + 1
    assert recognize("in", "--crops", "other")[0] == 0
    assert files_of(tmp_path / "other") == files_of(out)


def test_a_large_photo_gives_crops_at_its_own_size(photos, recognize, tmp_path):
    photo = next(photos.glob("two*"))
    assert decode(photo.read_bytes()).scale > 1
    whole = decode(photo.read_bytes(), long_side=None).pixels
    _, out, _ = recognize(photo, "--crops", "out", "--json")
    faces = json.loads(out)["faces"]
    for face, row in zip(faces, rows_of(tmp_path / "out"), strict=True):
        own_size = cv2.imread(str(tmp_path / "out" / row["emotion"] / row["file"]))
        square = Square(**face["square"])
        assert np.array_equal(own_size, crop(whole, square, round(square.side)))


def test_a_second_run_keeps_what_a_person_has_moved_or_deleted(photos, recognize, tmp_path):
    recognize("in", "--crops", "out")
    out = tmp_path / "out"
    first, second, *_ = rows_of(out)
    right = next(label for label in LABELS if label != first["emotion"])
    (out / right).mkdir(exist_ok=True)
    (out / first["emotion"] / first["file"]).rename(out / right / first["file"])
    (out / second["emotion"] / second["file"]).unlink()
    corrected = files_of(out)
    assert recognize("in", "--crops", "out")[0] == 0
    assert files_of(out) == corrected


def test_new_photos_and_another_model_add_to_the_tree(photos, recognize, tmp_path):
    recognize("in/one.png", "--crops", "out")
    (before,) = rows_of(tmp_path / "out")
    other = write_tiny_model(tmp_path / "other.onnx", seed=1)
    assert recognize("in", "--crops", "out", model=other)[0] == 0
    rows = rows_of(tmp_path / "out")
    assert rows[0] == before
    assert len(rows) == 4
    assert {row["model"] for row in rows} == {before["model"], Classifier(other).version}


def test_several_processes_write_the_same_tree(photos, recognize, tmp_path):
    recognize("in", "--crops", "one")
    assert recognize("in", "--crops", "two", "--workers", "2")[0] == 0
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


@pytest.mark.parametrize("left", [7, 300])
def test_an_interrupted_run_is_completed(photos, recognize, tmp_path, left):
    recognize("in", "--crops", "out")
    out = tmp_path / "out"
    complete = files_of(out)
    table = out / "faces.csv"
    table.write_bytes(table.read_bytes()[:left])
    for path in out.rglob("one-*.png"):
        if path.parent.name == "_48x48":
            path.unlink()
    assert recognize("in", "--crops", "out")[0] == 0
    assert files_of(out) == complete


def test_below_unsure_there_is_no_emotion(photos, recognize, tmp_path):
    _, out, _ = recognize("in", "--json")
    faces = [face for line in out.splitlines() for face in json.loads(line)["faces"]]
    highest = sorted(max(face["probabilities"].values()) for face in faces)
    limit = (highest[0] + highest[-1]) / 2
    status, out, _ = recognize("in", "--json", "--unsure", limit, "--crops", "out")
    assert status == 0
    unsure = [face for line in out.splitlines() for face in json.loads(line)["faces"]]
    assert [face["emotion"] for face in unsure] == [
        face["emotion"] if max(face["probabilities"].values()) >= limit else None for face in faces
    ]
    assert [face["probabilities"] for face in unsure] == [face["probabilities"] for face in faces]
    assert None in {face["emotion"] for face in unsure} != {None}
    for row in rows_of(tmp_path / "out"):
        assert (tmp_path / "out" / (row["emotion"] or "_unsure") / row["file"]).is_file()


def test_unsure_faces_in_the_table_the_csv_and_the_picture(photos, recognize, tmp_path):
    status, out, _ = recognize("in/one.png", "--unsure", "1")
    assert status == 0
    header, line = out.splitlines()
    assert line.startswith("unsure ")
    assert line.index("%") == header.index("conf") + 3  # the detector's confidence alone
    recognize("in/one.png", "--unsure", "1", "--csv", "out.csv")
    (row,) = csv.DictReader((tmp_path / "out.csv").open())
    assert (row["emotion"], row["settings"].split()[-1]) == ("", "unsure=1")
    assert recognize("in/one.png", "--unsure", "1", "--annotate", "drawn.png")[0] == 0
    recognize("in/one.png", "--annotate", "sure.png")
    assert (tmp_path / "drawn.png").read_bytes() != (tmp_path / "sure.png").read_bytes()


def test_a_video_is_refused_and_the_photos_are_written(photos, recognize, tmp_path):
    write_video(photos / "clip.mp4")
    status, _, err = recognize("in", "--crops", "out")
    assert status == 1
    assert err == "error: in/clip.mp4: a video; --crops takes photos only\n"
    assert len(rows_of(tmp_path / "out")) == 4


@pytest.mark.parametrize("label", ["../../outside", "/outside", "_48x48", ".", "a\0b"])
def test_no_label_leaves_the_tree(photos, recognize, tmp_path, label):
    labels = [f"{label}{number}" if number else label for number in range(len(LABELS))]
    model = write_tiny_model(tmp_path / "m.onnx", metadata={"labels": json.dumps(labels)})
    assert recognize("in", "--crops", "deep/out", model=model)[0] == 0
    inside = {path for path in tmp_path.rglob("*.png") if "in" not in path.parts}
    assert len(inside) == 8
    assert all(path.parent.parent == tmp_path / "deep/out" for path in inside)
    assert folder_name(label) not in ("_48x48", "_unsure")


def test_a_table_of_other_emotions_is_kept(photos, recognize, tmp_path):
    recognize("in", "--crops", "out")
    before = files_of(tmp_path / "out")
    labels = json.dumps([f"emotion {number}" for number in range(len(LABELS))])
    model = write_tiny_model(tmp_path / "other.onnx", metadata={"labels": labels})
    status, _, err = recognize("in", "--crops", "out", model=model)
    assert status == 1
    assert "one of a model with other emotions; name another folder" in err
    assert files_of(tmp_path / "out") == before


def test_the_tree_is_no_input(photos, recognize, tmp_path):
    status, _, err = recognize("in", "--crops", ".")
    assert status == 1
    assert "contains the input in" in err
    assert recognize("in", "--crops", "in/out")[0] == 0
    before = files_of(photos / "out")
    assert recognize("in", "--crops", "in/out")[0] == 0
    assert files_of(photos / "out") == before
