"""FER-2013 as a CSV file: plain, compressed, or in an archive, with its columns in any order.

All public forms are read: fer2013.csv, icml_face_data.csv (columns with leading spaces, in another
order), the competition's train.csv (no Usage), and the competition's archive with several CSVs.
"""

import gzip
import hashlib
import io
import logging
import lzma
import tarfile
import zipfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import zstandard
from tqdm import tqdm

from stages.dataset import fer2013
from stages.dataset.csv_header import check_header, columns_of
from stages.dataset.decompression import BoundedStream
from stages.dataset.fer_csv import DRAWN, HEADER, LONGEST_RECORD, format_row, numbered_lines
from stages.dataset.labels import STANDARD, Spellings, declared_emotions
from stages.dataset.source_path import located
from stages.dataset.splits import draw_missing
from stages.errors import UserError
from stages.parameters import FileSource
from stages.wording import joined, numbered

logger = logging.getLogger(__name__)

CHUNK = 1 << 16
"""Bytes read at a time."""

ZSTD_CHUNK = 1 << 10
"""Bytes read at a time of a .zst file: four of them can unpack to 128 KiB."""


def file(source: FileSource) -> Iterator[bytes]:
    """Read a CSV: plain, .gz, .xz, .zst, .zip, or .tar (also .tar.gz and .tar.xz).

    The content of the file determines the format, not its name. In an archive, the CSV with the
    columns of FER-2013 is read, fer2013.csv if there are several. A byte order mark is removed, the
    columns are put into FER-2013's order, and `labels` are applied. Where the column Usage is
    missing, the splits are drawn; a column `person` keeps a person's images in one split. A
    declared `sha256` is the digest of the file as given, before decompression.

    Raises
    ------
    UserError
        The file is missing, empty, damaged or truncated, contains no such CSV, has another digest
        than declared, or a label that is unknown.
    """
    path = located(source.path)
    if not path.is_file():
        expected = "fer2013.csv, plain or as .gz, .xz, .zst, .zip, .tar, .tar.gz or .tar.xz"
        if path.is_dir():
            raise UserError(
                f"{path.absolute()}: is a folder; expected {expected}; for a folder, write "
                "`source: folder` in the parameter file"
            )
        raise UserError(
            f"{path.absolute()}: no such file; expected {expected}; a relative path starts at the "
            "repository's root"
        )
    logger.info("reading %s", path.absolute())
    yield from _in_fer_form(_lines(source, path), source, path)


def _lines(source: FileSource, path: Path) -> Iterator[bytes]:
    """Yield the lines of the CSV without their ends, while a progress bar shows the place."""
    progress = tqdm(
        total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, disable=None
    )
    try:
        with path.open("rb") as packed, progress:
            _check_digest(packed, source)
            stream = _unpacked(packed, path)
            is_tar = stream.peek(512)[257:262] == b"ustar"
            table = _tar_member(stream, path) if is_tar else stream
            for _, line in numbered_lines(table):
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
    unpacked: io.BufferedIOBase | io.RawIOBase
    if start.startswith(b"PK\x03\x04"):
        unpacked = _zip_member(packed, path)
    elif start.startswith(b"\x1f\x8b"):
        unpacked = gzip.GzipFile(fileobj=packed)
    elif start.startswith(b"\xfd7zXZ\x00"):
        unpacked = lzma.LZMAFile(packed)  # noqa: SIM115 (the caller closes `packed`)
    elif start.startswith(b"\x28\xb5\x2f\xfd"):
        unpacked = _ZstdFile(packed)
    else:
        return packed
    return io.BufferedReader(BoundedStream(unpacked, path))


