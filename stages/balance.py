"""Balance the emotions of the Training split: `python -m stages.balance DATASET`.

Reads `data/D/faces.npz`; writes `data/D/train.npz`, `metrics/D/balance.json` and, under
`metrics/D/plots/`, `balance.png` and `contact_sheet.png`. A new strategy is one function here
and one line in `STRATEGIES`.
"""

import logging
import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from matplotlib.figure import Figure
from tqdm import tqdm

from stages.artifacts import Artifacts, write_arrays, write_metrics, written_atomically
from stages.command_line import run
from stages.dataset.contact_sheet import contact_sheet
from stages.dataset.fer_csv import EMOTIONS, SPLITS
from stages.errors import UserError
from stages.parameters import Balance, BalanceAugmentation, Parameters

# Without it the import below asks a package index for news. Worker processes inherit it.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A  # noqa: N812

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSet:
    """Faces to train on, and where each one came from."""

    images: np.ndarray
    """uint8 [M, 48, 48], grey levels."""
    labels: np.ndarray
    """uint8 [M], indices into EMOTIONS."""
    row: np.ndarray
    """int32 [M], the row of raw.csv that the face is or was made from."""
    augmented: np.ndarray
    """bool [M], True where the pixels were made here; an exact copy counts as False."""

    def take(self, indices: np.ndarray) -> "TrainingSet":
        """The faces at `indices`, in that order."""
        return TrainingSet(
            self.images[indices], self.labels[indices], self.row[indices], self.augmented[indices]
        )

    def followed_by(self, other: "TrainingSet") -> "TrainingSet":
        """These faces, then those of `other`."""
        return TrainingSet(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.row, other.row]),
            np.concatenate([self.augmented, other.augmented]),
        )


def balance(images: np.ndarray, labels: np.ndarray, row: np.ndarray, how: Balance) -> TrainingSet:
    """Change how often each emotion occurs, by the strategy that `how` names.

    Every strategy but `undersample` keeps all originals, first and in order.

    Parameters
    ----------
    images : uint8 [N, 48, 48]
    labels : uint8 [N], 0 … 6
    row : int32 [N], the faces' rows in raw.csv, each one once
    how : strategy, target, seed and strengths of the augmentation

    Raises
    ------
    UserError
        An emotion has no face, so that no strategy but `none` can balance it.
    """
    originals = TrainingSet(images, labels, row, np.zeros(len(labels), dtype=bool))
    return STRATEGIES[how.strategy](originals, how)


# ---------------------------------------------------------------- strategies


def unchanged(originals: TrainingSet, how: Balance) -> TrainingSet:
    """The originals as they are."""
    return originals


def oversample(originals: TrainingSet, how: Balance) -> TrainingSet:
    """Add exact copies to the classes below `target` times the largest class."""
    source, _ = _sources(originals.labels, how)
    return originals.followed_by(originals.take(source))


