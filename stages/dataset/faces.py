"""The faces of a dataset as arrays: the reader and writer of faces.npz and train.npz."""

from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np

from recognizer.atomic_file import written_atomically
from stages.artifacts import write_arrays
from stages.dataset import fer2013
from stages.errors import UserError

SPLITS = ("Training", "PublicTest", "PrivateTest")
"""Names of the splits 0, 1, 2."""

SIZE = 48
"""Height and width of a face in pixels."""


@dataclass(frozen=True)
class _Arrays:
    """Arrays of one length and the names of their labels, stored as an .npz file.

    The file has an array per field, and no array for a field with its default.
    """

    emotions: tuple[str, ...] = field(default=fer2013.EMOTIONS, kw_only=True)
    """Names of the labels 0 … C - 1."""
    votes: np.ndarray | None = field(default=None, kw_only=True)
    """uint8 [N, C], how many people chose each emotion; None where nobody voted."""
    corrected: np.ndarray | None = field(default=None, kw_only=True)
    """bool [N], whether a person has corrected a predicted emotion; None where nobody has."""

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
                found: dict[str, Any] = {
                    one.name: arrays[one.name]
                    for one in fields(cls)
                    if one.default is MISSING or one.name in arrays
                }
        except FileNotFoundError:
            raise UserError(f"{path}: not found; run `dvc repro`, which makes it first") from None
        except (KeyError, ValueError, EOFError, BadZipFile) as error:
            raise UserError(f"{path}: {error.args[0]}; delete it and run `dvc repro`") from None
        if "emotions" in found:
            found["emotions"] = tuple(found["emotions"].tolist())
        return cls(**found)

    def write(self, path: Path) -> None:
        """Write the file atomically; the same arrays give the same bytes."""
        arrays = self._per_face()
        if self.emotions != fer2013.EMOTIONS:
            arrays["emotions"] = np.array(self.emotions)
        with written_atomically(path) as temporary:
            write_arrays(temporary, **arrays)

    def take(self, chosen: np.ndarray) -> Self:
        """The faces at these indices, or where this mask [N] is true."""
        return self._with({name: array[chosen] for name, array in self._per_face().items()})

    def followed_by(self, other: Self) -> Self:
        """These faces, then those of `other`."""
        others = other._per_face()
        return self._with(
            {name: np.concatenate([one, others[name]]) for name, one in self._per_face().items()}
        )

    def _with(self, arrays: dict[str, Any]) -> Self:
        return replace(self, **arrays)

    def _per_face(self) -> dict[str, np.ndarray]:
        return {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}


@dataclass(frozen=True)
class Faces(_Arrays):
    """The content of faces.npz: every valid face of a dataset, in the order of raw.csv."""

    images: np.ndarray
    """uint8 [N, 48, 48], grey levels."""
    labels: np.ndarray
    """uint8 [N], indices into `emotions`."""
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
    """uint8 [M], indices into `emotions`."""
    row: np.ndarray
    """int32 [M], the row of raw.csv of the face or of its original."""
    augmented: np.ndarray
    """bool [M], True for a face made by augmentation, False for an original or an exact copy."""
