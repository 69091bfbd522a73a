"""The CSV file of a run: a row for each face, one for what shows none or cannot be read."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from recognizer.atomic_file import output_errors
from recognizer.errors import OutputError
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import TrackedFace
from recognizer.work import Answer

BEFORE = ["path", "frame", "seconds", "person", "x", "y", "width", "height", "confidence"]
"""`frame`, `seconds` and `person` are for videos. The box is in pixels."""

AFTER = ["error", "model", "settings"]
"""Columns after `emotion` and the probabilities: `model` is the SHA-256 of the model file."""


class CsvTable:
    """A CSV file that grows answer by answer and is resumed where a killed run stopped.

    Parameters
    ----------
    path : Path
        If the file exists, rows are added to it. Those of its last input are taken out,
        because some of them may be missing; it is not in `done`.
    labels : sequence of str
    model : str
        Version of the model.
    settings : str
        What else the rows depend on.

    Attributes
    ----------
    done : set of str
        Paths of the inputs in the file.
    errors : int
        How many rows tell of an error.

    Raises
    ------
    OutputError
        The file cannot be written, is no such table, is damaged, or comes from another
        model or other settings.
    """

    def __init__(self, path: Path, labels: Sequence[str], model: str, settings: str):
        self.path, self._model, self._settings = path, model, settings
        self._columns = [*BEFORE, "emotion", *labels, *AFTER]
        head = io.StringIO()
        csv.writer(head, lineterminator="\n").writerow(self._columns)
        self._head = head.getvalue()
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
                self._file.write(self._head)
                self._file.flush()

    def __enter__(self) -> "CsvTable":
        return self

    def __exit__(self, *_) -> None:
        with output_errors(self.path):
            self._file.close()

    def write(self, answer: Answer) -> None:
        """Add the rows of one answer, at once.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        rows = [self._row(answer, face) for face in answer.faces or [None]]
        self.errors += bool(answer.error)
        with output_errors(self.path):
            self._writer.writerows(rows)
            self._file.flush()

    def _row(self, answer: Answer, face: RecognizedFace | None) -> dict:
        row = {"path": answer.path, "frame": answer.frame, "seconds": answer.seconds}
        row |= {"error": answer.error, "model": self._model, "settings": self._settings}
        if face:
            row |= vars(face.box) | {"confidence": face.confidence, "emotion": face.emotion}
            row |= face.probabilities
        if isinstance(face, TrackedFace):
            row["person"] = face.person
        return row

    def _read(self, file: BinaryIO) -> int:
        """Read the rows that exist; return the length in bytes without those of the last input."""
        head = self._head.encode()
        found = file.read(len(head))
        if len(found) < len(head) and head.startswith(found):
            return 0  # killed before the first line was whole
        if found != head:
            raise OutputError(
                f"{self.path}: exists and is no table of this program, or one of a model with"
                " other emotions; name another file"
            )
        length, last, errors = len(head), None, 0
        for start, row in _rows(file, self.path, self._columns):
            self._check_origin(row["model"], row["settings"])
            if row["path"] != last:
                self.done.add(row["path"])
                self.errors += errors
                length, last, errors = start, row["path"], 0
            errors += bool(row["error"])
        self.done.discard(last)
        return length

    def _check_origin(self, model: str, settings: str) -> None:
        if (model, settings) != (self._model, self._settings):
            raise OutputError(
                f"{self.path}: was made by model {model[:12]} with {settings}, and this would add"
                f" model {self._model[:12]} with {self._settings}; name another file"
            )


def _rows(file: BinaryIO, path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows from here on, and where each begins; a last one that is half written is left out.

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

    # A path may hold a line break; then a row has several lines.
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
        yield start, dict(zip(columns, row, strict=True))