def undersample(originals: TrainingSet, how: Balance) -> TrainingSet:
    """Draw at most smallest class / `target` faces of each class; the order stays."""
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
    """Which original each added face comes from, and the how-manieth of that original it is.

    Within a class every original is used k or k + 1 times; a draw that depends on the seed
    and the class alone decides which ones get the extra one.

    Returns
    -------
    source, copy : int64 [A]
        Class after class; copies count from 1.
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


# ---------------------------------------------------------------- augmentation


def augmentation(strengths: BalanceAugmentation) -> A.Compose:
    """The random change that makes a new face, for one uint8 [48, 48, 1] image."""
    return A.Compose(
        [
            A.HorizontalFlip(p=strengths.flip),
            A.Affine(
                rotate=(-strengths.rotation, strengths.rotation),
                translate_percent=(-strengths.shift, strengths.shift),
                scale=(1 - strengths.scale, 1 + strengths.scale),
                keep_ratio=True,
                border_mode=cv2.BORDER_REFLECT_101,
                p=1,
            ),
            A.RandomBrightnessContrast(
                brightness_limit=(-strengths.brightness, strengths.brightness),
                contrast_limit=(-strengths.contrast, strengths.contrast),
                p=1,
            ),
            A.OneOf(
                [A.GaussNoise(std_range=(0.01, 0.02)), A.GaussianBlur(sigma_limit=(0.3, 0.7))],
                p=strengths.noise,
            ),
            A.Erasing(scale=(0.02, 0.1), fill="random_uniform", p=strengths.erasing),
        ]
    )


def augmented_images(
    images: np.ndarray,
    row: np.ndarray,
    copy: np.ndarray,
    seed: int,
    strengths: BalanceAugmentation,
    chunk_size: int = 2000,
) -> np.ndarray:
    """Change each image at random, its randomness drawn from (seed, row, copy) alone.

    The chunks run wherever `joblib.parallel_config` says; the result does not depend on it,
    nor on `chunk_size`.

    Parameters
    ----------
    images : uint8 [A, 48, 48]
    row, copy : integers [A], which original and the how-manieth image made of it

    Returns
    -------
    uint8 [A, 48, 48]
    """
    chunks = [slice(start, start + chunk_size) for start in range(0, len(images), chunk_size)]
    # A process takes longer to start than a chunk to run, so none starts for one chunk alone.
    workers = max(1, min(len(chunks), effective_n_jobs(None)))
    done = Parallel(workers, return_as="generator")(
        delayed(_augment_chunk)(images[chunk], row[chunk], copy[chunk], seed, strengths)
        for chunk in chunks
    )
    result = np.empty_like(images)
    with tqdm(total=len(images), desc="augment", unit="image", disable=None) as progress:
        for chunk, changed in zip(chunks, done, strict=True):
            result[chunk] = changed
            progress.update(len(changed))
    return result


def _augment_chunk(
    images: np.ndarray,
    row: np.ndarray,
    copy: np.ndarray,
    seed: int,
    strengths: BalanceAugmentation,
) -> np.ndarray:
    cv2.setNumThreads(0)
    change = augmentation(strengths)
    result = np.empty_like(images)
    for index, image in enumerate(images):
        entropy = np.random.SeedSequence([seed, int(row[index]), int(copy[index])])
        # Not set_random_seed: it starts every transform at the same number, so that the faces
        # that get noise would be among those that are flipped. This shares one stream.
        change.set_random_state(
            np.random.default_rng(entropy),
            random.Random(int(entropy.generate_state(1, np.uint64)[0])),
        )
        result[index] = change(image=image[:, :, np.newaxis])["image"][:, :, 0]
    return result


# ---------------------------------------------------------------- what was done


def counts_per_emotion(labels: np.ndarray) -> dict[str, int]:
    """How many faces each emotion has."""
    counts = np.bincount(labels, minlength=len(EMOTIONS)).tolist()
    return dict(zip(EMOTIONS, counts, strict=True))


def balance_metrics(before: dict[str, int], after: dict[str, int]) -> dict:
    """The content of balance.json; a ratio is the smallest class over the largest one."""
    return {
        "before": before,
        "after": after,
        "added": sum(max(after[emotion] - before[emotion], 0) for emotion in EMOTIONS),
        "removed": sum(max(before[emotion] - after[emotion], 0) for emotion in EMOTIONS),
        "ratio_before": min(before.values()) / max(before.values()),
        "ratio_after": min(after.values()) / max(after.values()),
    }


def balance_chart(metrics: dict) -> Figure:
    """Two bars per emotion, before and after, from what `balance_metrics` returns."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(EMOTIONS))
    for offset, counts, name, colour in [
        (-0.2, metrics["before"], "before", "#9aa5b1"),
        (0.2, metrics["after"], "after", "#1f6fb2"),
    ]:
        bars = axes.bar(place + offset, list(counts.values()), 0.38, label=name, color=colour)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=2)
    axes.set_xticks(place, EMOTIONS)
    axes.set_ylabel("faces in Training")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(
        "Smallest over largest class: "
        f"{metrics['ratio_before']:.2f} before, {metrics['ratio_after']:.2f} after",
        loc="left",
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


# ---------------------------------------------------------------- the stage


def main(dataset: str, parameters: Parameters) -> None:
    """Balance one dataset's Training split."""
    files = Artifacts(dataset)
    images, labels, row = _read_training(files.data / "faces.npz", dataset)
    how = parameters.balance
    log.info("balance: %d faces, strategy %s", len(labels), how.strategy)
    # All cores, unless whoever calls the core configures joblib otherwise.
    with parallel_config(n_jobs=-1):
        balanced = balance(images, labels, row, how)

    with written_atomically(files.data / "train.npz") as temporary:
        write_arrays(
            temporary,
            images=balanced.images,
            labels=balanced.labels,
            row=balanced.row,
            augmented=balanced.augmented,
        )
    metrics = balance_metrics(counts_per_emotion(labels), counts_per_emotion(balanced.labels))
    write_metrics(files.metrics / "balance.json", metrics)
    with written_atomically(files.plots / "balance.png") as temporary:
        balance_chart(metrics).savefig(temporary, dpi=120)
    with written_atomically(files.plots / "contact_sheet.png") as temporary:
        contact_sheet(balanced.images, balanced.labels, balanced.row, balanced.augmented).savefig(
            temporary
        )
    log.info(
        "balance: %d faces added, %d removed; smallest over largest class %.3f -> %.3f",
        metrics["added"],
        metrics["removed"],
        metrics["ratio_before"],
        metrics["ratio_after"],
    )


def _read_training(path: Path, dataset: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels and rows of the Training split."""
    try:
        with np.load(path) as faces:
            training = faces["split"] == SPLITS.index("Training")
            images, labels, row = (faces[name][training] for name in ("images", "labels", "row"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found; make it with `python -m stages.validate {dataset}`"
        ) from None
    if not len(labels):
        raise UserError(
            f"{path}: no face of split Training; check the dataset that stages.fetch brought"
        )
    return images, labels, row


if __name__ == "__main__":
    run(main, "Balance the emotions of a dataset's Training split.")
