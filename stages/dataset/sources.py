"""The sources of datasets: one function per source, each yields the lines of raw.csv.

A line is bytes without its line end; the first line is the header. Sources yield invalid rows
unchanged: checking rows is left to the validate stage.

To add a source, write a function here, enter it in `SOURCES`, and describe its keys in
`stages.parameters`.
"""

import difflib
import gzip
import hashlib
import io
import logging
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import cv2
import numpy as np
import zstandard
from tqdm import tqdm

from stages.dataset import ferplus
from stages.dataset.faces import SIZE, SPLITS
from stages.dataset.fer_csv import HEADER, UNREADABLE, VOTES, format_row
from stages.dataset.sample_faces import render_sample
from stages.errors import UserError
from stages.parameters import (
    FerPlusSource,
    Fetch,
    FileSource,
    FolderSource,
    KaggleSource,
    SampleSource,
)

logger = logging.getLogger(__name__)

CHUNK = 1 << 16
"""Bytes read at a time."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

SPLIT_OF_FOLDER = {
    "training": "Training",
    "train": "Training",
    "publictest": "PublicTest",
    "val": "PublicTest",
    "validation": "PublicTest",
    "privatetest": "PrivateTest",
    "test": "PrivateTest",
}
"""`Usage` by the name of a split folder in lower case."""


def source_of(dataset: str, declared: Fetch, environment: Mapping[str, str]) -> Fetch:
    """The declared source of a dataset, or what replaces it.

    FER2013_CSV names a CSV file, plain or compressed, that replaces the source of fer2013 and of
    the datasets named after it, such as fer2013-small, and the pixels of `source: ferplus`.
    FERPLUS_CSV names a local copy of FER+'s votes.
    """
    local = environment.get("FER2013_CSV")
    if isinstance(declared, FerPlusSource):
        named = {"pixels": local, "votes": environment.get("FERPLUS_CSV")}
        return declared.model_copy(update={key: Path(name) for key, name in named.items() if name})
    if dataset.partition("-")[0] != "fer2013" or not local:
        return declared
    logger.info("FER2013_CSV replaces the source '%s'", declared.source)
    return FileSource(source="file", path=Path(local), sha256=None, rows=declared.rows)


def located(path: Path) -> Path:
    """The place of a source's path; a relative one starts at the root of the repository.

    DVC names the root in DVC_ROOT, also where it runs a queued experiment in a copy elsewhere.
    """
    return Path(os.environ.get("DVC_ROOT", ""), path.expanduser())


def sample(source: SampleSource) -> Iterator[bytes]:
    """Render a dataset; the same seed gives the same lines."""
    rows = tuple(getattr(source.rows, split) for split in SPLITS)
    logger.info("rendering %d faces with seed %d", sum(rows), source.seed)
    labels, images, splits = render_sample(rows, source.seed)
    yield HEADER.encode()
    for label, image, split in zip(labels, images, splits, strict=True):
        yield _row(label, image, SPLITS[split])


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
    yield from downloaded_lines(downloaded)


def downloaded_lines(downloaded: Path) -> Iterator[bytes]:
    """Read a downloaded dataset: its CSV if it has one, otherwise its images.

    The images may be one folder deeper, as in `fer2013/train/happy/Training_1.jpg`.
    """
    tables = {str(path.relative_to(downloaded)): path for path in downloaded.rglob("*.csv")}
    table = _preferred_csv(sorted(tables))
    if table is not None:
        return file(FileSource(source="file", path=tables[table], sha256=None, rows=None))
    folders = _visible_folders(downloaded)
    if len(folders) == 1 and folders[0].name.lower() not in SPLIT_OF_FOLDER:
        downloaded = folders[0]
    return folder(FolderSource(source="folder", path=downloaded, rows=None))


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


# ---------------------------------------------------------------- one CSV, plain or compressed


def file(source: FileSource) -> Iterator[bytes]:
    """Read a CSV: plain, .gz, .xz, .zst, .zip, or .tar (also .tar.gz and .tar.xz).

    The content of the file determines the format, not its name. In an archive, the member
    fer2013.csv is read, otherwise the first .csv. A byte order mark is removed, and the columns
    are put into FER-2013's order. A declared `sha256` is the digest of the file as given, before
    decompression.

    Raises
    ------
    UserError
        The file is missing, empty, damaged or truncated, contains no CSV, or has another digest
        than declared.
    """
    path = located(source.path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "no such file"
        raise UserError(
            f"{path.absolute()}: {found}; expected fer2013.csv, plain or as .gz, .xz, .zip, .zst "
            "or .tar.gz; a relative path starts at the repository's root"
        )
    logger.info("reading %s", path.absolute())
    progress = tqdm(
        total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, disable=None
    )
    try:
        with path.open("rb") as packed, progress:
            _check_digest(packed, source)
            stream = _unpacked(packed, path)
            is_tar = stream.peek(512)[257:262] == b"ustar"
            table = _tar_member(stream, path) if is_tar else stream
            for line in _in_column_order(table, path):
                progress.update(packed.tell() - progress.n)
                yield line
            # The checksum is at the end, after the other members of the archive.
            while stream.read(CHUNK):
                pass
    except (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise _unreadable(path, error) from error
    except (tarfile.TarError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path.absolute()}: damaged, truncated or not readable "
        f"({type(error).__name__}: {error}); expected a complete file; copy or download it again"
    )


def _check_digest(packed: io.BufferedReader, source: FileSource) -> None:
    if source.sha256 is None:
        return
    digest = hashlib.file_digest(packed, "sha256").hexdigest()
    packed.seek(0)
    if digest != source.sha256:
        raise UserError(
            f"{source.path.absolute()}: its SHA-256 is {digest}, expected {source.sha256}; get the "
            "file again, or correct fetch.file.sha256 in the parameter file (null accepts any)"
        )


def _unpacked(packed: io.BufferedReader, path: Path) -> io.BufferedReader:
    """Decompress an open file as a stream; of a zip, its CSV."""
    start = packed.read(6)
    packed.seek(0)
    if start.startswith(b"PK\x03\x04"):
        return io.BufferedReader(_zip_member(packed, path))
    if start.startswith(b"\x1f\x8b"):
        return io.BufferedReader(gzip.GzipFile(fileobj=packed))
    if start.startswith(b"\xfd7zXZ\x00"):
        return io.BufferedReader(lzma.LZMAFile(packed))
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return io.BufferedReader(_ZstdFile(packed))
    return packed


def _zip_member(packed: io.BufferedReader, path: Path) -> io.BufferedIOBase:
    archive = zipfile.ZipFile(packed)
    name = _preferred_csv(archive.namelist())
    if name is None:
        raise _no_csv_in(path, archive.namelist())
    try:
        return cast(zipfile.ZipExtFile, archive.open(name))
    except (
        RuntimeError
    ) as error:  # encrypted, or compressed by a method that Python does not support
        raise UserError(
            f"{path.absolute()}: {error}; expected an ordinary zip file; unpack it "
            "and give the path of fer2013.csv"
        ) from error


def _tar_member(stream: io.BufferedReader, path: Path) -> IO[bytes]:
    archive = tarfile.open(fileobj=stream)  # noqa: SIM115 (the caller closes stream)
    members = {}
    for member in archive:
        if member.isfile():
            members[member.name] = member
        # Listing the rest would decompress the whole archive once before it is read.
        if PurePosixPath(member.name).name == "fer2013.csv":
            break
    name = _preferred_csv(members)
    if name is None:
        raise _no_csv_in(path, list(members))
    member_file = archive.extractfile(members[name])
    assert member_file is not None  # None stands for a folder or a link: none is in `members`
    return member_file


def _preferred_csv(names: Iterable[str]) -> str | None:
    """Choose from names of files: fer2013.csv, otherwise the first .csv, otherwise None."""
    tables = [
        name
        for name in names
        if name.lower().endswith(".csv") and not PurePosixPath(name).name.startswith(".")
    ]
    named = [name for name in tables if PurePosixPath(name).name == "fer2013.csv"]
    return next(iter(named + tables), None)


def _no_csv_in(path: Path, names: list[str]) -> UserError:
    found = ", ".join(names[:5]) or "nothing"
    return UserError(
        f"{path.absolute()}: no .csv inside (found {found}); expected fer2013.csv; "
        "give another archive, or use `source: folder` for images"
    )


class _ZstdFile(io.RawIOBase):
    """A .zst file, decompressed while it is read.

    For a truncated file it raises EOFError; the reader of zstandard accepts it as complete.
    """

    def __init__(self, packed: io.BufferedReader):
        self._packed = packed
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            if self._frame.eof:
                packed = self._frame.unused_data or self._packed.read(CHUNK)
                if not packed:
                    return 0
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            elif not (packed := self._packed.read(CHUNK)):
                raise EOFError("the file ends inside a zstd frame")
            self._plain = memoryview(self._frame.decompress(packed))
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count


def _in_column_order(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    """Yield lines with the columns in FER-2013's order; other columns are left as they are."""
    header = stream.readline()
    if not header:
        raise UserError(f"{path.absolute()}: empty; expected a CSV with the header {HEADER}")
    header = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    expected = HEADER.encode().split(b",")
    found = [name.strip() for name in header.split(b",")]
    if sorted(found) != sorted(expected):
        yield header
        yield from (line.rstrip(b"\r\n") for line in stream)
        return
    yield HEADER.encode()
    order = [found.index(name) for name in expected]
    reordered = order != sorted(order)
    for line in stream:
        line = line.rstrip(b"\r\n")
        fields = line.split(b",") if reordered else ()
        yield b",".join(fields[i] for i in order) if len(fields) == len(order) else line


