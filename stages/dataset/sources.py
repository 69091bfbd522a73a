"""The sources of datasets: one function per source, each yields the lines of raw.csv.

A line is bytes without its line end; the first line is the header. Sources yield invalid rows
unchanged: checking rows is left to the validate stage.

To add a source, write a function here, enter it in `SOURCES`, and describe its keys in
`stages.parameters`.
"""

import logging
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stages.dataset import csv_file, ferplus, image_folder
from stages.dataset.decompression import check_size
from stages.dataset.faces import SPLITS
from stages.dataset.fer_csv import HEADER, LONGEST_RECORD, VOTES, format_row
from stages.dataset.sample_faces import render_sample
from stages.dataset.source_description import as_folder, labels_of
from stages.dataset.source_path import located
from stages.errors import UserError
from stages.parameters import (
    FerPlusSource,
    FileSource,
    FolderSource,
    KaggleSource,
    SampleSource,
)
from stages.wording import numbered

logger = logging.getLogger(__name__)


def sample(source: SampleSource) -> Iterator[bytes]:
    """Render a dataset; the same seed gives the same lines."""
    rows = tuple(getattr(source.rows, split) for split in SPLITS)
    logger.info("rendering %s with seed %d", numbered(sum(rows), "face"), source.seed)
    labels, images, splits = render_sample(rows, source.seed)
    yield HEADER.encode()
    for label, image, split in zip(labels, images, splits, strict=True):
        pixels = " ".join(map(str, image.ravel().tolist()))
        yield format_row(label, pixels, SPLITS[split]).encode()


def kaggle(source: KaggleSource) -> Iterator[bytes]:
    """Download a public dataset from Kaggle, without an account.

    kagglehub keeps the download in its own cache and resumes an interrupted one.

    Raises
    ------
    UserError
        Kaggle cannot be reached or refuses the handle, or the dataset has no CSV and no images.
    """
    # Imported here: it takes half a second, and no other source needs it.
    import kagglehub
    import requests

    remedy = (
        "to do without Kaggle, set the environment variable FER2013_CSV to a local fer2013.csv "
        "(plain or compressed), or write `source: file` in the parameter file, or run the sample "
        "dataset"
    )
    logger.info("downloading %s from Kaggle", source.handle)
    try:
        downloaded = Path(kagglehub.dataset_download(source.handle))
    except requests.HTTPError as error:
        status = "an error" if error.response is None else error.response.status_code
        raise UserError(
            f"fetch.kaggle.handle '{source.handle}': Kaggle answered {status}, expected a public "
            f"dataset; check the handle (owner/name); {remedy}"
        ) from error
    except (
        requests.RequestException,
        kagglehub.exceptions.DataCorruptionError,
        zipfile.BadZipFile,
    ) as error:
        raise UserError(
            f"fetch.kaggle.handle '{source.handle}': the download from Kaggle failed "
            f"({type(error).__name__}); run again to resume it; {remedy}"
        ) from error
    yield from folder(as_folder(source, downloaded))


def file(source: FileSource) -> Iterator[bytes]:
    """Read a CSV, as `csv_file.file` does, or images in a zip file."""
    path = located(source.path)
    if path.is_file() and _is_zip_of_images(path):
        return folder(as_folder(source, source.path))
    return csv_file.file(source)


def folder(source: FolderSource) -> Iterator[bytes]:
    """Read images in a folder or in a zip file, as `image_folder.folder` does.

    Where the folder has FER-2013 as a CSV instead, it is read, as `csv_file.file` does.

    Raises
    ------
    UserError
        The path is a file, but no zip file.
    """
    root = located(source.path)
    if root.is_file():
        if not zipfile.is_zipfile(root):
            raise UserError(
                f"{root.absolute()}: not a zip file, or a damaged one; expected a folder or a zip "
                "file of images; copy or download it again, or write `source: file` in the "
                "parameter file for a CSV"
            )
        with TemporaryDirectory() as unpacked:
            _unpack(root, Path(unpacked))
            yield from image_folder.folder(source, Path(unpacked))
        return
    headers = {}
    for path in sorted(root.rglob("[!.]*.csv")):
        if path.is_file():
            with path.open("rb") as table:
                headers[str(path)] = table.readline(LONGEST_RECORD)
    table_path = csv_file.preferred_csv(headers)
    if table_path is None:
        yield from image_folder.folder(source, root)
        return
    logger.info("%s: found %s", root, table_path)
    yield from csv_file.file(
        FileSource(
            source="file",
            path=Path(table_path),
            sha256=None,
            rows=None,
            **labels_of(source),
        )
    )


def _unpack(path: Path, folder: Path) -> None:
    logger.info("unpacking %s", path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_size(sum(member.file_size for member in archive.infolist()), path)
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # RuntimeError: encrypted, or compressed by a method that Python does not support.
        raise UserError(
            f"{path.absolute()}: damaged or no ordinary zip file ({error}); copy or download it"
            " again, or unpack it and give the path of the folder"
        ) from error


def _is_zip_of_images(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        suffixes = {Path(name).suffix.lower() for name in archive.namelist()}
    return ".csv" not in suffixes and not suffixes.isdisjoint(image_folder.IMAGE_SUFFIXES)


def fer_plus(source: FerPlusSource) -> Iterator[bytes]:
    """FER-2013's rows with the labels of FER+ and, for `targets: votes`, a column of votes.

    A row that FER+ leaves out has one of `ferplus.REJECTED` as its label, so that validate puts it
    into quarantine. The line numbers stay those of FER-2013.

    Raises
    ------
    UserError
        Pixels or votes cannot be read, or their rows are not the same.
    """
    votes = ferplus.read_votes(source.votes and located(source.votes))
    lines = (
        kaggle(KaggleSource(source="kaggle", handle=source.handle, rows=None))
        if source.pixels is None
        else file(FileSource(source="file", path=source.pixels, sha256=None, rows=None))
    )
    next(lines)
    with_votes = source.targets == "votes"
    yield f"{HEADER},{VOTES}".encode() if with_votes else HEADER.encode()
    for number, (line, of_row) in enumerate(zip_longest(lines, votes), 1):
        fields = line.split(b",") if line else []
        usage = fields[2].strip(b' "').decode(errors="replace") if len(fields) == 3 else None
        if of_row is None or usage != of_row.usage:
            raise UserError(
                f"row {number}: FER-2013 has {usage or 'no such row'}, FER+ has "
                f"{of_row.usage if of_row else 'no such row'}; expected the same rows in the same "
                "order; get the original fer2013.csv and fer2013new.csv"
            )
        label, counted = ferplus.label_and_votes(of_row, source.targets)
        row = format_row(label, fields[1].decode(errors="replace"), of_row.usage)
        yield f"{row},{' '.join(map(str, counted))}".encode() if with_votes else row.encode()


SOURCES: dict[str, Callable[[Any], Iterator[bytes]]] = {
    "sample": sample,
    "kaggle": kaggle,
    "file": file,
    "folder": folder,
    "ferplus": fer_plus,
}
"""The functions above by the name that `fetch.source` in a parameter file gives them."""
