"""Crops that `python -m recognizer PHOTOS --crops OUT` wrote and a person has sorted.

recognizer/crop_tree.py describes OUT. A face whose folder is not that of its predicted emotion was
corrected; so was a face of `_unsure` that is in an emotion's folder now.
"""

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from recognizer.crop_tree import (
    EMOTION,
    FILE,
    NETWORK_FOLDER,
    PHOTO_SHA256,
    TABLE,
    UNSURE_FOLDER,
)
from recognizer.csv_cells import from_text_cell
from stages.dataset.labels import STANDARD
from stages.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crop:
    """A face that has a row in a table of crops."""

    pixels: Path
    """The file of the face as the network saw it; it may be missing."""
    photo: str
    """SHA-256 of the photo, in hexadecimal digits."""
    corrected: bool
    """Whether a person has moved it to another emotion."""


class CropTables:
    """The tables of crops below a folder of images; each is read once."""

    def __init__(self) -> None:
        self._tables: dict[Path, dict[str, dict[str, str]]] = {}

    def find(self, path: Path, emotion_folder: Path) -> Crop | None:
        """The crop that an image in the folder of an emotion is; None where no table has it.

        Raises
        ------
        UserError
            The table beside the folder is damaged.
        """
        out = emotion_folder.parent
        if out not in self._tables:
            self._tables[out] = _read_table(out)
        row = self._tables[out].get(path.name)
        if row is None:
            return None
        return Crop(
            out / NETWORK_FOLDER / path.name,
            row[PHOTO_SHA256],
            _standard(from_text_cell(row[EMOTION])) != _standard(emotion_folder.name),
        )


def check_copies(paths: Iterable[Path], crops: Iterable[Crop | None]) -> None:
    """Check that each face is in one folder: a correction moves its file.

    Raises
    ------
    UserError
        A face is in two folders.
    """
    first: dict[Path, Path] = {}
    for path, crop in zip(paths, crops, strict=True):
        if crop and first.setdefault(crop.pixels, path) != path:
            raise UserError(
                f"{path}: the same face is in {first[crop.pixels].parent}; a face has one emotion: "
                "delete the wrong one of both files"
            )


def check_splits(photos: Iterable[str | None], splits: Iterable[str]) -> None:
    """Check that all faces of a photo are in one split.

    Parameters
    ----------
    photos : SHA-256 of the photo of each face, or None.
    splits : name of the split of each face.

    Raises
    ------
    UserError
        A photo has faces in two splits.
    """
    first: dict[str, str] = {}
    for photo, split in zip(photos, splits, strict=True):
        if photo and first.setdefault(photo, split) != split:
            raise UserError(
                f"the photo with the SHA-256 {photo} has faces in {first[photo]} and in {split}; "
                f"all faces of a photo belong into one split: delete those in the other (the "
                f"column {PHOTO_SHA256} of {TABLE} has their files)"
            )


def report_unsure(folders: Iterable[Path]) -> None:
    """Log how many faces nobody has sorted yet: they are left out."""
    for folder in folders:
        unsure = folder / UNSURE_FOLDER
        count = sum(1 for _ in unsure.glob("*.png")) if (folder / TABLE).is_file() else 0
        if count:
            logger.warning("%s: left out %d faces that are not sorted into emotions", unsure, count)


def is_part_of_tree(path: Path) -> bool:
    """Whether a file belongs to a tree of crops, but is no face in the folder of an emotion."""
    return path.name == TABLE or any(
        parent.name in (NETWORK_FOLDER, UNSURE_FOLDER) for parent in path.parents
    )


def _standard(emotion: str) -> str:
    key = emotion.strip().lower()
    return STANDARD.get(key, key)


def _read_table(out: Path) -> dict[str, dict[str, str]]:
    """The rows of a folder's table by the name of the face's file; none where there is no table."""
    path = out / TABLE
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            missing = [name for name in (FILE, PHOTO_SHA256, EMOTION) if name not in names]
            if not missing:
                # A last row that was not written whole has no last field.
                whole = (row for row in reader if row[names[-1]] is not None)
                return {from_text_cell(row[FILE]): row for row in whole}
    except csv.Error as error:
        raise UserError(f"{path}: {error}; restore the table that --crops has written") from None
    if (out / NETWORK_FOLDER).is_dir():
        raise UserError(
            f"{path}: no column {missing[0]}; restore the table that --crops has written, with "
            "commas between the columns"
        )
    return {}  # a table of something else