# ---------------------------------------------------------------- images in folders


def folder(source: FolderSource) -> Iterator[bytes]:
    """Read images `SPLIT/EMOTION/NAME.jpg`, .jpeg or .png, in sorted order.

    A file name that starts with Training_, PublicTest_ or PrivateTest_ determines the split, as in
    Kaggle's msambare/fer2013, whose test folder contains both test splits. Otherwise the folder
    does, in upper or lower case: Training or train; PublicTest, val or validation; PrivateTest or
    test. Images are converted to grey and resized to 48×48: down by area, up bilinearly.

    An image that cannot be read becomes the row `label,unreadable PATH,split`, which validate
    quarantines.

    Raises
    ------
    UserError
        The folder is missing or has no image, or a subfolder has a name that is no split or
        emotion.
    """
    root = located(source.path)
    if not root.is_dir():
        raise UserError(
            f"{root.absolute()}: no such folder; expected SPLIT/EMOTION/*.jpg or *.png below it; "
            "a relative path starts at the repository's root"
        )
    images = _labelled_images(root, source.emotions)
    if not images:
        raise UserError(
            f"{root.absolute()}: no image; expected .jpg, .jpeg or .png files in SPLIT/EMOTION "
            "folders such as train/happy"
        )
    logger.info("reading %d images below %s", len(images), root.absolute())
    yield HEADER.encode()
    for split, label, path in tqdm(images, unit="image", desc=root.name, disable=None):
        image = _read_face(path)
        if image is not None:
            yield _row(label, image, split)
            continue
        name = path.relative_to(root).as_posix()
        logger.warning("%s: not readable as an image; validate will quarantine its row", path)
        place = "".join("_" if char in ',"' or not char.isprintable() else char for char in name)
        yield format_row(label, UNREADABLE + place, split).encode()