def _zip_member(packed: io.BufferedReader, path: Path) -> io.BufferedIOBase:
    archive = zipfile.ZipFile(packed)
    names = [name for name in archive.namelist() if _is_table(name)]
    try:
        headers = {}
        for name in names:
            with archive.open(name) as member:
                headers[name] = member.readline(LONGEST_RECORD)
        chosen = _chosen(path, archive.namelist(), headers)
        return cast(zipfile.ZipExtFile, archive.open(chosen))
    except RuntimeError as error:
        # Encrypted, or compressed by a method that Python does not support.
        raise UserError(
            f"{path.absolute()}: {error}; expected an ordinary zip file; unpack it "
            "and give the path of fer2013.csv"
        ) from error


def _tar_member(stream: io.BufferedReader, path: Path) -> IO[bytes]:
    archive = tarfile.open(fileobj=stream)  # noqa: SIM115 (the caller closes stream)
    members, headers = {}, {}
    for member in archive:
        if not member.isfile():
            continue
        members[member.name] = member
        if _is_table(member.name):
            headers[member.name] = _opened(archive, member).readline(LONGEST_RECORD)
        # Listing the rest would decompress the whole archive once before it is read.
        if PurePosixPath(member.name).name == "fer2013.csv":
            break
    return _opened(archive, members[_chosen(path, list(members), headers)])


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    opened = archive.extractfile(member)
    assert opened is not None  # None stands for a folder or a link
    return opened


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv") and not PurePosixPath(name).name.startswith(".")


def preferred_csv(headers: Mapping[str, bytes]) -> str | None:
    """Choose among CSVs, by their names and first lines; None where none has faces and labels.

    First those with all columns, then those without Usage; among equals fer2013.csv, then the
    first one.
    """

    def rank(name: str) -> tuple[bool, bool]:
        columns = columns_of(headers[name])
        return "Usage" not in columns, PurePosixPath(name).name != "fer2013.csv"

    usable = [
        name for name, header in headers.items() if {"emotion", "pixels"} <= set(columns_of(header))
    ]
    return min(usable, key=rank, default=None)


def _chosen(path: Path, names: list[str], headers: Mapping[str, bytes]) -> str:
    """Choose a member of an archive; an only one is read whatever its columns are."""
    chosen = preferred_csv(headers) or (next(iter(headers)) if len(headers) == 1 else None)
    if chosen is None:
        problem = f"no .csv inside (found {', '.join(names[:5]) or 'nothing'})"
        if headers:
            tables = [
                f"{name}: {headers[name].decode(errors='replace').strip()[:60]}" for name in headers
            ]
            problem = (
                f"no CSV inside has the columns emotion and pixels (found {'; '.join(tables)})"
            )
        raise UserError(
            f"{path.absolute()}: {problem}; expected fer2013.csv; give another archive, or use "
            "`source: folder` for images"
        )
    others = [name for name in headers if name != chosen]
    if others:
        logger.info("%s: reading %s; not read: %s", path, chosen, ", ".join(others))
    return chosen


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
                packed = self._frame.unused_data or self._packed.read(ZSTD_CHUNK)
                if not packed:
                    return 0
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            elif not (packed := self._packed.read(ZSTD_CHUNK)):
                raise EOFError("the file ends inside a zstd frame")
            self._plain = memoryview(self._frame.decompress(packed))
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count


# ---------------------------------------------------------------- columns, labels, splits


