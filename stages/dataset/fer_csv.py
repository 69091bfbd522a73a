"""The CSV format of FER-2013, `emotion,pixels,Usage`: its reader and the writer of a row.

`emotion` is the number of a label or its name. More columns may follow: `votes`, how many people
chose each emotion, numbers between spaces; `drawn`, 1 where the split was drawn, otherwise 0;
`corrected`, 1 where a person has corrected a predicted emotion, otherwise 0.
"""

import csv
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.dataset.faces import SIZE
from stages.errors import UserError

PIXELS = SIZE * SIZE
"""Grey levels in one pixels field."""

HEADER = "emotion,pixels,Usage"

VOTES = "votes"
DRAWN = "drawn"
CORRECTED = "corrected"
OPTIONAL = (VOTES, DRAWN, CORRECTED)
"""Names of columns that may follow."""

UNREADABLE = "unreadable "
NO_FACE = "no face in "
"""Prefixes of a pixels field that names an image file of which the folder source has no pixels."""

LONGEST_RECORD = 2**16
"""Bytes; a valid record has at most about 9,300."""

BATCH = 256
"""Rows parsed at once: about 2 MB of text, which fits the processor's cache."""


def format_row(label: int | str, pixels: str, split: str) -> str:
    """Format one line without its line end; `pixels` are 2304 grey levels separated by spaces."""
    return f"{label},{pixels},{split}"


def read_faces(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Read every row, the malformed ones too; `row_checks` decides which are valid.

    A byte order mark, CRLF, quoted fields, another order of the columns and a missing last line
    end are accepted; blank lines are ignored. An unclosed quote, or a line break inside quotes,
    makes its own row invalid and no other: a line that starts like a row is always a new row.

    Returns
    -------
    rows : DataFrame of N rows in the file's order
        row : int32, the line on which the row begins; the header is line 1.
        line_problem : why the line does not have a field for each column, or null.
        emotion, Usage : text of the fields, null if there is a line problem.
        votes, drawn, corrected : text of the fields, only where the file has the columns.
        pixel_count : float, number of values in the pixels field, NaN if there is a line problem.
        minimum, maximum : float, of those values that are whole numbers, NaN if none is.
        wrong_pixel : first value that is not a whole number 0 … 255, and its position from 1, or
            null.
        std : float, population standard deviation in grey levels, NaN without an image.
    images : uint8 [N, 48, 48]
        Grey levels; zeros where there is no image.

    Raises
    ------
    UserError
        The file is missing, empty or has no rows, or a column is missing or renamed.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found; run the fetch stage first, as `dvc repro` does")
    tables, images = [], []
    with (
        path.open("rb") as file,
        tqdm(total=path.stat().st_size, unit="B", unit_scale=True, disable=None) as bar,
    ):
        records = _records(numbered_lines(file))
        columns = _columns(next(records, None), path)
        while batch := list(islice(records, BATCH)):
            table, batch_images = _read_batch(batch, columns)
            tables.append(table)
            images.append(batch_images)
            bar.update(file.tell() - bar.n)
    if not tables:
        raise UserError(f"{path}: a header and no rows; fetch the dataset again")
    return pd.concat(tables, ignore_index=True), np.concatenate(images)


def shortened(text: str, length: int = 80) -> str:
    """Shorten a text to `length` characters on one line, and escape what is not printable."""
    text = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in text[: length + 1]
    )
    return text if len(text) <= length else text[: length - 1] + "…"


# ---------------------------------------------------------------- lines, records, fields

_BEGINS_ROW = re.compile(rb'([^\s",]*|"[^\s",]*"),')


def numbered_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines without their ends, and only the start of a line that is too long.

    This start is one byte longer than LONGEST_RECORD, so that its row ends in quarantine.
    """
    number = 0
    while line := file.readline(LONGEST_RECORD + 1):
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_RECORD)
        yield number, line.rstrip(b"\r\n")


def _records(lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Join the lines that a quoted field spans; leave out blank lines."""
    begun = None
    for number, line in lines:
        if begun and not _BEGINS_ROW.match(line):
            begun = begun[0], begun[1] + b"\n" + line
        else:
            if begun:
                yield begun
            begun = number, line
        text = begun[1]
        if text.count(b'"') % 2 == 0 or len(text) > LONGEST_RECORD:
            if text.strip():
                yield begun
            begun = None
    if begun:
        yield begun


def _fields(record: bytes, count: int) -> tuple[list[bytes] | None, str | None]:
    """Split a record into this number of fields, or return what is wrong with it."""
    if len(record) > LONGEST_RECORD:
        return None, f"more than {LONGEST_RECORD} bytes"
    if record.count(b'"') % 2:
        return None, "a quote is not closed"
    if b"\n" in record:
        return None, "a line break inside quotes"
    fields = record.split(b",")
    if b'"' in record:
        try:
            # Latin-1 decodes every byte, and encodes it back.
            row = next(csv.reader([record.decode("latin-1")], strict=True))
        except csv.Error as error:
            return None, f"misplaced quotes: {error}"
        fields = [field.encode("latin-1") for field in row]
    if len(fields) != count:
        return None, f"{len(fields)} fields"
    return fields, None


