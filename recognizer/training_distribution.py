"""What the faces were like that a model was trained on, to see whether served faces differ.

`export` measures the faces of Training and writes the result into the metadata of model.onnx. The
server measures the crops that it classifies by the same functions.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

BRIGHTNESS_BINS = tuple(range(16, 256, 16))
"""Upper edges in grey levels, 0 … 255."""

CONTRAST_BINS = tuple(range(10, 120, 10))
"""Upper edges in grey levels; a standard deviation of levels is at most 127.5."""


@dataclass(frozen=True)
class Bin:
    """A point of a cumulative distribution."""

    up_to: float
    """Upper edge."""
    share: float
    """Share of the faces with at most this value, 0 … 1."""


@dataclass(frozen=True)
class TrainingDistribution:
    """Distributions over the faces of Training, before balancing."""

    faces: int
    emotion_shares: dict[str, float]
    """By label, in the order of the labels."""
    brightness: tuple[Bin, ...]
    contrast: tuple[Bin, ...]


def brightness(faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean grey level, 0 … 255, of each face of uint8 [N, H, W]."""
    levels: NDArray[np.float64] = faces.sum(axis=(1, 2), dtype=np.int64) / _pixels(faces)
    return levels


def contrast(faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The standard deviation of the grey levels, 0 … 127.5, of each face of uint8 [N, H, W].

    The sums are of integers and therefore exact: every processor computes the same.
    """
    pixels = _pixels(faces)
    sums = faces.sum(axis=(1, 2), dtype=np.int64)
    squares = np.einsum("nij,nij->n", faces, faces, dtype=np.int64, casting="safe")
    deviations: NDArray[np.float64] = np.sqrt(pixels * squares - sums**2) / pixels
    return deviations


def _pixels(faces: NDArray[np.uint8]) -> int:
    return int(faces.shape[1] * faces.shape[2])


def measure(
    faces: NDArray[np.uint8], labels: NDArray[np.uint8], emotions: Sequence[str]
) -> TrainingDistribution:
    """Measure faces uint8 [N, H, W] with their labels uint8 [N], indices into `emotions`."""
    shares = np.bincount(labels, minlength=len(emotions)) / len(labels)
    return TrainingDistribution(
        faces=len(faces),
        emotion_shares={
            emotion: round(float(share), 4) for emotion, share in zip(emotions, shares, strict=True)
        },
        brightness=_cumulative(brightness(faces), BRIGHTNESS_BINS),
        contrast=_cumulative(contrast(faces), CONTRAST_BINS),
    )


def _cumulative(values: NDArray[np.float64], edges: Sequence[float]) -> tuple[Bin, ...]:
    return tuple(Bin(edge, round(float(np.mean(values <= edge)), 4)) for edge in edges)


def parse(text: str, labels: Sequence[str]) -> TrainingDistribution:
    """Read the JSON of a model file's metadata; raise ValueError where it has another form."""
    document = json.loads(text, parse_int=float)
    try:
        return TrainingDistribution(
            faces=int(document["faces"]),
            emotion_shares={label: _share(document["emotion_shares"][label]) for label in labels},
            brightness=_bins(document["brightness"]),
            contrast=_bins(document["contrast"]),
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _bins(points: Iterable[Mapping[str, float]]) -> tuple[Bin, ...]:
    bins = tuple(Bin(point["up_to"], _share(point["share"])) for point in points)
    edges = [each.up_to for each in bins]
    if edges != sorted(set(edges)) or not all(map(isfinite, edges)):
        raise ValueError("the edges do not ascend")
    return bins


def _share(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("not a share")
    return value
