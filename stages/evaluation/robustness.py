"""Accuracy on corrupted faces: eight corruptions at five severities each.

After Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, 2019; the corruptions are those of FER-C (arXiv 2312.11542).
"""

from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from recognizer.classifier import Classifier
from stages.dataset.faces import SIZE

SEVERITIES = 5


def noise(face: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise, standard deviation 5 … 40 grey levels."""
    deviation = (5, 10, 20, 30, 40)[severity]
    return _grey_levels(face + rng.normal(0, deviation, face.shape))


def blur(face: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur, standard deviation 0.5 … 3 pixels."""
    return cv2.GaussianBlur(face, (0, 0), (0.5, 1, 1.5, 2, 3)[severity])


def jpeg(face: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """JPEG compression, quality 60 … 8."""
    quality = (60, 40, 25, 15, 8)[severity]
    _, coded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return decoded


def brightness(face: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """20 … 100 grey levels brighter or darker, at random."""
    return _grey_levels(face + rng.choice((-1, 1)) * (20.0, 40, 60, 80, 100)[severity])


def contrast(face: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """80 … 15 % of the contrast, around the mean of the face."""
    mean = face.mean()
    return _grey_levels(mean + (0.8, 0.6, 0.4, 0.25, 0.15)[severity] * (face - mean))


def resolution(face: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Scaled down to 32 … 12 pixels and up again."""
    size = (32, 24, 20, 16, 12)[severity]
    small = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, face.shape[::-1], interpolation=cv2.INTER_LINEAR)


def occlusion(face: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A black square with a side of 8 … 24 pixels at a random place."""
    side = (8, 12, 16, 20, 24)[severity]
    top, left = rng.integers(0, SIZE - side + 1, 2)
    covered = face.copy()
    covered[top : top + side, left : left + side] = 0
    return covered


def rotation(face: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Rotation by 5 … 30 degrees, to a random side."""
    angle = rng.choice((-1, 1)) * (5.0, 10, 15, 20, 30)[severity]
    turn = cv2.getRotationMatrix2D(((SIZE - 1) / 2, (SIZE - 1) / 2), angle, 1)
    return cv2.warpAffine(face, turn, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)


Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""Turns a face, uint8 [48, 48], into a corrupted one; the severity is 0 … 4."""

CORRUPTIONS: dict[str, Corruption] = {
    corruption.__name__: corruption
    for corruption in (noise, blur, jpeg, brightness, contrast, resolution, occlusion, rotation)
}


def _grey_levels(face: np.ndarray) -> np.ndarray:
    return face.round().clip(0, 255).astype(np.uint8)


def robustness_table(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, seed: int
) -> pd.DataFrame:
    """Accuracy by `severity` (rows; 0 is uncorrupted, up to 5) and corruption (columns).

    Parameters
    ----------
    classifier : Classifier
    images : uint8 [N, 48, 48]
    labels : uint8 [N]
    seed : int
        Of the random numbers; each corruption has its own generator.
    """
    table = pd.DataFrame({"severity": range(SEVERITIES + 1)})
    steps = tqdm(CORRUPTIONS.items(), "robustness", unit="corruption", disable=None)
    clean = _accuracy(classifier, images, labels)
    for index, (name, corruption) in enumerate(steps):
        rng = np.random.default_rng((seed, index))
        table[name] = [clean] + [
            _accuracy(
                classifier, np.stack([corruption(face, severity, rng) for face in images]), labels
            )
            for severity in range(SEVERITIES)
        ]
    return table


def mean_accuracies(table: pd.DataFrame) -> dict[str, float]:
    """Mean accuracy over the severities from 1 up: `mean` of all corruptions, and of each one."""
    means = table.set_index("severity").loc[1:].mean()
    return {"mean": float(means.mean()), **means}


def _accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    return float((classifier.predict(images).argmax(axis=1) == labels).mean())
