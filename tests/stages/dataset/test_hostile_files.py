"""Sources with hostile files: bombs, lines without an end, and what is no file."""

import gzip
import os
import tracemalloc
import zipfile

import cv2
import numpy as np
import pytest
import zstandard

from benchmarks.hostile_files import gzip_bomb, no_files
from stages.dataset import decompression, ferplus
from stages.dataset.csv_file import file
from stages.dataset.fer_csv import HEADER, LONGEST_RECORD, read_faces
from stages.dataset.sources import folder
from stages.errors import UserError
from stages.parameters import FileSource, FolderSource

PIXELS = " ".join(["7"] * 2304)
MEMORY = 200_000_000
"""The most bytes that Python objects may take."""


def file_source(path):
    return FileSource(source="file", path=path, sha256=None, rows=None)


@pytest.fixture
def bounded():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY


def test_a_gzip_of_one_line_of_4_gigabytes_is_refused(tmp_path, bounded):
    path = gzip_bomb(tmp_path / "fer2013.csv.gz", megabytes=4200)
    assert path.stat().st_size < 5_000_000
    with pytest.raises(UserError, match=r"fer2013\.csv\.gz: its 4,\d+,\d+ bytes unpack to ") as end:
        list(file(file_source(path)))
    assert "\n" not in str(end.value)


@pytest.mark.parametrize("suffix", ["zip", "zst", "tar.gz"])
def test_other_bombs_are_refused(tmp_path, monkeypatch, bounded, suffix):
    monkeypatch.setattr(decompression, "ALWAYS_ACCEPTED", 1_000_000)
    path, plain = tmp_path / f"fer2013.csv.{suffix}", b"0" * 40_000_000
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("fer2013.csv", plain)
    elif suffix == "zst":
        path.write_bytes(zstandard.ZstdCompressor().compress(plain))
    else:
        # A header of a member that is skipped, then 40 MB of it.
        header = bytearray(512)
        header[:9], header[100:107], header[124:135] = (
            b"other.bin",
            b"0000644",
            b"%011o" % len(plain),
        )
        header[257:262], header[148:156] = b"ustar", b" " * 8
        header[148:154] = b"%06o" % sum(header)
        header[154] = 0
        path.write_bytes(gzip.compress(bytes(header) + plain))
    with pytest.raises(UserError, match=r"bytes unpack to [\d,]+ or more; expected at most 100"):
        list(file(file_source(path)))


def test_a_zip_of_images_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(decompression, "ALWAYS_ACCEPTED", 1_000_000)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("happy/a.png", b"0" * 40_000_000)
    source = FolderSource(source="folder", path=tmp_path / "faces.zip")
    with pytest.raises(UserError, match=r"faces\.zip: its [\d,]+ bytes unpack to 40,000,000 or"):
        list(folder(source))


def test_a_line_without_an_end_ends_in_quarantine(tmp_path, bounded):
    path = tmp_path / "long.csv"
    with path.open("wb") as csv:
        csv.write(f"{HEADER}\n0,".encode())
        csv.truncate(300_000_000)  # zeros, which take no space on the disk
        csv.seek(0, os.SEEK_END)
        csv.write(f"\n3,{PIXELS},Training\n".encode())
    lines = list(file(file_source(path)))
    assert [len(line) for line in lines] == [len(HEADER), LONGEST_RECORD + 1, len(PIXELS) + 11]
    (tmp_path / "raw.csv").write_bytes(b"\n".join(lines))
    rows, _ = read_faces(tmp_path / "raw.csv")
    assert rows["line_problem"].dropna().tolist() == [f"more than {LONGEST_RECORD} bytes"]
    assert rows["row"].tolist() == [2, 3]


@pytest.mark.timeout(60)
def test_a_folder_with_what_is_no_file(tmp_path, caplog):
    root = tmp_path / "faces"
    for split in ("train", "test"):
        for emotion in ("happy", "sad"):
            no_files(root / split / emotion)
            face = np.random.default_rng(len(split)).integers(0, 256, (48, 48), dtype=np.uint8)
            cv2.imwrite(str(root / split / emotion / "good.png"), face)
    (root / "itself").symlink_to("itself")
    (root / "here").symlink_to(".")
    os.mkfifo(root / "table.csv")
    (root / "zero.csv").symlink_to("/dev/zero")
    _, *rows = (
        line.decode().split(",") for line in folder(FolderSource(source="folder", path=root))
    )
    names = ("device.jpg", "loop.jpg", "missing.jpg", "pipe.jpg")
    for emotion in ("happy", "sad"):
        of_emotion = [pixels for label, pixels, *_ in rows if label == emotion]
        unreadable = [pixels for pixels in of_emotion if pixels.startswith("unreadable ")]
        assert len(of_emotion) - len(unreadable) == 2
        expected = [
            f"unreadable {split}/{emotion}/{name}" for split in ("train", "test") for name in names
        ]
        assert sorted(unreadable) == sorted(expected)
    assert "pipe.jpg: not readable as an image: is a named pipe, not a file" in caplog.text


@pytest.mark.timeout(60)
def test_votes_that_are_no_file_or_no_numbers(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match=r"pipe\.csv: is a named pipe, not a file; expected FER\+"):
        ferplus.read_votes(tmp_path / "pipe.csv")
    header = ",".join(["Usage", *ferplus.COLUMNS])
    for votes, problem in [("9" * 5001, "expected ten numbers"), ("9" * 200_000, "no CSV")]:
        (tmp_path / "votes.csv").write_text(f"{header}\nTraining,{','.join([votes] * 10)}\n")
        with pytest.raises(UserError, match=problem) as refusal:
            ferplus.read_votes(tmp_path / "votes.csv")
        assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("label", ["9" * 5001, "٣" * 5001])
def test_a_label_of_thousands_of_digits_ends_in_quarantine(tmp_path, label):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\n{label},{PIXELS},Training\n")
    source = file_source(path).model_copy(update={"labels": {"joy": "happy"}})
    assert list(file(source))[1].decode().startswith(label)
