"""Balancing strategies; a new one is a function here and a line in `STRATEGIES`."""

import math
from collections.abc import Callable

import numpy as np

from stages.balancing.augmentation import augmented_images
from stages.dataset.faces import EMOTIONS, SPLITS, TrainingSet
from stages.errors import UserError
from stages.parameters import Balance


def balance(images: np.ndarray, labels: np.ndarray, row: np.ndarray, how: Balance) -> TrainingSet:
    """Balance the classes by the strategy that `how` names.

    Every strategy but `undersample` keeps all originals, first and in order.

    Parameters
    ----------
    images : uint8 [N, 48, 48]
    labels : uint8 [N], 0 … 6
    row : int32 [N], rows of the faces in raw.csv, no row twice
    how : Balance
        Strategy, target, seed and ranges of the augmentation.

    Raises
    ------
    UserError
        An emotion has no face, and the strategy is not `none`.
    """
    originals = TrainingSet(images, labels, row, np.zeros(len(labels), dtype=bool))
    return STRATEGIES[how.strategy](originals, how)


def unchanged(originals: TrainingSet, how: Balance) -> TrainingSet:
    """The originals as they are."""
    return originals


def oversample(originals: TrainingSet, how: Balance) -> TrainingSet:
    """Add exact copies to the classes below `target` times the largest class."""
    source, _ = _sources(originals.labels, how)
    return originals.followed_by(originals.take(source))


def undersample(originals: TrainingSet, how: Balance) -> TrainingSet:
    """Draw at most (smallest class / `target`) faces of each class, and keep their order."""
    members = _members(originals.labels)
    limit = math.floor(min(map(len, members)) / how.target)
    kept = [
        np.random.default_rng([how.seed, label]).permutation(faces)[:limit]
        for label, faces in enumerate(members)
    ]
    return originals.take(np.sort(np.concatenate(kept)))


def augment(originals: TrainingSet, how: Balance) -> TrainingSet:
    """Add new images to the classes below `target` times the largest class."""
    source, copy = _sources(originals.labels, how)
    added = originals.take(source)
    images = augmented_images(added.images, added.row, copy, how.seed, how.augmentation)
    return originals.followed_by(
        TrainingSet(images, added.labels, added.row, np.ones(len(source), dtype=bool))
    )


STRATEGIES: dict[str, Callable[[TrainingSet, Balance], TrainingSet]] = {
    "none": unchanged,
    "oversample": oversample,
    "undersample": undersample,
    "augment": augment,
}


def _members(labels: np.ndarray) -> list[np.ndarray]:
    """Indices of each emotion's faces."""
    members = [np.flatnonzero(labels == label) for label in range(len(EMOTIONS))]
    missing = [EMOTIONS[label] for label, faces in enumerate(members) if not len(faces)]
    if missing:
        raise UserError(
            f"balance: no face of {', '.join(missing)} in {SPLITS[0]}; every emotion needs at "
            "least one; add faces to the dataset or set balance.strategy to none"
        )
    return members


def _sources(labels: np.ndarray, how: Balance) -> tuple[np.ndarray, np.ndarray]:
    """Choose the original of each added face, and number the faces made of one original.

    Within a class, each original is used k or k + 1 times. Which ones are used k + 1 times depends
    on the seed and the class alone.

    Returns
    -------
    source, copy : int64 [A]
        Index of the original, and the number of the face among those of this original, from 1;
        class after class.
    """
    members = _members(labels)
    wanted = math.ceil(max(map(len, members)) * how.target)
    sources, copies = [], []
    for label, faces in enumerate(members):
        added = np.arange(max(wanted - len(faces), 0))
        shuffled = np.random.default_rng([how.seed, label]).permutation(faces)
        sources.append(shuffled[added % len(faces)])
        copies.append(1 + added // len(faces))
    return np.concatenate(sources), np.concatenate(copies)


def counts_per_emotion(labels: np.ndarray) -> dict[str, int]:
    """Number of faces of each emotion."""
    counts = np.bincount(labels, minlength=len(EMOTIONS)).tolist()
    return dict(zip(EMOTIONS, counts, strict=True))
