"""The CSV file of a run: a row for each face, and for each picture without a face or error."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from recognizer.atomic_file import output_errors, written_atomically
from recognizer.cli.growing_csv import complete_rows, open_to_append, read_header
from recognizer.cli.job import FrameResult, Result
from recognizer.csv_cells import csv_line, from_text_cell, text_cell
from recognizer.errors import OutputError
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import TrackedFace

PLACE = ["path", "frame", "seconds", "person", "x", "y", "width", "height"]
"""`frame`, `seconds` and `person` are for videos. The box is in pixels."""

BEFORE = [*PLACE, "confidence"]
"""Columns before `emotion`."""

AFTER = ["error", "model", "settings"]
"""Columns after `emotion` and the probabilities: `model` is the SHA-256 of the model file."""


class CsvTable:
    """A CSV file that grows result by result; a killed run is resumed where the file ends.

    Parameters
    ----------
    path : Path
        If the file exists, rows are appended. The rows of its last input are removed first,
        because some of them may be missing; so are those of inputs that two runs have written at
        once. These inputs are not in `done`.
    labels : sequence of str
    model : str
        Version of the model.
    settings : str
        The other settings that the rows depend on.
    raw_cells : bool
        Write texts that a spreadsheet would take for formulas as they are: see csv_cells.py.

    Attributes
    ----------
    done : set of str
        Paths of the inputs in the file.
    repeated : int
        Number of inputs whose rows were removed because two runs had written them.
    errors : int
        Number of rows with an error.

    Raises
    ------
    OutputError
        The file cannot be written, is not such a table, is damaged, or comes from another
        model or other settings.
    """

    def __init__(
        self,
        path: Path,
        labels: Sequence[str],
        model: str,
        settings: str,
        raw_cells: bool = False,
    ):
        self.path, self._model, self._settings = path, model, settings
        self._columns = [*BEFORE, "emotion", *labels, *AFTER]
        self._raw_cells = raw_cells
        self._header = csv_line(map(self._cell, self._columns))
        self.done: set[str] = set()
        self.repeated = 0
        self.errors = 0
        with output_errors(path):
            if path.is_file():
                if repeated := self._repeated():
                    self.repeated = len(repeated)
                    self._remove(repeated)
                with path.open("r+b") as file:
                    file.truncate(self._read(file))
            self._file = open_to_append(path, self._header)

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
            self._file.writelines(csv_line(self._row(result, face)) for face in faces)
            self._file.flush()

    def _row(self, result: Result, face: RecognizedFace | None) -> Iterator[Any]:
        row: dict[str, Any] = {"path": str(result.path), "error": result.error}
        row |= {"model": self._model, "settings": self._settings}
        if isinstance(result, FrameResult):
            row |= {"frame": result.frame, "seconds": result.seconds}
        if face:
            row |= vars(face.box) | {"confidence": face.confidence, "emotion": face.emotion}
            row |= face.probabilities
        if isinstance(face, TrackedFace):
            row["person"] = face.person
        return (self._cell(row.get(name, "")) for name in self._columns)

    def _cell(self, value: Any) -> Any:
        return value if self._raw_cells else text_cell(value)

    def _read(self, file: BinaryIO) -> int:
        """Read the existing rows; return the length in bytes without those of the last input."""
        length, last, errors = self._read_header(file), None, 0
        for start, _, row in complete_rows(file, self.path, self._columns):
            path = row["path"] if self._raw_cells else from_text_cell(row["path"])
            if path != last:
                self.done.add(path)
                self.errors += errors
                length, last, errors = start, path, 0
            errors += bool(row["error"])
        if last is not None:
            self.done.remove(last)
        return length

    def _read_header(self, file: BinaryIO) -> int:
        refusal = (
            "exists and is no table of this program, or one of a model with other emotions; name"
            " another file"
        )
        return read_header(file, self.path, self._header, refusal)

    def _repeated(self) -> set[str]:
        """Find the inputs that two runs have written at once, by their cells in the column `path`.

        Their rows are in several places, or the same face of the same frame has several rows.
        """
        repeated: set[str] = set()
        finished: set[str] = set()
        last, faces = None, set[tuple[str, ...]]()
        with self.path.open("rb") as file:
            self._read_header(file)
            for _, _, row in complete_rows(file, self.path, self._columns):
                self._check_origin(row["model"], row["settings"])
                path = row["path"]
                if path != last:
                    if path in finished:
                        repeated.add(path)
                    finished.add(path)
                    last, faces = path, set()
                face = tuple(row[name] for name in PLACE)
                if face in faces:
                    repeated.add(path)
                faces.add(face)
        return repeated

    def _remove(self, inputs: Collection[str]) -> None:
        """Remove the rows of inputs; after a kill, the file is the old or the new one."""
        with (
            # A link to the file stays one.
            written_atomically(Path(os.path.realpath(self.path))) as temporary,
            self.path.open("rb") as old,
            self.path.open("rb") as rows,
            temporary.open("wb") as new,
        ):
            new.write(old.read(self._read_header(rows)))
            for start, end, row in complete_rows(rows, self.path, self._columns):
                if row["path"] not in inputs:
                    old.seek(start)
                    new.write(old.read(end - start))

    def _check_origin(self, model: str, settings: str) -> None:
        if (model, settings) != (self._model, self._settings):
            raise OutputError(
                f"{self.path}: was made by model {model[:12]} with {settings}; this run has model"
                f" {self._model[:12]} with {self._settings}; name another file"
            )
