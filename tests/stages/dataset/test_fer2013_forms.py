"""Every public form of FER-2013 gives the same rows, from rendered faces and from the real ones."""

import io
import itertools
import lzma
import tarfile
import zipfile
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages import fetch
from stages.dataset.csv_file import preferred_csv
from stages.dataset.faces import SPLITS
from stages.dataset.fer2013 import EMOTIONS
from stages.dataset.fer_csv import HEADER, read_faces
from stages.dataset.row_checks import labels_by_text
from stages.dataset.sample_faces import render_sample
from stages.dataset.source_description import source_of
from stages.errors import UserError
from stages.parameters import KaggleSource, Rows

REAL_CSV = Path(__file__).parents[4] / "shared/data/fer2013.csv.xz"

Row = tuple[int, str, str]
"""Label, pixels and split."""


def rendered() -> list[Row]:
    labels, images, splits = render_sample((140, 60, 60), seed=4)
    return [
        (int(label), " ".join(map(str, image.ravel())), SPLITS[split])
        for label, image, split in zip(labels, images, splits, strict=True)
    ]


def real() -> list[Row]:
    """Some rows of each split; Training has 28,709, the others 3,589."""
    with lzma.open(REAL_CSV, "rt") as lines:
        next(lines)
        chosen = [
            *itertools.islice(lines, 28309, 28709),
            *itertools.islice(lines, 200),
            *itertools.islice(lines, 3389, 3589),
        ]
    rows = [line.rstrip("\n").split(",") for line in chosen]
    return [(int(label), pixels, usage) for label, pixels, usage in rows]


@pytest.fixture(
    scope="module",
    params=[
        rendered,
        pytest.param(
            real,
            marks=pytest.mark.skipif(
                not REAL_CSV.exists(), reason="the real FER-2013 is not on this machine"
            ),
        ),
    ],
    ids=["rendered", "real"],
)
def rows(request) -> list[Row]:
    rows = request.param()
    assert {split for _, _, split in rows} == set(SPLITS)
    assert {label for label, _, _ in rows} == set(range(7))
    return rows


# ---------------------------------------------------------------- the forms


def table(header: str, lines: list[str]) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def fer2013(rows: list[Row]) -> bytes:
    return table(HEADER, [f"{label},{pixels},{split}" for label, pixels, split in rows])


def icml_face_data(rows: list[Row]) -> bytes:
    lines = [f"{label},{split},{pixels}" for label, pixels, split in rows]
    return table("emotion, Usage, pixels", lines)


def train(rows: list[Row]) -> bytes:
    """The competition's: quoted pixels, no Usage."""
    lines = [f'{label},"{pixels}"' for label, pixels, split in rows if split == "Training"]
    return table("emotion,pixels", lines)


def test(rows: list[Row]) -> bytes:
    return table("pixels", [f'"{pixels}"' for _, pixels, split in rows if split != "Training"])


test.__test__ = False  # the competition's test.csv, not a test


