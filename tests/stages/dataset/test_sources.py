"""The lines that each source yields, and its errors for wrong input."""

import gzip
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dataset import sources
from stages.dataset.fer2013 import EMOTIONS
from stages.dataset.fer_csv import HEADER
from stages.dataset.source_description import source_of
from stages.errors import UserError
from stages.parameters import FileSource, FolderSource, KaggleSource, Rows, SampleSource

ROOT = Path(__file__).parents[3]


def make_rows(count: int) -> list[bytes]:
    rng = np.random.default_rng(count)
    splits = ["Training", "PublicTest", "PrivateTest"]
    return [
        f"{row % 7},{' '.join(map(str, rng.integers(0, 256, 2304)))},{splits[row % 3]}".encode()
        for row in range(count)
    ]


LINES = [HEADER.encode(), *make_rows(9)]
CSV = b"\n".join(LINES) + b"\n"


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(mode: str, *members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


# The archive of the competition contains the CSV in a folder, beside two other files.
COMPETITION = [
    ("fer2013/README", b"The dataset of a competition."),
    ("fer2013/fer2013.csv", CSV),
    ("fer2013/fer2013.bib", b"@article{}"),
]

zstd = zstandard.ZstdCompressor(write_checksum=True)

PACKED = {
    "fer2013.csv": CSV,
    "fer2013.csv.gz": gzip.compress(CSV),
    "fer2013.csv.xz": lzma.compress(CSV),
    "fer2013.csv.zst": zstd.compress(CSV),
    "two-frames.zst": zstd.compress(CSV[:30_000]) + zstd.compress(CSV[30_000:]),
    "fer2013.zip": zipped(("fer2013/fer2013.csv", CSV)),
    "fer2013.tar": tarred("w", *COMPETITION),
    "fer2013.tar.gz": tarred("w:gz", *COMPETITION),
    "fer2013.tar.xz": tarred("w:xz", *COMPETITION),
    "fer2013.tgz": tarred("w:gz", *COMPETITION),
    "no-suffix": gzip.compress(CSV),
}


def read_file(path: Path, sha256: str | None = None) -> list[bytes]:
    return list(sources.file(FileSource(source="file", path=path, sha256=sha256, rows=None)))


def read_bytes(content: bytes) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "given")
        path.write_bytes(content)
        return read_file(path)


# ---------------------------------------------------------------- file


@pytest.mark.parametrize("name", PACKED)
def test_every_compression_gives_the_same_lines(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(PACKED[name])
    assert read_file(path) == LINES


@pytest.mark.parametrize(
    "pack", [zipped, lambda *m: tarred("w:gz", *m), lambda *m: tarred("w", *m)]
)
@pytest.mark.parametrize(
    "names",
    [
        ["faces.csv"],
        ["notes.txt", "data/faces.csv"],
        ["a.csv", "fer2013.csv"],
        ["fer2013.csv", "a.csv"],
        ["__MACOSX/._fer2013.csv", "fer2013/fer2013.csv"],
    ],
)
def test_archive_member_is_fer2013_csv_otherwise_the_first_csv(pack, names):
    wanted = next((name for name in names if name.split("/")[-1] == "fer2013.csv"), None)
    wanted = wanted or next(name for name in names if name.endswith(".csv"))
    archive = pack(*((name, CSV if name == wanted else b"something else\n") for name in names))
    assert read_bytes(archive) == LINES


CHECKED = sorted(set(PACKED) - {"fer2013.csv", "fer2013.tar"})
"""Compressions with a checksum or a mark at their end."""


@settings(max_examples=60)
@given(st.sampled_from(CHECKED), st.floats(0, 1, exclude_max=True))
def test_truncated_archive_is_an_error_at_every_byte(name, share):
    content = PACKED[name]
    # A file shorter than the mark of its format is read as a CSV with other columns.
    kept = max(6, int(len(content) * share))
    with pytest.raises(UserError, match="damaged, truncated"):
        read_bytes(content[:kept])


@pytest.mark.parametrize("name", CHECKED)
def test_a_missing_last_byte_is_an_error(name):
    with pytest.raises(UserError, match="damaged, truncated"):
        read_bytes(PACKED[name][:-1])


@pytest.mark.parametrize("kept", [5_000, 40_000])
def test_truncated_tar_that_is_not_compressed(kept):
    with pytest.raises(UserError, match="damaged, truncated"):
        read_bytes(PACKED["fer2013.tar"][:kept])


@settings(max_examples=60)
@given(
    name=st.sampled_from(CHECKED),
    place=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_a_damaged_archive_never_yields_other_pixels(name, place, flip):
    content = bytearray(PACKED[name])
    content[int(len(content) * place)] ^= flip
    try:
        lines = read_bytes(bytes(content))
    except UserError:
        return
    # Bytes without effect, such as a time stamp; or the mark of the format.
    assert lines == LINES or place * len(content) < 6


def test_missing_file_names_the_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"{tmp_path}/absent\.csv: no such file; expected"):
        read_file(Path("absent.csv"))


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"is a folder; .*\.tar\.xz; .* `source: folder`"):
        read_file(tmp_path)


