"""faces.csv, the table of a tree of crops: see recognizer/crop_tree.py."""

from collections.abc import Sequence
from pathlib import Path

from recognizer.atomic_file import output_errors
from recognizer.cli.growing_csv import complete_rows, open_to_append, read_header
from recognizer.cli.job import Result
from recognizer.crop_tree import EMOTION, FILE, PHOTO, PHOTO_SHA256, TABLE
from recognizer.csv_cells import csv_line, from_text_cell, text_cell

BEFORE = [FILE, PHOTO, PHOTO_SHA256, "x", "y", "width", "height", "confidence", EMOTION]
"""The box is in pixels of the photo; `confidence` is the detector's."""

MODEL = "model"
"""The column after the probabilities: the SHA-256 of the model file."""


class CropTable:
    """A table that grows photo by photo; a face has one row, that of the run that wrote its crops.

    Parameters
    ----------
    out : Path
        The folder of the crops. If it has a table, rows are appended, also of another model.
    labels : sequence of str
    model : str
        Version of the model.

    Raises
    ------
    OutputError
        The file cannot be written, is damaged, is no such table, or is one of a model with other
        emotions.
    """

    def __init__(self, out: Path, labels: Sequence[str], model: str):
        self.path, self._model = out / TABLE, model
        self._columns = [*BEFORE, *labels, MODEL]
        self._header = csv_line(map(text_cell, self._columns))
        self._files: set[str] = set()
        with output_errors(self.path):
            if self.path.is_file():
                self._read()
            self._file = open_to_append(self.path, self._header)

    def __enter__(self) -> "CropTable":
        return self

    def __exit__(self, *_: object) -> None:
        with output_errors(self.path):
            self._file.close()

    def write(self, result: Result) -> None:
        """Append a row for each face of a photo that has none, and flush.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        if result.crops is None:
            return
        with output_errors(self.path):
            for file, face in zip(result.crops.files, result.faces, strict=True):
                if file not in self._files:
                    self._files.add(file)
                    row = (
                        {FILE: file, PHOTO: str(result.path), PHOTO_SHA256: result.crops.sha256}
                        | vars(face.box)
                        | {"confidence": face.confidence, EMOTION: face.emotion}
                        | face.probabilities
                        | {MODEL: self._model}
                    )
                    self._file.write(csv_line(text_cell(row[name]) for name in self._columns))
            self._file.flush()

    def _read(self) -> None:
        """Read the names of the faces, and remove a last row that was not written whole."""
        with self.path.open("r+b") as file:
            refusal = (
                "is no table of crops, or one of a model with other emotions; name another folder"
            )
            whole = read_header(file, self.path, self._header, refusal)
            for _, end, row in complete_rows(file, self.path, self._columns):
                self._files.add(from_text_cell(row[FILE]))
                whole = end
            file.truncate(whole)
