"""The description of a source changes with its files, and with nothing else."""

import os
from pathlib import Path

import pytest

from stages.dataset.source_description import describe, source_of
from stages.errors import UserError
from stages.parameters import (
    FerPlusSource,
    FileSource,
    FolderSource,
    KaggleSource,
    Rows,
    SampleSource,
)

FOLDER = FolderSource(source="folder", path="faces", rows=None)
FILE = FileSource(source="file", path="faces.csv", sha256=None, rows=None)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for name in ("happy/a.jpg", "happy/b.jpg", "sad/c.jpg"):
        path = tmp_path / "faces/train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "faces.csv").write_text("emotion,pixels,Usage\n")
    return tmp_path / "faces/train"


def test_moved_changed_and_new_photos_change_it(folder):
    before = describe(FOLDER)
    assert before == describe(FOLDER)
    assert (before["files"], before["bytes"]) == (3, 31)
    seen = [before]
    (folder / "happy/a.jpg").rename(folder / "sad/a.jpg")
    seen.append(describe(FOLDER))
    (folder / "sad/a.jpg").write_text("HAPPY/a.jpg")
    os.utime(folder / "sad/a.jpg", ns=(1, 1))
    seen.append(describe(FOLDER))
    (folder / "sad/d.jpg").touch()
    seen.append(describe(FOLDER))
    assert len({one["state"] for one in seen}) == 4


def test_a_changed_file_changes_it(tmp_path):
    before = describe(FILE)
    assert before == describe(FILE)
    (tmp_path / "faces.csv").write_text("emotion,pixels,Usage\n0,1,Training\n")
    assert describe(FILE) != before


@pytest.mark.parametrize("source", [FOLDER, FILE])
def test_a_missing_source_is_an_error(source):
    missing = source.model_copy(update={"path": Path("absent")})
    with pytest.raises(UserError, match=rf"absent: no such {source.source}, .*repository's root"):
        describe(missing)


def test_a_queued_experiment_reads_what_the_repository_reads(tmp_path, monkeypatch):
    before = describe(FOLDER)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert describe(FOLDER) == before


def test_fer2013_csv_is_described_in_place_of_the_download(caplog):
    caplog.set_level("INFO", "stages")
    kaggle = KaggleSource(source="kaggle", handle="a/b", rows=None)
    assert describe(kaggle) == {"source": "kaggle"}
    assert source_of("fer2013", kaggle, {}) is kaggle
    assert caplog.text == ""
    assert source_of("mine", kaggle, {"FER2013_CSV": "faces.csv"}) is kaggle
    assert "FER2013_CSV does not apply to 'mine'" in caplog.text
    replaced = source_of("fer2013-small", kaggle, {"FER2013_CSV": "faces.csv"})
    assert describe(replaced) == describe(FILE)


def test_rendered_faces_depend_on_the_parameters_alone():
    rows = Rows(Training=1, PublicTest=1, PrivateTest=1)
    assert describe(SampleSource(source="sample", rows=rows, seed=0)) == {"source": "sample"}


def test_local_files_of_ferplus_change_it(tmp_path):
    source = FerPlusSource(source="ferplus", handle="a/b", targets="votes", rows=None)
    assert describe(source) == {"source": "ferplus"}
    (tmp_path / "votes.csv").write_text("Usage\n")
    named = source_of("ferplus", source, {"FERPLUS_CSV": "votes.csv", "FER2013_CSV": "faces.csv"})
    before = describe(named)
    assert (before["files"], before["path"]) == (2, "faces.csv, votes.csv")
    (tmp_path / "votes.csv").write_text("Usage,\n")
    assert describe(named)["state"] != before["state"]
    (tmp_path / "votes.csv").unlink()
    with pytest.raises(UserError, match=r"votes\.csv: no such file"):
        describe(named)
