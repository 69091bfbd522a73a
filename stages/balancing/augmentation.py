"""New faces from given ones by random transforms of albumentations."""

import os
import random

import cv2
import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from tqdm import tqdm

from stages.parameters import BalanceAugmentation

# Albumentations looks for a new version when it is imported. Worker processes inherit the setting.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A  # noqa: N812


def augmentation(ranges: BalanceAugmentation) -> A.Compose:
    """Build the random transform of one uint8 [48, 48, 1] image."""
    return A.Compose(
        [
            A.HorizontalFlip(p=ranges.flip),
            A.Affine(
                rotate=(-ranges.rotation, ranges.rotation),
                translate_percent=(-ranges.shift, ranges.shift),
                scale=(1 - ranges.scale, 1 + ranges.scale),
                keep_ratio=True,
                border_mode=cv2.BORDER_REFLECT_101,
                p=1,
            ),
            A.RandomBrightnessContrast(
                brightness_limit=(-ranges.brightness, ranges.brightness),
                contrast_limit=(-ranges.contrast, ranges.contrast),
                p=1,
            ),
            A.OneOf(
                [A.GaussNoise(std_range=(0.01, 0.02)), A.GaussianBlur(sigma_limit=(0.3, 0.7))],
                p=ranges.noise,
            ),
            A.Erasing(scale=(0.02, 0.1), fill="random_uniform", p=ranges.erasing),
        ]
    )


def augmented_images(
    images: np.ndarray,
    row: np.ndarray,
    copy: np.ndarray,
    seed: int,
    ranges: BalanceAugmentation,
    chunk_size: int = 2000,
) -> np.ndarray:
    """Transform each image at random; its random numbers depend on (seed, row, copy) alone.

    `joblib.parallel_config` sets the workers. The result depends neither on them nor on
    `chunk_size`.

    Parameters
    ----------
    images : uint8 [A, 48, 48]
    row, copy : integers [A]
        The row of the original in raw.csv, and the number of the image among those made from it.

    Returns
    -------
    uint8 [A, 48, 48]
    """
    chunks = [slice(start, start + chunk_size) for start in range(0, len(images), chunk_size)]
    # Starting a process takes longer than one chunk.
    workers = max(1, min(len(chunks), effective_n_jobs(None)))
    done = Parallel(workers, return_as="generator")(
        delayed(_augment_chunk)(images[chunk], row[chunk], copy[chunk], seed, ranges)
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
    ranges: BalanceAugmentation,
) -> np.ndarray:
    cv2.setNumThreads(0)
    change = augmentation(ranges)
    result = np.empty_like(images)
    for index, image in enumerate(images):
        entropy = np.random.SeedSequence([seed, int(row[index]), int(copy[index])])
        # set_random_seed would give every transform the same seed, and correlate their decisions.
        # Here all transforms share one stream of random numbers.
        change.set_random_state(
            np.random.default_rng(entropy),
            random.Random(int(entropy.generate_state(1, np.uint64)[0])),
        )
        result[index] = change(image=image[:, :, np.newaxis])["image"][:, :, 0]
    return result