def _columns(header: tuple[int, bytes] | None, path: Path) -> dict[str, int]:
    """Read the header: positions of the columns of HEADER and OPTIONAL by their names."""
    if header is None:
        raise UserError(f"{path}: empty; expected a first line {HEADER}; fetch the dataset again")
    number, record = header
    text = _text(record.removeprefix(b"\xef\xbb\xbf"))
    found = [name.strip(' "') for name in text.split(",")]
    expected = HEADER.split(",")
    missing = [name for name in expected if name not in found]
    others = [name for name in found if name not in expected]
    if missing:
        nearest = max(
            others,
            key=lambda name: SequenceMatcher(None, name.lower(), missing[0].lower()).ratio(),
            default=None,
        )
        hint = f" (nearest: '{shortened(nearest)}')" if nearest else ""
        raise UserError(
            f"{path}, line {number}: no column '{missing[0]}'{hint}; expected {HEADER}, "
            f"found {shortened(text)}; correct the first line or fetch the dataset again"
        )
    expected += [name for name in OPTIONAL if name in found]
    if len(found) != len(expected):
        raise UserError(
            f"{path}, line {number}: {len(found)} columns; expected {HEADER}, "
            f"found {shortened(text)}; remove the others"
        )
    return {name: found.index(name) for name in expected}


# ---------------------------------------------------------------- rows, pixels

# Grey levels as the CSV may write them: with up to three digits.
_LEVELS = frozenset(f"{level:0{digits}}".encode() for level in range(256) for digits in (1, 2, 3))


def _read_batch(
    batch: list[tuple[int, bytes]], columns: dict[str, int]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Read some records; the result is a part of that of `read_faces`."""
    fields, problems = zip(*(_fields(record, len(columns)) for _, record in batch), strict=True)
    by_name = {name: [row and row[column] for row in fields] for name, column in columns.items()}
    texts = by_name.pop("pixels")
    pixels, is_image = parse_pixels([text or b"" for text in texts])
    levels = pixels.astype(np.float64)
    counts = np.full(len(batch), float(PIXELS))
    minimum, maximum, std = levels.min(axis=1), levels.max(axis=1), levels.std(axis=1)
    wrong: list[str | None] = [None] * len(batch)
    for index in np.flatnonzero(~is_image):
        std[index] = np.nan
        counts[index], minimum[index], maximum[index], wrong[index] = _describe(texts[index])
    table = pd.DataFrame(
        {
            "row": np.array([number for number, _ in batch], dtype=np.int32),
            "line_problem": pd.array(problems, dtype="str"),
            **{name: _text_column(column) for name, column in by_name.items()},
            "pixel_count": counts,
            "minimum": minimum,
            "maximum": maximum,
            "wrong_pixel": pd.array(wrong, dtype="str"),
            "std": std,
        }
    )
    return table, pixels.reshape(-1, SIZE, SIZE)


def parse_pixels(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Parse grey levels, written as decimal numbers between spaces, into an array.

    All texts are parsed at once. A number ends at a digit that no digit follows; its value is
    computed from this digit and the two before it.

    Parameters
    ----------
    texts : pixels fields, N ≥ 1.

    Returns
    -------
    pixels : uint8 [N, 2304], zeros where the text is not an image.
    is_image : bool [N], whether the text is 2304 numbers 0 … 255 of at most three digits.
    """
    # A line feed ends each text; three in front are the bytes before the first digits.
    text = np.frombuffer(b"\n\n\n" + b"\n".join(texts) + b"\n", dtype=np.uint8)
    text_ends = 3 + np.cumsum([len(text) + 1 for text in texts])
    digits = text - np.uint8(ord("0"))  # wraps around: a byte that is no digit is above 9
    is_digit = digits < 10
    ends = np.flatnonzero(is_digit[:-1] & ~is_digit[1:])
    has_tens = is_digit[ends - 1]
    has_hundreds = has_tens & is_digit[ends - 2]
    has_thousands = has_hundreds & is_digit[ends - 3]
    numbers = (
        digits[ends].astype(np.uint16)
        + np.uint16(10) * (digits[ends - 1] * has_tens)
        + np.uint16(100) * (digits[ends - 2] * has_hundreds)
    )

    other_bytes = np.flatnonzero(~is_digit & (text != ord(" ")))[3:]
    stray_bytes = np.setdiff1d(other_bytes, text_ends - 1, assume_unique=True)
    too_large = ends[has_thousands | (numbers > 255)]
    counts = np.diff(np.searchsorted(ends, text_ends), prepend=0)
    is_image = counts == PIXELS
    for wrong in (stray_bytes, too_large):
        is_image[np.searchsorted(text_ends, wrong, side="right")] = False

    pixels = np.zeros((len(texts), PIXELS), dtype=np.uint8)
    pixels[is_image] = numbers[np.repeat(is_image, counts)].reshape(-1, PIXELS)
    return pixels, is_image


def _describe(text: bytes | None) -> tuple[float, float, float, str | None]:
    """Count, minimum, maximum and first wrong value of an invalid pixels field."""
    if text is None:
        return np.nan, np.nan, np.nan, None
    values = [value for value in text.split(b" ") if value]
    numbers = [
        float(value) for value in values if value in _LEVELS or re.fullmatch(rb"[+-]?\d+", value)
    ]
    wrong = None
    if text.startswith((UNREADABLE.encode(), NO_FACE.encode())):
        wrong = _text(text)
    elif not _LEVELS.issuperset(values):
        place = next(place for place, value in enumerate(values) if value not in _LEVELS)
        wrong = f"{shortened(_text(values[place]), 40)} at pixel {place + 1}"
    return len(values), min(numbers, default=np.nan), max(numbers, default=np.nan), wrong


def _text_column(fields: list[bytes | None]) -> pd.api.extensions.ExtensionArray:
    return pd.array([None if field is None else _text(field) for field in fields], dtype="str")


def _text(field: bytes) -> str:
    return field.decode(errors="backslashreplace")
