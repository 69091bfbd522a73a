"""The faces of a dataset as arrays: the reader and writer of faces.npz and train.npz."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np

from recognizer.atomic_file import written_atomically
from stages.artifacts import write_arrays
from stages.errors import UserError

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Names of the labels 0 … 6."""

SPLITS = ("Training", "PublicTest", "PrivateTest")
"""Names of the splits 0, 1, 2."""

SIZE = 48
"""Height and width of a face in pixels."""


@dataclass(frozen=True)
class _Arrays:
    """Arrays of one length, stored as an .npz file with an array per field."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` has written.

        Raises
        ------
        UserError
            The file is missing or damaged, or lacks an array.
        """
        try:
            with np.load(path) as arrays:
                return cls(*(arrays[field.name] for field in fields(cls)))
        except FileNotFoundError:
            raise UserError(f"{path}: not found; run `dvc repro`, which makes it first") from None
        except (KeyError, ValueError, EOFError, BadZipFile) as error:
            raise UserError(f"{path}: {error.args[0]}; delete it and run `dvc repro`") from None

    def write(self, path: Path) -> None:
        """Write the file atomically; the same arrays give the same bytes."""
        with written_atomically(path) as temporary:
            write_arrays(temporary, **vars(self))

    def take(self, chosen: np.ndarray) -> Self:
        """The faces at these indices, or where this mask [N] is true."""
        return type(self)(*(array[chosen] for array in vars(self).values()))

    def followed_by(self, other: Self) -> Self:
        """These faces, then those of `other`."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return type(self)(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Faces(_Arrays):
    """The content of faces.npz: every valid face of a dataset, in the order of raw.csv."""

    images: np.ndarray
    """uint8 [N, 48, 48], grey levels."""
    labels: np.ndarray
    """uint8 [N], indices into EMOTIONS."""
    split: np.ndarray
    """uint8 [N], indices into SPLITS."""
    row: np.ndarray
    """int32 [N], line of raw.csv; the header is line 1."""
    copy_in_training: np.ndarray
    """bool [N], True for a test image that is a train–test duplicate: a valid Training row had the
    same pixels. That Training row is not among the faces."""

    def of_split(self, name: str) -> "Faces":
        """The faces of Training, PublicTest or PrivateTest."""
        return self.take(self.split == SPLITS.index(name))


@dataclass(frozen=True)
class TrainingSet(_Arrays):
    """The content of train.npz: the balanced faces of Training."""

    images: np.ndarray
    """uint8 [M, 48, 48], grey levels."""
    labels: np.ndarray
    """uint8 [M], indices into EMOTIONS."""
    row: np.ndarray
    """int32 [M], the row of raw.csv of the face or of its original."""
    augmented: np.ndarray
    """bool [M], True for a face made by augmentation, False for an original or an exact copy."""
