"""Views of the training faces: augmented as they are served, 48×48 pixels of 8 bits.

A view is made again from its seed, so that teachers can predict it in one process or epoch and the
student can learn it in another.
"""

from dataclasses import dataclass

import numpy as np

from stages.dataset.faces import SIZE
from stages.parameters import TrainAugmentation
from stages.training.augmentation import augment

CHUNK = 4096
"""Faces that are augmented at once."""


@dataclass(frozen=True)
class View:
    """Each training face augmented once, and mixed with another where mixup is on."""

    images: np.ndarray
    """uint8 [N, 48, 48]."""
    others: np.ndarray
    """int [N], the face that each is mixed with."""
    shares: np.ndarray
    """float32 [N], 0.5 … 1: the face's own share; 1 where mixup is off."""

    def mixed(self, values: np.ndarray) -> np.ndarray:
        """Values of the faces, float32 [N, …], mixed as the images are."""
        return _mix(values, self.others, self.shares)


def make_view(images: np.ndarray, augmentation: TrainAugmentation, seed: tuple[int, ...]) -> View:
    """Augment each face once, and mix it with another where mixup is on.

    Parameters
    ----------
    images : uint8 [N, 48, 48]
    augmentation : TrainAugmentation
        `mixup` draws a share for each face.
    seed : tuple of int
        Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    chunks = [slice(start, start + CHUNK) for start in range(0, len(images), CHUNK)]
    views = np.concatenate([augment(images[chunk], augmentation, SIZE, rng) for chunk in chunks])
    others, shares = np.arange(len(images)), np.ones(len(images), np.float32)
    if augmentation.mixup:
        others = rng.permutation(len(images))
        drawn = rng.beta(augmentation.mixup, augmentation.mixup, len(images))
        # Each face has the larger share in its own view.
        shares = np.maximum(drawn, 1 - drawn).astype(np.float32)
        views = _mix(views, others, shares)
    return View(np.rint(views).astype(np.uint8), others, shares)


def _mix(values: np.ndarray, others: np.ndarray, shares: np.ndarray) -> np.ndarray:
    own = shares.reshape(-1, *[1] * (values.ndim - 1))
    return own * values + (1 - own) * values[others]
