"""Faces for tests, and faces.npz and train.npz of given faces."""

from pathlib import Path

import cv2
import numpy as np

from stages.dataset.faces import Faces, TrainingSet


def random_faces(labels, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth random images, the labels, and rows that are neither in order nor without gaps."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (len(labels), 6, 6), dtype=np.uint8)
    images = np.array([cv2.resize(image, (48, 48)) for image in coarse], dtype=np.uint8)
    row = rng.choice(10 * len(labels), len(labels), replace=False).astype(np.int32)
    return images.reshape(-1, 48, 48), np.array(labels, dtype=np.uint8), row


def training_faces(images: np.ndarray, labels: np.ndarray, row: np.ndarray, **others) -> Faces:
    """What `random_faces` returns, as the faces of Training."""
    nothing = np.zeros(len(labels), dtype=np.uint8)
    return Faces(images, labels, nothing, row, nothing.astype(bool), **others)


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
