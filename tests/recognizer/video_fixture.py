"""A short video of rendered faces that move, change their expression and hide."""

from pathlib import Path

import cv2
import numpy as np

from stages.sample_faces import render_face

RATE = 25.0
HAPPY, SURPRISE, NEUTRAL = 3, 5, 6


def write_video(path: Path, frames: int = 50, codec: str = "mp4v") -> Path:
    """Write 320×240 frames: one face drifts on the left, one stands still on the right.

    The left face is neutral in the first half and happy in the second; the right one is
    surprised throughout, and hidden from frame 20 to 25.
    """
    left = [render_face(label, np.random.default_rng(0), size=96) for label in (NEUTRAL, HAPPY)]
    right = render_face(SURPRISE, np.random.default_rng(1), size=96)
    code = cv2.VideoWriter_fourcc(*codec)
    writer = cv2.VideoWriter(str(path), code, RATE, (320, 240))
    assert writer.isOpened()
    for number in range(frames):
        scene = np.full((240, 320), 128, np.uint8)
        x, y = 20 + number // 2, 60 + number // 4
        scene[y : y + 96, x : x + 96] = left[number >= frames // 2]
        if not 20 <= number < 25:
            scene[70:166, 200:296] = right
        writer.write(cv2.cvtColor(scene, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path
