"""faces.npz and train.npz as the stages before leave them, of a few given faces."""

from pathlib import Path

import numpy as np

from stages.dataset.faces import Faces, TrainingSet


def write_faces(path: Path, images: np.ndarray, labels: np.ndarray, split: np.ndarray) -> None:
    """Write faces.npz: uint8 [N, 48, 48], [N] and [N], on the lines from 2 on, no duplicates."""
    count = len(labels)
    row = np.arange(2, count + 2, dtype=np.int32)
    Faces(images, labels, split, row, np.zeros(count, bool)).write(path)


def write_training_set(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write train.npz: uint8 [N, 48, 48] and [N], none of them augmented."""
    count = len(labels)
    row = np.arange(2, count + 2, dtype=np.int32)
    TrainingSet(images, labels, row, np.zeros(count, bool)).write(path)
