"""A CSV file that grows row by row: its rows up to where a killed run has stopped."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

from recognizer.errors import OutputError


def open_to_append(path: Path, header: str) -> TextIO:
    """Open a file for further rows; one that is new or empty gets its first line, `header`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a", encoding="utf-8", errors="surrogateescape", newline="")
    if file.tell() == 0:
        file.write(header)
        file.flush()
    return file


def read_header(file: BinaryIO, path: Path, header: str, refusal: str) -> int:
    """Read the first line; return its length in bytes, or 0 where it was not written whole.

    Raises
    ------
    OutputError
        It is another line; the message is `refusal`.
    """
    expected = header.encode()
    found = file.read(len(expected))
    if len(found) < len(expected) and expected.startswith(found):
        return 0
    if found != expected:
        raise OutputError(f"{path}: {refusal}")
    return len(expected)


def complete_rows(
    file: BinaryIO, path: Path, columns: Sequence[str]
) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Yield the rows that follow, each after its start and end in bytes.

    A last row that was not written whole is left out.

    Raises
    ------
    OutputError
        A row before the last is damaged.
    """
    end = file.tell()

    def lines() -> Iterator[str]:
        nonlocal end
        while (line := file.readline()).endswith(b"\n"):
            end += len(line)
            yield line.decode("utf-8", "surrogateescape")

    # A path may contain a line break; then a row has several lines.
    reader = csv.reader(lines(), strict=True)
    while True:
        start = end
        try:
            row = next(reader, None)
        except csv.Error:
            row = []
        if row is None:
            return
        if len(row) != len(columns):
            if file.read(1):
                raise OutputError(f"{path}: damaged in the row that begins at byte {start}")
            return
        yield start, end, dict(zip(columns, row, strict=True))
