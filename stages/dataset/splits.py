"""Splits that a source lacks, drawn from its Training images."""

import logging
from collections import Counter

import numpy as np

from stages.dataset.faces import SPLITS
from stages.errors import UserError
from stages.parameters import Draw
from stages.wording import numbered

logger = logging.getLogger(__name__)


def draw_missing(
    splits: list[str], emotions: list[str], persons: list[str] | None, draw: Draw
) -> list[str]:
    """Draw the splits without an image from Training, the same for the same seed.

    Each emotion gives the same share of its images (stratified). Where persons are known, all
    images of a person stay in one split.

    Parameters
    ----------
    splits : list of N names, Training for what has no split.
    emotions : list of N names.
    persons : list of N names, or None where they are not known.
    draw : Draw

    Returns
    -------
    list of N names of splits; `splits` itself where none is missing.

    Raises
    ------
    UserError
        An emotion has too few images, or too few persons, for each split to get one.
    """
    names = np.array(splits, dtype=object)
    drawn = names.copy()
    shares = {"PublicTest": draw.validation, "PrivateTest": draw.test}
    missing = [split for split in SPLITS[1:] if split not in splits]
    for number, split in enumerate(missing):
        left = np.flatnonzero(drawn == "Training")
        # The share is one of the Training images that the source has.
        share = shares[split] / (1 - sum(shares[earlier] for earlier in missing[:number]))
        labels = [emotions[index] for index in left]
        if persons is None:
            chosen = _by_emotion(labels, share, draw.seed, len(missing) - number)
        else:
            chosen = _by_person(labels, [persons[index] for index in left], share, draw.seed)
        drawn[left[chosen]] = split
        logger.info(
            "the source has no %s: drew %d of %s of Training, stratified by emotion%s, "
            "with seed %d",
            split,
            len(chosen),
            numbered(len(left), "image"),
            "" if persons is None else " and grouped by person",
            draw.seed,
        )
    return drawn.tolist() if missing else splits


def _by_emotion(labels: list[str], share: float, seed: int, splits: int) -> np.ndarray:
    chosen = []
    for number, (emotion, count) in enumerate(sorted(Counter(labels).items())):
        if count <= splits:
            raise UserError(
                f"{emotion}: {numbered(count, 'image')}, but at least {splits + 1} are needed to "
                f"draw {numbered(splits, 'split')}: each needs one, and Training too; add images, "
                "or leave the emotion out with `labels`"
            )
        images = np.flatnonzero(np.array(labels) == emotion)
        order = np.random.default_rng([seed, splits, number]).permutation(images)
        chosen.append(order[: max(1, round(share * count))])
    return np.sort(np.concatenate(chosen))


def _by_person(labels: list[str], persons: list[str], share: float, seed: int) -> np.ndarray:
    # Imported here: it takes a second, and only images with persons need it.
    from sklearn.model_selection import StratifiedGroupKFold

    folds = max(2, round(1 / share))
    count = len(set(persons))
    if count < folds:
        raise UserError(
            f"{numbered(count, 'person')}, and a share of {share:.2g} of them is drawn: at least "
            f"{folds} are needed; add images of others, or draw a larger share"
        )
    emotion, most = Counter(labels).most_common(1)[0]
    if most < folds:
        raise UserError(
            f"no emotion has {folds} images ({emotion} has {most}), and a share of {share:.2g} of "
            "them is drawn: add images, or draw a larger share"
        )
    folding = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    left, chosen = next(folding.split(labels, labels, persons))
    for emotion in sorted(set(labels)):
        for part in (left, chosen):
            if emotion not in {labels[index] for index in part}:
                raise UserError(
                    f"{emotion}: its images are of too few persons for each split to get one; add "
                    "images of others, or leave the emotion out with `labels`"
                )
    return chosen