def tar_gz(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, data in (("fer2013/README", b"about"), (f"fer2013/{name}", content)):
            about = tarfile.TarInfo(member)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return buffer.getvalue()


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def competition(rows: list[Row]) -> dict[str, bytes]:
    """The members of the competition's archive."""
    return {
        "example_submission.csv": b"emotion\n0\n0\n",
        "fer2013.tar.gz": tar_gz("fer2013.csv", fer2013(rows)),
        "icml_face_data.csv": icml_face_data(rows),
        "test.csv": test(rows),
        "train.csv": train(rows),
    }


def write_images(root: Path, rows: list[Row], prefixed: bool) -> Path:
    """Folders train and test; in Kaggle's msambare/fer2013 the names have the split in front."""
    for number, (label, pixels, split) in enumerate(rows):
        folder = root / ("train" if split == "Training" else "test") / EMOTIONS[label]
        folder.mkdir(parents=True, exist_ok=True)
        image = np.array(pixels.split(), np.uint8).reshape(48, 48)
        name = f"{split}_{number}.png" if prefixed else f"im{number}.png"
        cv2.imwrite(str(folder / name), image)
    return root


def zip_images(path: Path, root: Path) -> Path:
    files = {file.relative_to(root).as_posix(): file for file in sorted(root.rglob("*.png"))}
    return write_zip(path, {f"archive/{name}": file.read_bytes() for name, file in files.items()})


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def unpacked(path: Path, members: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in members.items():
        (path / name).write_bytes(content)
    return path


COMPLETE: dict[str, Callable[[Path, list[Row]], Path]] = {
    "fer2013.csv": lambda at, rows: written(at / "fer2013.csv", fer2013(rows)),
    "icml_face_data.csv": lambda at, rows: written(at / "a.csv", icml_face_data(rows)),
    "fer2013.tar.gz": lambda at, rows: written(
        at / "a.tar.gz", tar_gz("fer2013.csv", fer2013(rows))
    ),
    "competition's zip": lambda at, rows: write_zip(at / "a.zip", competition(rows)),
    "competition's folder": lambda at, rows: unpacked(at / "a", competition(rows)),
    "images": lambda at, rows: write_images(at / "a", rows, prefixed=True),
    "images, zipped": lambda at, rows: zip_images(
        at / "a.zip", write_images(at / "a", rows, prefixed=True)
    ),
}
WITHOUT_VALIDATION: dict[str, Callable[[Path, list[Row]], Path]] = {
    "train and test": lambda at, rows: write_images(at / "a", rows, prefixed=False),
    "train and test, zipped": lambda at, rows: zip_images(
        at / "a.zip", write_images(at / "a", rows, prefixed=False)
    ),
}


# ---------------------------------------------------------------- what is read


def fetched(path: Path, at: Path, declared: Rows | None = None) -> list[Row]:
    """The rows of raw.csv, as FER2013_CSV=path gives them."""
    kaggle = KaggleSource(source="kaggle", handle="a/b", rows=declared)
    source = source_of("fer2013", kaggle, {"FER2013_CSV": str(path)})
    fetch.fetch(source, at / "raw.csv")
    found, images = read_faces(at / "raw.csv")
    assert found["line_problem"].isna().all()
    labels = found["emotion"].map(labels_by_text(EMOTIONS))
    return [
        (label, " ".join(map(str, image.ravel())), usage)
        for label, image, usage in zip(labels, images, found["Usage"], strict=True)
    ]


def declared(rows: list[Row]) -> Rows:
    return Rows(**Counter(split for _, _, split in rows))


@pytest.mark.parametrize("form", COMPLETE)
def test_a_complete_form_gives_the_same_rows(form, rows, tmp_path):
    path = COMPLETE[form](tmp_path, rows)
    assert sorted(fetched(path, tmp_path, declared(rows))) == sorted(rows)


def test_the_log_says_which_csv_of_an_archive_is_read(rows, tmp_path, caplog):
    caplog.set_level("INFO")
    fetched(COMPLETE["competition's zip"](tmp_path, rows), tmp_path)
    assert (
        "reading icml_face_data.csv; not read: example_submission.csv, test.csv, train.csv"
        in caplog.text
    )


@pytest.mark.parametrize("form", WITHOUT_VALIDATION)
def test_of_train_and_test_alone_the_validation_is_drawn(form, rows, tmp_path, caplog):
    path = WITHOUT_VALIDATION[form](tmp_path, rows)
    found = fetched(path, tmp_path, declared(rows))
    assert sorted(row[:2] for row in found) == sorted(row[:2] for row in rows)
    tests = sorted(row[:2] for row in rows if row[2] != "Training")
    assert sorted(row[:2] for row in found if row[2] == "PrivateTest") == tests
    drawn = [label for label, _, split in found if split == "PublicTest"]
    assert set(drawn) == set(range(7))
    assert "metrics on drawn splits cannot be compared" in caplog.text


@pytest.mark.parametrize("archive", [False, True])
def test_of_the_competitions_train_csv_both_tests_are_drawn(archive, rows, tmp_path, caplog):
    members = {
        name: content
        for name, content in competition(rows).items()
        if name in ("example_submission.csv", "test.csv", "train.csv")
    }
    path = tmp_path / "train.csv"
    path.write_bytes(members["train.csv"])
    if archive:
        path = write_zip(tmp_path / "a.zip", members)
    found = fetched(path, tmp_path)
    assert sorted(row[:2] for row in found) == sorted(
        row[:2] for row in rows if row[2] == "Training"
    )
    assert {split for _, _, split in found} == set(SPLITS)
    assert sorted(fetched(path, tmp_path, declared(rows))) == sorted(found)
    assert " rows of Training alone: metrics on splits that are drawn" in caplog.text
    fewer = declared(rows).model_copy(update={"Training": declared(rows).Training + 1})
    with pytest.raises(UserError, match=r"rows: expected .*with drawn splits.*null accepts any"):
        fetched(path, tmp_path, fewer)


def test_the_competitions_test_csv_has_no_labels(rows, tmp_path):
    path = written(tmp_path / "test.csv", test(rows))
    with pytest.raises(UserError, match=r"no column 'emotion'.*test\.csv has no labels"):
        fetched(path, tmp_path)


def test_a_csv_with_all_columns_is_preferred_with_a_byte_order_mark_too():
    headers = {"a.csv": b"emotion,pixels\n", "b.csv": BOM_UTF8 + b"Usage,emotion,pixels\r\n"}
    assert preferred_csv(headers) == "b.csv"


def test_an_archive_without_faces_names_its_tables(rows, tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.csv": b"emotion\n", "b.csv": b"id,label\n"})
    with pytest.raises(UserError, match=r"no CSV inside .*a\.csv: emotion; b\.csv: id,label"):
        fetched(path, tmp_path)
