"""The CSV file of a run: a row for each face, and for each picture without a face or error."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from recognizer.atomic_file import output_errors
from recognizer.cli.job import FrameResult, Result
from recognizer.errors import OutputError
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import TrackedFace

BEFORE = ["path", "frame", "seconds", "person", "x", "y", "width", "height", "confidence"]
"""`frame`, `seconds` and `person` are for videos. The box is in pixels."""

AFTER = ["error", "model", "settings"]
"""Columns after `emotion` and the probabilities: `model` is the SHA-256 of the model file."""


class CsvTable:
    """A CSV file that grows result by result; a killed run is resumed where the file ends.

    Parameters
    ----------
    path : Path
        If the file exists, rows are appended. The rows of its last input are removed first,
        because some of them may be missing; this input is not in `done`.
    labels : sequence of str
    model : str
        Version of the model.
    settings : str
        The other settings that the rows depend on.

    Attributes
    ----------
    done : set of str
        Paths of the inputs in the file.
    errors : int
        Number of rows with an error.

    Raises
    ------
    OutputError
        The file cannot be written, is not such a table, is damaged, or comes from another
        model or other settings.
    """

    def __init__(self, path: Path, labels: Sequence[str], model: str, settings: str):
        self.path, self._model, self._settings = path, model, settings
        self._columns = [*BEFORE, "emotion", *labels, *AFTER]
        header = io.StringIO()
        csv.writer(header, lineterminator="\n").writerow(self._columns)
        self._header = header.getvalue()
        self.done: set[str] = set()
        self.errors = 0
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                with path.open("r+b") as file:
                    file.truncate(self._read(file))
            self._file = path.open("a", encoding="utf-8", errors="surrogateescape", newline="")
            self._writer = csv.DictWriter(self._file, self._columns, lineterminator="\n")
            if self._file.tell() == 0:
                self._file.write(self._header)
                self._file.flush()

    def __enter__(self) -> "CsvTable":
        return self

    def __exit__(self, *_: object) -> None:
        with output_errors(self.path):
            self._file.close()

    def write(self, result: Result) -> None:
        """Append the rows of a result and flush.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        faces: Sequence[RecognizedFace | None] = result.faces or [None]
        self.errors += bool(result.error)
        with output_errors(self.path):
            self._writer.writerows(self._row(result, face) for face in faces)
            self._file.flush()

    def _row(self, result: Result, face: RecognizedFace | None) -> dict[str, Any]:
        row: dict[str, Any] = {"path": result.path, "error": result.error}
        row |= {"model": self._model, "settings": self._settings}
        if isinstance(result, FrameResult):
            row |= {"frame": result.frame, "seconds": result.seconds}
        if face:
            row |= vars(face.box) | {"confidence": face.confidence, "emotion": face.emotion}
            row |= face.probabilities
        if isinstance(face, TrackedFace):
            row["person"] = face.person
        return row

    def _read(self, file: BinaryIO) -> int:
        """Read the existing rows; return the length in bytes without those of the last input."""
        header = self._header.encode()
        found = file.read(len(header))
        if len(found) < len(header) and header.startswith(found):
            return 0  # killed while the first line was written
        if found != header:
            raise OutputError(
                f"{self.path}: exists and is no table of this program, or one of a model with"
                " other emotions; name another file"
            )
        length, last, errors = len(header), None, 0
        for start, _, row in complete_rows(file, self.path, self._columns):
            self._check_origin(row["model"], row["settings"])
            if row["path"] != last:
                self.done.add(row["path"])
                self.errors += errors
                length, last, errors = start, row["path"], 0
            errors += bool(row["error"])
        if last is not None:
            self.done.remove(last)
        return length

    def _check_origin(self, model: str, settings: str) -> None:
        if (model, settings) != (self._model, self._settings):
            raise OutputError(
                f"{self.path}: was made by model {model[:12]} with {settings}; this run has model"
                f" {self._model[:12]} with {self._settings}; name another file"
            )


def complete_rows(
    file: BinaryIO, path: Path, columns: list[str]
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
