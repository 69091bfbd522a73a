"""How much accuracy bad pictures cost: faces worsened in eight ways at five strengths each.

After Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, 2019; the kinds are those of FER-C (arXiv 2312.11542).
"""

from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from recognizer.classifier import Classifier
from stages.dataset.faces import SIZE

STRENGTHS = 5


def noise(face: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise, standard deviation 5 … 40 grey levels."""
    deviation = (5, 10, 20, 30, 40)[strength]
    return _grey_levels(face + rng.normal(0, deviation, face.shape))


def blur(face: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur, standard deviation 0.5 … 3 pixels."""
    return cv2.GaussianBlur(face, (0, 0), (0.5, 1, 1.5, 2, 3)[strength])


def jpeg(face: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """JPEG compression, quality 60 … 8."""
    quality = (60, 40, 25, 15, 8)[strength]
    _, coded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return decoded


def brightness(face: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """20 … 100 grey levels brighter or darker."""
    return _grey_levels(face + rng.choice((-1, 1)) * (20.0, 40, 60, 80, 100)[strength])


def contrast(face: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """80 … 15 % of the contrast."""
    mean = face.mean()
    return _grey_levels(mean + (0.8, 0.6, 0.4, 0.25, 0.15)[strength] * (face - mean))


def resolution(face: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Scaled down to 32 … 12 pixels and up again."""
    size = (32, 24, 20, 16, 12)[strength]
    small = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, face.shape[::-1], interpolation=cv2.INTER_LINEAR)


def occlusion(face: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """A black square of 8 … 24 pixels somewhere on the face."""
    side = (8, 12, 16, 20, 24)[strength]
    top, left = rng.integers(0, SIZE - side + 1, 2)
    covered = face.copy()
    covered[top : top + side, left : left + side] = 0
    return covered


def rotation(face: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Turned by 5 … 30 degrees to either side."""
    angle = rng.choice((-1, 1)) * (5.0, 10, 15, 20, 30)[strength]
    turn = cv2.getRotationMatrix2D(((SIZE - 1) / 2, (SIZE - 1) / 2), angle, 1)
    return cv2.warpAffine(face, turn, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)


Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""A uint8 [48, 48] face and a strength 0 … 4 to a worse face."""

CORRUPTIONS: dict[str, Corruption] = {
    corruption.__name__: corruption
    for corruption in (noise, blur, jpeg, brightness, contrast, resolution, occlusion, rotation)
}


def _grey_levels(face: np.ndarray) -> np.ndarray:
    return face.round().clip(0, 255).astype(np.uint8)


def robustness_table(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, seed: int
) -> pd.DataFrame:
    """Accuracy by strength (rows 0 = clean … 5) and corruption (columns).

    Parameters
    ----------
    classifier : Classifier
    images : uint8 [N, 48, 48]
    labels : uint8 [N]
    seed : int
        Of the noise, the signs and the places; each corruption draws its own numbers.
    """
    table = pd.DataFrame({"strength": range(STRENGTHS + 1)})
    steps = tqdm(CORRUPTIONS.items(), "robustness", unit="corruption", disable=None)
    clean = _accuracy(classifier, images, labels)
    for index, (name, corruption) in enumerate(steps):
        rng = np.random.default_rng((seed, index))
        table[name] = [clean] + [
            _accuracy(
                classifier, np.stack([corruption(face, strength, rng) for face in images]), labels
            )
            for strength in range(STRENGTHS)
        ]
    return table


def _accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    return float((classifier.predict(images).argmax(axis=1) == labels).mean())