def _labelled_images(root: Path, emotions: list[str] | None) -> list[tuple[str, str, Path]]:
    """Find (split, emotion, path) of every image, sorted by split, then path."""
    images = []
    for split_folder in _visible_folders(root):
        folder_split = _known(split_folder, SPLIT_OF_FOLDER, "split")
        for emotion_folder in _visible_folders(split_folder):
            emotion = emotion_folder.name.lower()
            if emotions is not None:
                emotion = _known(
                    emotion_folder, {name.lower(): name for name in emotions}, "emotion"
                )
            for path in emotion_folder.iterdir():
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                    prefix = path.name.partition("_")[0]
                    split = prefix if prefix in SPLITS else folder_split
                    images.append((split, emotion, path))
    others = sum(path.is_file() for path in root.rglob("[!.]*")) - len(images)
    if others:
        logger.warning("%s: ignored %d files that are not SPLIT/EMOTION images", root, others)
    return sorted(images, key=lambda image: (SPLITS.index(image[0]), image[2]))


def _visible_folders(path: Path) -> list[Path]:
    hidden = (".", "__")  # .git, __MACOSX
    return sorted(
        child for child in path.iterdir() if child.is_dir() and not child.name.startswith(hidden)
    )


def _known(path: Path, meanings: dict[str, str], kind: str) -> str:
    name = path.name.lower()
    if name in meanings:
        return meanings[name]
    near = difflib.get_close_matches(name, meanings, n=1, cutoff=0.4)
    hint = f" (nearest: '{near[0]}')" if near else ""
    raise UserError(
        f"{path.absolute()}: unknown {kind} '{path.name}'{hint}; "
        f"expected one of {', '.join(meanings)}; rename or move the folder"
    )


def _read_face(path: Path) -> np.ndarray | None:
    """Read an image file as grey uint8 [48, 48]; None if it cannot be read."""
    try:
        image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error):  # no permission; empty, or more pixels than OpenCV accepts
        return None
    if image is None:
        return None
    shrinks = min(image.shape) >= SIZE
    return cv2.resize(
        image, (SIZE, SIZE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


def _row(label: int | str, image: np.ndarray, split: str) -> bytes:
    return format_row(label, " ".join(map(str, image.ravel().tolist())), split).encode()


SOURCES: dict[str, Callable[[Any], Iterator[bytes]]] = {
    "sample": sample,
    "kaggle": kaggle,
    "file": file,
    "folder": folder,
    "ferplus": fer_plus,
}
"""The functions above by the name that `fetch.source` in a parameter file gives them."""
