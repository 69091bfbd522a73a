"""Random augmentation of the training images, drawn anew in every epoch.

Flip, rotation, scale, shift and the resizing to the training resolution are one
affine map per image: a tenth of the cost of the same steps one after the other,
and one interpolation instead of several.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from stages.parameters import TrainAugmentation


def batches(
    images: np.ndarray,
    targets: np.ndarray,
    class_weights: np.ndarray,
    augmentation: TrainAugmentation | None,
    size: int,
    batch_size: int,
    seed: tuple[int, ...],
    sample_weights: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield one epoch of shuffled, augmented batches.

    Parameters
    ----------
    images : uint8 [N, H, H]
    targets : float32 [N, C]
        One-hot or soft labels.
    class_weights : float32 [C]
        A sample's weight in the loss is the mean of these, weighted by its target.
    augmentation : TrainAugmentation or None
        None scales the images and changes nothing else.
    size : int
        Height and width of the yielded images.
    batch_size : int
        The batches are as even as possible and close to this.
    seed : tuple of int
        Seed of this epoch's random numbers, for instance (seed, epoch).
    sample_weights : float32 [N] or None
        Factors of the samples' weights; None: all are 1.

    Yields
    ------
    images float32 [B, size, size, 1] in 0 … 255, targets float32 [B, C], weights float32 [B].
    """
    rng = np.random.default_rng(seed)
    for rows in np.array_split(rng.permutation(len(images)), batch_count(len(images), batch_size)):
        labels = targets[rows]
        factors = None if sample_weights is None else sample_weights[rows]
        if augmentation is None:
            faces = resize(images[rows], size)
        else:
            faces = augment(images[rows], augmentation, size, rng)
        if augmentation and augmentation.mixup:
            share = np.float32(rng.beta(augmentation.mixup, augmentation.mixup))
            faces, labels = _mix(faces, share), _mix(labels, share)
            factors = None if factors is None else _mix(factors, share)
        weights = labels @ class_weights
        yield faces[..., None], labels, weights if factors is None else weights * factors


def batch_count(images: int, batch_size: int) -> int:
    """Batches in an epoch of `images`."""
    return max(1, round(images / batch_size))


def augment(
    images: np.ndarray, augmentation: TrainAugmentation, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Change each image at random.

    Parameters
    ----------
    images : uint8 [N, H, H]
    augmentation : TrainAugmentation
    size : int
        Height and width of the result.
    rng : numpy.random.Generator

    Returns
    -------
    float32 [N, size, size] in 0 … 255.
    """
    count = len(images)
    maps = _affine_maps(count, augmentation, images.shape[1], size, rng)
    faces = np.empty((count, size, size), np.float32)
    for image, face, matrix in zip(images, faces, maps, strict=True):
        face[:] = cv2.warpAffine(
            image,
            matrix,
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    for index in _chosen(count, augmentation.downscale, rng):
        _downscale(faces[index], rng)
    means = faces.mean(axis=(1, 2), keepdims=True)
    contrast = 1 + augmentation.contrast * rng.uniform(-1, 1, (count, 1, 1))
    brightness = 255 * augmentation.brightness * rng.uniform(-1, 1, (count, 1, 1))
    faces = ((faces - means) * contrast + means + brightness).clip(0, 255).astype(np.float32)
    for index in _chosen(count, augmentation.noise, rng):
        deviation = rng.uniform(0, 20)
        noise = rng.standard_normal(faces[index].shape, np.float32) * deviation
        faces[index] = (faces[index] + noise).clip(0, 255)
    for index in np.flatnonzero(rng.random(count) < augmentation.erasing):
        _erase(faces[index], rng)
    return faces


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Scale uint8 [N, H, H] to float32 [N, size, size], bilinear, as the served model does."""
    faces = images.astype(np.float32)
    return np.stack(
        [cv2.resize(face, (size, size), interpolation=cv2.INTER_LINEAR) for face in faces]
    )


def _affine_maps(
    count: int,
    augmentation: TrainAugmentation,
    height: int,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Maps float64 [N, 2, 3] from a pixel of the result to its place in the image."""
    angle = np.deg2rad(augmentation.rotation) * rng.uniform(-1, 1, count)
    scale = height / size * (1 + augmentation.scale * rng.uniform(-1, 1, count))
    shift = augmentation.shift * rng.uniform(-1, 1, (count, 2))
    mirror = np.where(rng.random(count) < augmentation.flip, -1.0, 1.0)
    linear = np.empty((count, 2, 2))
    linear[:, 0, 0] = scale * np.cos(angle) * mirror
    linear[:, 0, 1] = -scale * np.sin(angle)
    linear[:, 1, 0] = scale * np.sin(angle) * mirror
    linear[:, 1, 1] = scale * np.cos(angle)
    # The centre of the result is the centre of the image, plus the shift.
    offset = (height - 1) / 2 + shift - linear @ np.full(2, (size - 1) / 2)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _chosen(count: int, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Indices of the images that are changed; with probability 0, no random number is drawn."""
    return np.flatnonzero(rng.random(count) < probability) if probability else np.empty(0, int)


def _downscale(face: np.ndarray, rng: np.random.Generator) -> None:
    """Remove detail, as in a face that was small or out of focus in its photo."""
    size = len(face)
    small = round(size * rng.uniform(1 / 3, 1))
    shrunk = cv2.resize(face, (small, small), interpolation=cv2.INTER_AREA)
    face[:] = cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR)


def _erase(face: np.ndarray, rng: np.random.Generator) -> None:
    """Fill one rectangle with its image's mean: 2–20 % of the area, sides 1:2 to 2:1.

    After Zhong et al., Random Erasing Data Augmentation, 2017.
    """
    size = len(face)
    area, ratio = size**2 * rng.uniform(0.02, 0.2), np.exp(rng.uniform(-np.log(2), np.log(2)))
    height = min(size, max(1, round(np.sqrt(area * ratio))))
    width = min(size, max(1, round(np.sqrt(area / ratio))))
    top, left = rng.integers(size - height + 1), rng.integers(size - width + 1)
    face[top : top + height, left : left + width] = face.mean()


def _mix(batch: np.ndarray, share: np.float32) -> np.ndarray:
    """Mixup (Zhang et al. 2017): a batch is blended with its reverse."""
    return share * batch + (1 - share) * batch[::-1]