def _in_fer_form(lines: Iterator[bytes], source: FileSource, path: Path) -> Iterator[bytes]:
    """Yield lines in the form of raw.csv; lines with another number of fields stay as they are."""
    numbers = enumerate(lines, 1)
    number, header = next(((number, line) for number, line in numbers if line.strip()), (1, None))
    if header is None:
        raise UserError(f"{path.absolute()}: empty; expected a CSV with the header {HEADER}")
    columns = columns_of(header)
    if columns == ["pixels"]:
        raise UserError(
            f"{path.absolute()}: no column 'emotion'; the competition's test.csv has no labels: "
            "expected fer2013.csv, icml_face_data.csv or train.csv"
        )
    if {"emotion", "pixels"} <= set(columns) <= {"emotion", "pixels", "person"}:
        yield from _with_drawn_splits(numbers, columns, source, path)
        return
    check_header(header, f"{path.absolute()}, line {number}")
    expected = HEADER.split(",")
    if sorted(columns) != sorted(expected):  # there are optional ones
        if source.labels:
            optional = [name for name in columns if name not in expected]
            logger.warning(
                "%s: `labels` is ignored for a CSV with the column %s",
                *(path.absolute(), joined(optional)),
            )
        yield header.removeprefix(BOM_UTF8)
        yield from lines
        return
    yield HEADER.encode()
    order = [columns.index(name) for name in expected]
    reordered = order != sorted(order)
    known = _KnownLabels(source, path)
    for line in lines:
        fields = line.split(b",") if reordered else ()
        if len(fields) == len(order):
            line = b",".join(fields[index] for index in order)
        label, comma, rest = line.partition(b",")
        name = known[label]
        if name is not None:
            yield line if name == label else name + comma + rest
    known.report()


def _with_drawn_splits(
    rows: Iterator[tuple[int, bytes]], columns: list[str], source: FileSource, path: Path
) -> Iterator[bytes]:
    """Yield numbered rows without a Usage with a drawn one; they are read into memory first."""
    known = _KnownLabels(source, path)
    labels: list[str] = []
    pixels: list[str] = []
    persons: list[str] = []
    for number, row in rows:
        if not row.strip():
            continue
        fields = row.split(b",")
        if len(fields) != len(columns):
            raise UserError(
                f"{path.absolute()}, line {number}: {numbered(len(fields), 'field')}, expected "
                f"{len(columns)}: {', '.join(columns)}; correct the line or remove it"
            )
        by_name = dict(zip(columns, fields, strict=True))
        known_label = known[by_name["emotion"]]
        if known_label is not None:
            labels.append(known_label.decode(errors="replace"))
            pixels.append(by_name["pixels"].decode(errors="replace"))
            persons.append(by_name.get("person", b"").decode(errors="replace"))
    known.report()
    splits = draw_missing(
        ["Training"] * len(labels), labels, persons if "person" in columns else None, source.draw
    )
    yield f"{HEADER},{DRAWN}".encode()
    for label, levels, split in zip(labels, pixels, splits, strict=True):
        yield f"{format_row(label, levels, split)},{int(split != 'Training')}".encode()


class _KnownLabels(dict[bytes, bytes | None]):
    """The label to write for each label of a CSV; None for one that `labels` leaves out.

    A number stays one. Where `labels` has names, it stands for the name in FER-2013. A name that
    is none of FER-2013's stays where no emotions are declared: validate rejects it.
    """

    def __init__(self, source: FileSource, path: Path):
        self._source, self._path = source, path
        self._spellings = Spellings(source, declared_emotions(source))
        self._found: set[str] = set()
        self._has_names = any(not spelling.isdecimal() for spelling in source.labels)

    def __missing__(self, label: bytes) -> bytes | None:
        text = label.strip(b' "').decode(errors="replace")
        is_number = text.isdecimal() and text not in self._source.labels
        # Python refuses to convert thousands of digits.
        if is_number and self._has_names and len(text) < 10 and int(text) < len(fer2013.EMOTIONS):
            text, is_number = fer2013.EMOTIONS[int(text)], False
        self._found.add(text)
        spelled = {spelling.lower() for spelling in self._source.labels} | STANDARD.keys()
        is_known = text.lower() in spelled or self._source.emotions is not None
        if is_number or not is_known:
            self[label] = label
        else:
            name = self._spellings.emotion(text, self._path.absolute())
            self[label] = None if name is None else name.encode()
        return self[label]

    def report(self) -> None:
        """Log which `labels` are none of the CSV's, once all of these have been looked up."""
        self._spellings.report_labels(self._found, self._path.absolute())
