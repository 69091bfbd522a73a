"""A picture with one rendered face, which the detector finds."""

import cv2
import numpy as np

from stages.dataset.sample_faces import render_face


def portrait(place=(200, 120), size=240, shape=(480, 640), seed=0) -> np.ndarray:
    """A BGR scene, uint8 [H, W, 3]; a neutral face fills the square of `size` at `place` (x, y)."""
    scene = np.full(shape, 128, np.uint8)
    face = render_face(6, np.random.default_rng(seed), size=240)
    x, y = place
    scene[y : y + size, x : x + size] = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(scene, cv2.COLOR_GRAY2BGR)
