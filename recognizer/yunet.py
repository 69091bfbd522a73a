"""The detector `yunet`: a small network that finds turned faces, too, and their eyes."""

from pathlib import Path

import cv2
import numpy as np

from recognizer import detector_file
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
from recognizer.errors import DetectorError


class YuNetDetector:
    """YuNet (Wu, Peng & Yu, Machine Intelligence Research 20, 2023), run by OpenCV.

    It looks for faces in the enlarged image, which finds more small and turned ones, and in a
    quarter of that, for faces larger than the 300 pixels up to which the network was trained.
    Then it looks for the eyes of each face, scaled to the size at which they are told best.

    Parameters
    ----------
    path : Path
        The model file; `python -m recognizer.detector_file` fetches it.
    sha256 : str
        The digest that the file must have, in hexadecimal digits.

    Raises
    ------
    DetectorError
        The file is missing, another one, or no model of this kind.
    """

    # Measured by `python -m benchmarks.detection`: `frame` on Training faces, and what another
    # confidence, enlargement, level or side for the eyes would change.
    frame = 0.85

    MIN_CONFIDENCE = 0.5
    """A lower one finds few more faces, and many that are none."""

    ENLARGEMENT = 2.0
    LEVELS = (1.0, 0.25)

    EYES_SIDE = 240
    """Longer side in pixels to which a face is scaled before its eyes are looked for.

    In a face of 100 pixels the network sees level eyes however much the face is turned.
    """
    EYES_MARGIN = 0.4
    """So much of its longer side is shown around it."""

    MIN_SIDE = 10
    """In pixels; the network was trained on no smaller face."""

    PADDED_SIDE = 64
    """In pixels; a shorter side is filled up by repeating the edge."""

    MAX_OVERLAP = 0.3
    """Of two boxes with a larger intersection over union, only the more confident one stays."""

    def __init__(self, path: Path = detector_file.PATH, sha256: str = detector_file.SHA256):
        model = np.frombuffer(detector_file.read_checked(path, sha256), np.uint8)
        self._networks = Pool(lambda: self._build(model))
        try:
            self._run(np.zeros((64, 64), np.uint8))
        except cv2.error as error:
            raise DetectorError(f"{path}: not a model of the YuNet detector") from error

    def detect(self, image: np.ndarray) -> list[Face]:
        enlargement = min(self.ENLARGEMENT, MAX_SIDE / max(image.shape))
        rows = []
        for level in self.LEVELS:
            scaled, scale = resized(image, enlargement * level)
            if min(scaled.shape) >= self.MIN_SIDE:
                found = self._run(scaled)
                found[:, :14] /= np.tile(scale, 7)
                rows.extend(found)
        faces = []
        for row in self._without_overlaps(rows):
            x, y, width, height = row[:4]
            box = box_inside(np.array([x, y, x + width, y + height]), image.shape)
            if box:
                faces.append(Face(box, float(row[14]), self._find_eyes(image, box)))
        return largest_first(faces)

    def _build(self, model: np.ndarray) -> cv2.FaceDetectorYN:
        nothing, size = np.empty(0, np.uint8), (64, 64)
        return cv2.FaceDetectorYN.create(
            "onnx", model, nothing, size, self.MIN_CONFIDENCE, self.MAX_OVERLAP
        )

    def _run(self, image: np.ndarray) -> np.ndarray:
        """Float32 [N, 15]: x, y, width, height; x and y of five landmarks; confidence."""
        height, width = image.shape
        # With 32 rows or columns or less, OpenCV 4.14 computes with memory it never wrote.
        below, beside = max(0, self.PADDED_SIDE - height), max(0, self.PADDED_SIDE - width)
        padded = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)

        def detect(network: cv2.FaceDetectorYN) -> tuple[int, np.ndarray | None]:
            network.setInputSize(padded.shape[::-1])
            return network.detect(cv2.cvtColor(padded, cv2.COLOR_GRAY2BGR))

        _, rows = self._networks.run(detect)
        if rows is None:
            return np.empty((0, 15), np.float32)
        return rows[(rows[:, 2:4] >= self.MIN_SIDE).all(axis=1)]

    def _without_overlaps(self, rows: list[np.ndarray]) -> list[np.ndarray]:
        kept = cv2.dnn.NMSBoxes(
            [row[:4].tolist() for row in rows],
            [float(row[14]) for row in rows],
            self.MIN_CONFIDENCE,
            self.MAX_OVERLAP,
        )
        return [rows[k] for k in kept]

    def _find_eyes(self, image: np.ndarray, box: Box) -> tuple[Point, Point] | None:
        """The first two landmarks, from left to right; in a profile they tell nothing: None."""
        side = max(box.width, box.height)
        margin = round(self.EYES_MARGIN * side)
        left, top = max(0, box.x - margin), max(0, box.y - margin)
        bottom, right = box.y + box.height + margin, box.x + box.width + margin
        part, scale = resized(image[top:bottom, left:right], self.EYES_SIDE / side)
        middle_x, middle_y = box.x + box.width / 2 - left, box.y + box.height / 2 - top
        rows = self._run(part)
        rows[:, :14] /= np.tile(scale, 7)
        x, y, width, height = rows[:, :4].T
        distance = np.hypot(x + width / 2 - middle_x, y + height / 2 - middle_y)
        if not (distance < side / 3).any():
            return None
        x1, y1, x2, y2 = rows[distance.argmin(), 4:8].tolist()
        eyes = sorted((round(left + x, 1), round(top + y, 1)) for x, y in ((x1, y1), (x2, y2)))
        return tuple(eyes) if eyes[1][0] - eyes[0][0] > 0.15 * side else None
