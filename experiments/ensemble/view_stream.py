"""Views of the training faces, made ahead by processes while the accelerator trains."""

import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from stages.parameters import TrainAugmentation
from stages.training.views import View, make_view

_images: np.ndarray
"""Of this process; a process gets the faces once."""


def views(
    images: np.ndarray, augmentation: TrainAugmentation, seed: int, count: int, processes: int
) -> Iterator[View]:
    """Yield views 0 … count - 1, each by `make_view` with the seed (seed, number)."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(
            processes, get_context("spawn"), initializer=_keep, initargs=(images,)
        ) as pool,
    ):
        pending: deque[Future[Path]] = deque()
        for number in range(count):
            file = Path(folder, f"{number}.npz")
            pending.append(pool.submit(_write, augmentation, (seed, number), file))
            if len(pending) > 2 * processes:
                yield _taken(pending.popleft())
        while pending:
            yield _taken(pending.popleft())


def _taken(file: Future[Path]) -> View:
    with np.load(file.result()) as stored:
        view = View(stored["images"], stored["others"], stored["shares"])
    file.result().unlink()
    return view


def _keep(images: np.ndarray) -> None:
    global _images
    cv2.setNumThreads(0)
    _images = images


def _write(augmentation: TrainAugmentation, seed: tuple[int, ...], file: Path) -> Path:
    view = make_view(_images, augmentation, seed)
    np.savez(file, images=view.images, others=view.others, shares=view.shares)
    return file
