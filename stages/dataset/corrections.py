"""Crops that `python -m recognizer PHOTOS --crops OUT` wrote and a person has sorted.

recognizer/crop_tree.py describes OUT. A face whose folder is not that of its predicted emotion was
corrected; so was a face of `_unsure` that is in an emotion's folder now.
"""

import csv
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recognizer.crop_tree import (
    EMOTION,
    FILE,
    NETWORK_FOLDER,
    PHOTO,
    PHOTO_SHA256,
    TABLE,
    UNSURE_FOLDER,
)
from recognizer.csv_cells import from_text_cell
from recognizer.printable import printable
from recognizer.regular_file import read_regular_file
from stages.dataset.labels import STANDARD
from stages.errors import UserError
from stages.wording import numbered

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crop:
    """A face that has a row in a table of crops."""

    pixels: Path
    """The file of the face as the network saw it; it may be missing."""
    photo: str
    """SHA-256 of the photo, in hexadecimal digits."""
    photo_path: str
    """Path of the photo, as the table has it; empty where it has none."""
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
            from_text_cell(row.get(PHOTO) or ""),
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


def check_splits(crops: Iterable[Crop | None], splits: Iterable[str]) -> None:
    """Check that all faces of a photo are in one split.

    Parameters
    ----------
    crops : row in a table of crops of each face, or None.
    splits : name of the split of each face.

    Raises
    ------
    UserError
        A photo has faces in two splits.
    """
    first: dict[str, str] = {}
    for crop, split in zip(crops, splits, strict=True):
        if crop and crop.photo and first.setdefault(crop.photo, split) != split:
            name = printable(crop.photo_path) or f"with the SHA-256 {crop.photo}"
            raise UserError(
                f"the photo {name} has faces in {first[crop.photo]} and in {split}; all faces of "
                f"a photo belong into one split: delete those in the other (the rows of {TABLE} "
                f"with the {PHOTO_SHA256} {crop.photo} have their files)"
            )


def check_equal_files(
    paths: Sequence[Path], crops: Sequence[Crop | None], splits: Sequence[str]
) -> None:
    """Check that no file is a copy of a crop in another split, or one that is in no table.

    The network's pixels are read for the crop, others for its copy: validate sees two faces.

    Parameters
    ----------
    paths : file of each face at its own size.
    crops : row in a table of crops of each face, or None.
    splits : name of the split of each face.

    Raises
    ------
    UserError
        There is such a copy.
    """
    faces = list(zip(paths, crops, splits, strict=True))
    sizes = {_size(path) for path, crop, _ in faces if crop}
    if not sizes:
        return
    first: dict[bytes, tuple[Path, str]] = {}
    for path, crop, split in sorted(faces, key=lambda face: face[1] is None):  # the crops first
        digest = _digest(path) if _size(path) in sizes else None
        if digest is None:
            continue
        other, split_of_other = first.get(digest, (path, split))
        if other != path and (crop is None or split != split_of_other):
            raise UserError(
                f"{path}: a copy of {other}, a face that --crops has written; training and test "
                "must not share a face: delete one of both files"
            )
        if crop:
            first.setdefault(digest, (path, split))


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _digest(path: Path) -> bytes | None:
    """SHA-256 of a file; None where it cannot be read, which is reported later."""
    try:
        return hashlib.sha256(read_regular_file(path)).digest()
    except OSError:
        return None


def report_unsure(folders: Iterable[Path]) -> None:
    """Log how many faces nobody has sorted yet: they are left out."""
    for folder in folders:
        unsure = folder / UNSURE_FOLDER
        count = sum(1 for _ in unsure.glob("*.png")) if (folder / TABLE).is_file() else 0
        if count:
            verb = "is" if count == 1 else "are"
            faces = numbered(count, "face")
            logger.warning("%s: left out %s that %s not sorted into emotions", unsure, faces, verb)


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
