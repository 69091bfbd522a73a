"""Balancing strategies; a new one is a function here and a line in `STRATEGIES`."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stages.balancing.augmentation import augmented_images
from stages.dataset.faces import SPLITS, Faces, TrainingSet
from stages.errors import UserError
from stages.parameters import Balance


def balance(faces: Faces, how: Balance) -> TrainingSet:
    """Balance the classes by the strategy that `how` names.

    Every strategy but `undersample` keeps all originals, first and in order.

    Parameters
    ----------
    faces : Faces
        Of Training.
    how : Balance
        Strategy, target, seed and ranges of the augmentation.

    Raises
    ------
    UserError
        An emotion has no face, and the strategy is not `none`.
    """
    originals = TrainingSet(
        faces.images,
        faces.labels,
        faces.row,
        np.zeros(len(faces.labels), dtype=bool),
        emotions=faces.emotions,
        votes=faces.votes,
        corrected=faces.corrected,
    )
    return STRATEGIES[how.strategy](originals, how)


def unchanged(originals: TrainingSet, how: Balance) -> TrainingSet:
    """The originals as they are."""
    return originals


def oversample(originals: TrainingSet, how: Balance) -> TrainingSet:
    """Add exact copies to the classes below `target` times the largest class."""
    source, _ = _sources(originals, how)
    return originals.followed_by(originals.take(source))


def undersample(originals: TrainingSet, how: Balance) -> TrainingSet:
    """Draw at most (smallest class / `target`) faces of each class, and keep their order."""
    members = _members(originals)
    limit = math.floor(min(map(len, members)) / how.target)
    kept = [
        np.random.default_rng([how.seed, label]).permutation(faces)[:limit]
        for label, faces in enumerate(members)
    ]
    return originals.take(np.sort(np.concatenate(kept)))


def augment(originals: TrainingSet, how: Balance) -> TrainingSet:
    """Add new images to the classes below `target` times the largest class."""
    source, copy = _sources(originals, how)
    added = originals.take(source)
    images = augmented_images(added.images, added.row, copy, how.seed, how.augmentation)
    return originals.followed_by(
        replace(added, images=images, augmented=np.ones(len(source), dtype=bool))
    )


STRATEGIES: dict[str, Callable[[TrainingSet, Balance], TrainingSet]] = {
    "none": unchanged,
    "oversample": oversample,
    "undersample": undersample,
    "augment": augment,
}


def _members(originals: TrainingSet) -> list[np.ndarray]:
    """Indices of each emotion's faces."""
    emotions = originals.emotions
    members = [np.flatnonzero(originals.labels == label) for label in range(len(emotions))]
    missing = [emotions[label] for label, faces in enumerate(members) if not len(faces)]
    if missing:
        raise UserError(
            f"balance: no face of {', '.join(missing)} in {SPLITS[0]}; every emotion needs at "
            "least one; add faces to the dataset or set balance.strategy to none"
        )
    return members


def _sources(originals: TrainingSet, how: Balance) -> tuple[np.ndarray, np.ndarray]:
    """Choose the original of each added face, and number the faces made of one original.

    Within a class, each original is used k or k + 1 times. Which ones are used k + 1 times depends
    on the seed and the class alone.

    Returns
    -------
    source, copy : int64 [A]
        Index of the original, and the number of the face among those of this original, from 1;
        class after class.
    """
    members = _members(originals)
    wanted = math.ceil(max(map(len, members)) * how.target)
    sources, copies = [], []
    for label, faces in enumerate(members):
        added = np.arange(max(wanted - len(faces), 0))
        shuffled = np.random.default_rng([how.seed, label]).permutation(faces)
        sources.append(shuffled[added % len(faces)])
        copies.append(1 + added // len(faces))
    return np.concatenate(sources), np.concatenate(copies)


def counts_per_emotion(faces: Faces | TrainingSet) -> dict[str, int]:
    """Number of faces of each emotion."""
    counts = np.bincount(faces.labels, minlength=len(faces.emotions)).tolist()
    return dict(zip(faces.emotions, counts, strict=True))