@pytest.mark.parametrize("content", [CSV, zipped(("happy/a.png", b"a" * 3000))[:-30]])
def test_a_file_that_is_no_whole_zip_in_place_of_a_folder(tmp_path, content):
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path}: not a zip file, or a damaged one; .*`source: f"):
        list(sources.folder(FolderSource(source="folder", path=path)))


@pytest.mark.parametrize(
    "content",
    [b"", gzip.compress(b""), zipped(("fer2013.csv", b""))],
    ids=["plain", "gzip", "zip"],  # compressed bytes contain the time
)
def test_empty_file(content):
    with pytest.raises(UserError, match=r"empty; expected a CSV with the header emotion,pixels"):
        read_bytes(content)


def test_archive_without_csv_is_an_error_that_lists_its_files():
    with pytest.raises(UserError, match=r"no \.csv inside \(found README, faces\.txt\)"):
        read_bytes(zipped(("README", b""), ("faces.txt", CSV)))


def test_encrypted_zip_is_an_error(tmp_path):
    content = bytearray(PACKED["fer2013.zip"])
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1
    with pytest.raises(UserError, match="encrypted"):
        read_bytes(bytes(content))


def test_declared_digest_is_of_the_file_as_given(tmp_path):
    path = tmp_path / "fer2013.csv.gz"
    path.write_bytes(PACKED["fer2013.csv.gz"])
    digest = subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0]
    assert read_file(path, digest) == LINES
    with pytest.raises(UserError, match=rf"its SHA-256 is {digest}, expected {'0' * 64}"):
        read_file(path, "0" * 64)


def test_line_ends_byte_order_mark_and_missing_last_line_end():
    assert read_bytes(b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n")) == LINES
    assert read_bytes(CSV[:-1]) == LINES


def test_columns_in_another_order_are_reordered():
    # Kaggle's icml_face_data.csv
    rows = [b"%b, %b,%b" % tuple(line.split(b",")[i] for i in (0, 2, 1)) for line in LINES[1:]]
    found = read_bytes(b"\n".join([b"emotion, Usage, pixels", *rows, b"3, Training"]) + b"\n")
    assert found[0] == HEADER.encode()
    assert [line.replace(b", ", b",") for line in found[1:-1]] == LINES[1:]
    assert found[-1] == b"3, Training"


@given(st.lists(st.binary(max_size=40).map(lambda b: b.translate(None, b"\r\n")), max_size=6))
@settings(max_examples=50)
def test_invalid_rows_are_yielded_unchanged(rows):
    assert read_bytes(b"\n".join([HEADER.encode(), *rows, b"end"])) == [
        HEADER.encode(),
        *rows,
        b"end",
    ]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "emotion;pixels;Usage",
            "no column 'emotion'; expected emotion,pixels,Usage, found emotion;pixels;Usage; "
            "separate the columns by commas, not by semicolons",
        ),
        (
            "emotions,pixel,Usage",
            "no column 'emotion' (nearest: 'emotions'); expected emotion,pixels,Usage, found "
            "emotions,pixel,Usage; correct the first line, or give another file: FER-2013's CSV",
        ),
        (
            "# Faces",
            "no column 'emotion'; expected emotion,pixels,Usage, found # Faces; correct the first "
            "line, or give another file: FER-2013's CSV",
        ),
        (
            "emotion,pixels,Usage,id",
            "4 columns; expected emotion,pixels,Usage, found emotion,pixels,Usage,id; remove the "
            "others",
        ),
    ],
)
def test_another_header_is_an_error_that_names_the_users_file(tmp_path, header, message):
    path = tmp_path / "given.csv"
    path.write_text(f"{header}\n0,1 2,Training\n")
    with pytest.raises(UserError) as raised:
        read_file(path)
    assert str(raised.value) == f"{path}, line 1: {message}"


def test_optional_columns_are_read_without_labels(tmp_path, caplog):
    lines = [b"emotion,pixels,Usage,drawn", b"0,1 2,Training,0"]
    path = tmp_path / "a.csv"
    path.write_bytes(b"\n".join(lines))
    assert read_file(path) == lines
    assert not caplog.messages
    source = FileSource(source="file", path=path, sha256=None, rows=None, labels={"0": "angry"})
    assert list(sources.file(source)) == lines
    assert caplog.messages == [f"{path}: `labels` is ignored for a CSV with the column drawn"]


def test_blank_lines_before_the_header_are_left_out():
    assert read_bytes(b"\n \n" + CSV) == LINES
    with pytest.raises(UserError, match="line 4: 1 field, expected 2: emotion, pixels;"):
        read_bytes(b"\n\nemotion,pixels\n3\n")


def test_labels_that_are_not_in_a_csv_are_logged(tmp_path, caplog):
    path = tmp_path / "a.csv"
    labels = {"bored": None, "happy": None, "7": None}
    for header, rest in (("emotion,pixels,Usage", ",Training"), ("emotion,pixels", "")):
        caplog.clear()
        rows = [f"{label},1 2{rest}" for label in ("3", "grumpy", *"0000", "grumpy", "grumpy")]
        path.write_text("\n".join([header, *rows]))
        source = FileSource(source="file", path=path, sha256=None, rows=None, labels=labels)
        assert len(list(sources.file(source))) == 8
        warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert warnings == [
            f"{path}: `labels` has the key 'bored', which is no label or folder here",
            f"{path}: `labels` has the key '7', which is no label or folder here",
        ]


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", '"emotion","pixels","Usage"'])
def test_labels_of_a_csv_may_be_names(tmp_path, header):
    path = tmp_path / "a.csv"
    rows = ["Anger,1 2,Training", '"joy","1 2","Training"', "bored,1 2,Training", "4,1 2,Training"]
    path.write_text("\n".join([header, *rows]))
    assert read_file(path)[1:] == [
        b"angry,1 2,Training",
        b'happy,"1 2","Training"',
        # Validate rejects it.
        b"bored,1 2,Training",
        b"4,1 2,Training",
    ]


def test_labels_of_a_csv_are_renamed_joined_and_left_out(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{label},1 2,Training" for label in ("0", "sad", "happy", "7")]
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]))
    source = FileSource(
        source="file",
        path=path,
        sha256=None,
        rows=None,
        emotions=["bad", "good"],
        labels={0: "bad", "sad": "bad", "happy": "good", 7: None},
    )
    assert list(sources.file(source))[1:] == [
        *(b"bad,1 2,Training", b"bad,1 2,Training", b"good,1 2,Training")
    ]
    path.write_text("emotion,pixels,Usage\ngoood,1 2,Training\n")
    with pytest.raises(UserError, match=r"unknown emotion 'goood' .*labels: \{goood: good\}"):
        list(sources.file(source))


def test_numbers_of_fer2013_are_joined_by_the_names_of_its_emotions(tmp_path):
    (tmp_path / "fer2013.csv").write_text(
        "\n".join(["emotion,pixels,Usage", *(f"{label},1 2,Training" for label in range(7))])
    )
    valence = ["negative", "neutral", "positive"]
    labels = dict.fromkeys(("angry", "disgust", "fear", "sad"), "negative")
    labels |= {"happy": "positive", "surprise": None}
    kaggle = KaggleSource(source="kaggle", handle="a/b", rows=None, emotions=valence, labels=labels)
    for path in (tmp_path, tmp_path / "fer2013.csv"):
        replaced = source_of("fer2013", kaggle, {"FER2013_CSV": str(path)})
        lines = list(sources.SOURCES[replaced.source](replaced))
        assert [line.partition(b",")[0].decode() for line in lines[1:]] == [
            *("negative", "negative", "negative", "positive", "negative", "neutral")
        ]


def test_of_a_csv_with_persons_nobody_is_in_two_splits(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{index % 3 % 2},p{index % 11},{index} 2" for index in range(200)]
    path.write_text("\n".join(["emotion,person,pixels", *rows]))
    header, *lines = [line.decode().split(",") for line in read_file(path)]
    assert header == ["emotion", "pixels", "Usage", "drawn"]
    sides = {(int(line[1].split()[0]) % 11, line[2]) for line in lines}
    assert len(sides) == 11
    assert {split for _, split in sides} == {"Training", "PublicTest", "PrivateTest"}
    assert all((line[2] != "Training") == (line[3] == "1") for line in lines)


# ---------------------------------------------------------------- folder


FILLER = "filler"


def read_folder(path: Path, **settings) -> list[list[str]]:
    """The rows of images `SPLIT/EMOTION/NAME`, of which no split is missing."""
    for split in ("train", "val", "test"):
        save(path / split / FILLER / "filler.png", grey(1))
    source = FolderSource(
        source="folder", path=path, emotions=[*EMOTIONS, FILLER], rows=None, **settings
    )
    lines = list(sources.folder(source))
    assert lines[0] == HEADER.encode()
    rows = [line.decode().split(",") for line in lines[1:]]
    return [row for row in rows if row[0] != FILLER]


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def grey(value: int, height: int = 48, width: int = 48) -> np.ndarray:
    return np.full((height, width), value, np.uint8)


def pixels_of(row: list[str]) -> np.ndarray:
    return np.array(row[1].split(), dtype=int).reshape(48, 48)


def test_folder_keeps_the_pixels_of_48x48_pngs(tmp_path):
    face = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    save(tmp_path / "Training/happy/a.png", face)
    ((label, _, split),) = rows = read_folder(tmp_path)
    assert (label, split) == ("happy", "Training")
    np.testing.assert_array_equal(pixels_of(rows[0]), face)


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("Training", "Training"),
        ("train", "Training"),
        ("TRAIN", "Training"),
        ("PublicTest", "PublicTest"),
        ("val", "PublicTest"),
        ("Validation", "PublicTest"),
        ("PrivateTest", "PrivateTest"),
        ("test", "PrivateTest"),
    ],
)
def test_split_folders(tmp_path, folder, split):
    save(tmp_path / folder / "Neutral" / "x.png", grey(9))
    assert [(row[0], row[2]) for row in read_folder(tmp_path)] == [("neutral", split)]


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.jpeg", "a.png", "a.PNG"])
@pytest.mark.parametrize(("height", "width"), [(48, 48), (7, 5), (1, 1), (300, 40), (640, 480)])
def test_any_size_becomes_48x48(tmp_path, name, height, width):
    save(tmp_path / "train/sad" / name, grey(130, height, width))
    (row,) = read_folder(tmp_path)
    assert abs(pixels_of(row) - 130).max() <= 1


def test_colour_and_alpha_become_grey(tmp_path):
    colour = np.zeros((48, 48, 3), np.uint8)
    colour[:] = (255, 0, 0)  # blue
    save(tmp_path / "train/fear/blue.png", colour)
    save(tmp_path / "train/fear/clear.png", np.dstack([colour, grey(0)]))
    assert {int(value) for row in read_folder(tmp_path) for value in row[1].split()} == {29}


def test_shrinking_averages_over_the_area(tmp_path):
    checks = (np.indices((96, 96)).sum(axis=0) % 2 * 200).astype(np.uint8)
    save(tmp_path / "train/fear/checks.png", checks)
    (row,) = read_folder(tmp_path)
    assert (pixels_of(row) == 100).all()


def test_rows_are_in_the_order_of_splits_and_names(tmp_path):
    for place in ("test/sad/b", "test/sad/a", "train/happy/z", "train/angry/z", "val/fear/m"):
        save(tmp_path / f"{place}.png", grey(len(place)))
    found = [(row[2], row[0]) for row in read_folder(tmp_path)]
    assert found == [
        ("Training", "angry"),
        ("Training", "happy"),
        ("PublicTest", "fear"),
        ("PrivateTest", "sad"),
        ("PrivateTest", "sad"),
    ]
    assert read_folder(tmp_path) == read_folder(tmp_path)


@pytest.mark.parametrize("kind", ["empty", "text", "cut jpg", "cut png", "broken link", "folder"])
def test_an_unreadable_image_becomes_a_row_with_its_path(tmp_path, caplog, kind):
    save(tmp_path / "train/happy/a.png", grey(3))
    face = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    bad = tmp_path / "train/happy/b.jpg"
    if kind == "broken link":
        bad.symlink_to("nowhere")
    elif kind == "folder":
        bad.mkdir()
    else:
        encoded = cv2.imencode(".png" if "png" in kind else ".jpg", face)[1].tobytes()
        content = {"empty": b"", "text": b"no image"}.get(kind, encoded[: len(encoded) // 2])
        bad.write_bytes(content)
    rows = read_folder(tmp_path)
    assert rows[1] == ["happy", "unreadable train/happy/b.jpg", "Training"]
    assert "b.jpg: not readable as an image" in caplog.text


def test_no_name_of_an_unreadable_image_breaks_the_row(tmp_path):
    save(tmp_path / "train/happy/a.png", grey(3))
    (tmp_path / 'train/happy/b,"c"\n\udcff.png').write_bytes(b"")
    rows = read_folder(tmp_path)
    assert rows[1] == ["happy", "unreadable train/happy/b__c___.png", "Training"]


@pytest.mark.parametrize(("name", "near"), [("angr", "angry"), ("suprise", "surprise")])
def test_an_unknown_emotion_names_the_nearest(tmp_path, name, near):
    save(tmp_path / "train" / name / "a.png", grey(3))
    with pytest.raises(
        UserError, match=rf"unknown emotion '{name}' \(nearest: '{near}'\)"
    ) as raised:
        read_folder(tmp_path)
    assert f"`labels: {{{name}: {near}}}`" in str(raised.value)


def test_an_unknown_split_names_the_nearest(tmp_path):
    save(tmp_path / "trian/happy/a.png", grey(3))
    with pytest.raises(UserError, match=r"unknown split 'trian' \(nearest: 'train'\)"):
        read_folder(tmp_path)


def test_other_files_are_counted_in_the_log_and_hidden_ones_are_not(tmp_path, caplog):
    save(tmp_path / "train/happy/a.png", grey(3))
    for place in ("notes.txt", "train/x.png", "train/happy/c.ppm", "train/happy/.DS_Store"):
        (tmp_path / place).write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    assert len(read_folder(tmp_path)) == 1
    assert "ignored 2 files that are no images: notes.txt, train/happy/c.ppm" in caplog.text
    assert "ignored: 1 image lies in no emotion's folder: train/x.png" in caplog.text


def test_missing_or_empty_folder(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        list(sources.folder(FolderSource(source="folder", path=tmp_path / "absent")))
    (tmp_path / "train/happy").mkdir(parents=True)
    with pytest.raises(UserError, match="no image"):
        list(sources.folder(FolderSource(source="folder", path=tmp_path)))


# ---------------------------------------------------------------- kaggle


def downloaded(folder: Path) -> list[bytes]:
    return list(sources.folder(FolderSource(source="folder", path=folder, emotions=list(EMOTIONS))))


def test_kaggle_layout_with_a_csv(tmp_path):
    # deadskull7/fer2013
    (tmp_path / "fer2013.csv").write_bytes(CSV)
    assert downloaded(tmp_path) == LINES


def test_kaggle_layout_prefers_fer2013_csv_at_any_depth(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"something else\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/fer2013.csv").write_bytes(CSV)
    assert downloaded(tmp_path) == LINES


@pytest.mark.parametrize("above", ["", "fer2013"])
def test_kaggle_layout_with_folders_has_the_split_in_the_prefix(tmp_path, above):
    # msambare/fer2013
    for place in (
        "train/happy/Training_10.jpg",
        "test/happy/PublicTest_20.jpg",
        "test/happy/PrivateTest_30.jpg",
        "test/disgust/PrivateTest_40.jpg",
    ):
        save(tmp_path / above / place, grey(int(place[-6:-4])))
    # macOS leaves such files; they are no tables.
    (tmp_path / above / "._fer2013.csv").write_bytes(b"resource fork")
    lines = [line.decode().split(",") for line in downloaded(tmp_path)][1:]
    assert [(row[2], row[0], row[1].split()[0]) for row in lines] == [
        ("Training", "happy", "10"),
        ("PublicTest", "happy", "20"),
        ("PrivateTest", "disgust", "40"),
        ("PrivateTest", "happy", "30"),
    ]


def test_kaggle_without_network_is_an_error_that_names_the_remedies(tmp_path):
    shutil.copytree(ROOT / "params", tmp_path / "params")
    environment = {name: value for name, value in os.environ.items() if name != "FER2013_CSV"}
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        environment[name] = "http://127.0.0.1:9"  # the discard port, where nobody listens
    for name in ("NO_PROXY", "no_proxy"):
        environment.pop(name, None)
    environment |= {"PYTHONPATH": str(ROOT), "KAGGLEHUB_CACHE": str(tmp_path / "cache")}
    finished = subprocess.run(
        [sys.executable, "-m", "stages.fetch", "fer2013"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    error = finished.stderr.splitlines()[-1]
    assert error.startswith("error: fetch.kaggle.handle 'deadskull7/fer2013'")
    for way_out in ("FER2013_CSV", "source: file", "sample dataset"):
        assert way_out in error
    assert not list((tmp_path / "data").rglob("*.csv"))


# ---------------------------------------------------------------- sample


def test_sample_yields_the_declared_rows():
    rows = Rows(Training=20, PublicTest=5, PrivateTest=3)
    lines = list(sources.sample(SampleSource(source="sample", rows=rows, seed=1)))
    assert lines[0] == HEADER.encode()
    table = [line.decode().split(",") for line in lines[1:]]
    assert [row[2] for row in table] == ["Training"] * 20 + ["PublicTest"] * 5 + ["PrivateTest"] * 3
    assert all(pixels_of(row).max() <= 255 for row in table)
