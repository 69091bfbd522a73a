"""The detector `haar`: OpenCV's cascades for frontal faces and for eyes."""

from math import exp
from pathlib import Path

import cv2
import numpy as np

from recognizer.detection import (
    MAX_SIDE,
    Box,
    Face,
    Point,
    Pool,
    box_inside,
    largest_first,
    resized,
)


class HaarDetector:
    """OpenCV's frontal face cascade (Viola & Jones, Rapid Object Detection, 2001).

    The confidence grows with the number n of overlapping hits: 1 − exp(−n / 6). On FER-2013
    faces pasted into noise this comes close to the share of hits that are faces. The eyes come
    from OpenCV's eye cascade; where it finds none in one half of the face, the face has none.
    """

    # Measured on Training faces by `python -m benchmarks.detection`.
    frame = 0.95

    # Against OpenCV's usual 1.1 and 5: a third of the time, the same recall on faces of 96 and
    # 192 pixels, and fewer false ones.
    SCALE_STEP = 1.2
    MIN_NEIGHBOURS = 3

    MIN_SIDE = 24
    """Side of the cascade's window in pixels; no smaller face can be found."""

    EYES_SIDE = 96
    """Side in pixels to which a face is scaled before its eyes are looked for."""

    def __init__(self):
        self._faces = Pool(lambda: _cascade("haarcascade_frontalface_default.xml"))
        self._eyes = Pool(lambda: _cascade("haarcascade_eye.xml"))

    def detect(self, image: np.ndarray) -> list[Face]:
        scaled, scale = resized(image, min(1.0, MAX_SIDE / max(image.shape)))
        if min(scaled.shape) < self.MIN_SIDE:
            return []
        boxes, hits = self._faces.run(
            lambda cascade: cascade.detectMultiScale2(
                scaled,
                scaleFactor=self.SCALE_STEP,
                minNeighbors=self.MIN_NEIGHBOURS,
                minSize=(self.MIN_SIDE, self.MIN_SIDE),
            )
        )
        faces = []
        for (x, y, width, height), n in zip(boxes, hits, strict=True):
            corners = np.array([x, y, x + width, y + height]) / np.tile(scale, 2)
            box = box_inside(corners, image.shape)
            faces.append(Face(box, 1 - exp(-int(n) / 6), self._find_eyes(image, box)))
        return largest_first(faces)

    def _find_eyes(self, image: np.ndarray, box: Box) -> tuple[Point, Point] | None:
        """The eye with the most hits in each half of the face, if the two can be a pair."""
        face = image[box.y : box.y + box.height, box.x : box.x + box.width]
        way = cv2.INTER_AREA if box.width > self.EYES_SIDE else cv2.INTER_LINEAR
        face = cv2.resize(face, (self.EYES_SIDE, self.EYES_SIDE), interpolation=way)
        boxes, hits = self._eyes.run(
            lambda cascade: cascade.detectMultiScale2(
                face[: round(0.6 * self.EYES_SIDE)],
                scaleFactor=1.1,
                minNeighbors=2,
                minSize=(self.EYES_SIDE // 6,) * 2,
                maxSize=(self.EYES_SIDE // 2,) * 2,
            )
        )
        found = [
            ((x + width / 2) / self.EYES_SIDE, (y + height / 2) / self.EYES_SIDE, int(n))
            for (x, y, width, height), n in zip(boxes, hits, strict=True)
        ]
        left = max((eye for eye in found if eye[0] < 0.5), key=_likeliness, default=None)
        right = max((eye for eye in found if eye[0] >= 0.5), key=_likeliness, default=None)
        if left is None or right is None or not _are_pair(left, right):
            return None
        return tuple(
            (round(float(box.x + x * box.width), 1), round(float(box.y + y * box.height), 1))
            for x, y, _ in (left, right)
        )


def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades, name)))


def _likeliness(eye: tuple[float, float, int]) -> tuple:
    x, y, hits = eye
    return hits, x, y


def _are_pair(left: tuple, right: tuple) -> bool:
    """Far enough apart, and no steeper than the face cascade lets a face be (about 30°)."""
    across, down = right[0] - left[0], right[1] - left[1]
    return across > 0.2 and abs(down) < 0.58 * across
