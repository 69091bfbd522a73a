"""The detector `yunet`: a small network that finds turned faces, too, and how they are turned."""

import hashlib
import json
from math import cos, exp, hypot, sin
from pathlib import Path

import cv2
import numpy as np

from recognizer.detectors.base import (
    MAX_SIDE,
    Face,
    Point,
    Pool,
    Square,
    box_inside,
    largest_first,
    resized,
)
from recognizer.errors import DetectorError
from recognizer.framing import cut_out

MODEL = Path(__file__).with_name("face_detection_yunet.onnx")

SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
"""Of the model file's bytes, in hexadecimal digits."""

FRAMING = Path(__file__).with_name("yunet_framing.json")
"""The weights of the regressions from what is seen to the square that FER-2013 would cut out:
`first` and `close` [4, 16]. `python -m benchmarks.framing` fits them and writes the file."""

MIN_EYE_DISTANCE = 0.15
"""Over the square's side; in a face that is closer to a profile the eyes tell nothing."""

MAX_CORRECTION = 0.8
"""Of the square's place over its side, of its side's logarithm, and of its angle in radians."""


class YuNetDetector:
    """YuNet (Wu, Peng & Yu, Machine Intelligence Research 20, 2023), run by OpenCV.

    It looks for faces in the enlarged image, which finds more small and turned ones, and in a
    quarter of that, for faces larger than the 300 pixels up to which the network was trained.
    It takes each face for less turned than it is. So a regression corrects the angle, and
    where and how large FER-2013 would cut out the face. Then the network looks closely, at the
    face that was scaled and turned upright, and a second regression corrects what is left;
    and so once more.

    Parameters
    ----------
    path : Path
        The model file, which is part of this package.

    Raises
    ------
    DetectorError
        The file is missing or another one.
    """

    # Measured by `python -m benchmarks.detection`: `frame` on Training faces, and what other
    # confidences, close looks, enlargements or levels would change.
    frame = 0.85

    MIN_CONFIDENCE = 0.2
    """Of what is looked at closely."""

    SURE_CONFIDENCE = 0.5
    """Of a face, in the last of the close looks."""

    CLOSE_LOOKS = 2

    MAX_CANDIDATES = 300
    """So many are looked at closely, the most confident ones; a crowd must not take forever."""

    ENLARGEMENT = 2.0
    LEVELS = (1.0, 0.25)

    CLOSE_SIDE = 240
    """Side in pixels to which the square is scaled for a close look: in a face of 100 pixels the
    network sees level eyes however much the face is turned."""
    CLOSE_MARGIN = 0.4
    """So much of its side is shown around it."""

    MIN_SIDE = 10
    """In pixels; the network was trained on no smaller face."""

    PADDED_SIDE = 64
    """In pixels; a shorter side is filled up by repeating the edge."""

    MAX_OVERLAP = 0.3
    """Of two boxes with a larger intersection over union, only the more confident one stays."""

    def __init__(self, path: Path = MODEL):
        model = np.frombuffer(_read_checked(path), np.uint8)
        self._networks = Pool(lambda: self._build(model))
        self._framing = {look: np.array(w) for look, w in json.loads(FRAMING.read_text()).items()}

    def detect(self, image: np.ndarray) -> list[Face]:
        faces = [face for row in self.look(image) if (face := self._confirmed(image, row))]
        faces.sort(key=lambda face: face.confidence, reverse=True)
        kept: list[Face] = []
        for face in faces:
            # What seemed to be two faces may turn out, looked at closely, to be one.
            if not any(same_face(face.square, other.square) for other in kept):
                kept.append(face)
        return largest_first(kept)

    def look(self, image: np.ndarray) -> np.ndarray:
        """What may be faces: float32 [N, 15], in pixels of the image.

        The most confident one comes first. The columns are x, y, width and height of the box, x
        and y of eyes, nose and corners of the mouth (those at the image's left first), and the
        confidence.
        """
        enlargement = min(self.ENLARGEMENT, MAX_SIDE / max(image.shape[:2]))
        levels = [np.empty((0, 15), np.float32)]
        for level in self.LEVELS:
            scaled, scale = resized(image, enlargement * level)
            if min(scaled.shape[:2]) >= self.MIN_SIDE:
                found = self._run(scaled)
                found[:, :14] /= np.tile(scale, 7)
                levels.append(found)
        rows = np.concatenate(levels)
        boxes, confidences = rows[:, :4].tolist(), rows[:, 14].tolist()
        kept = cv2.dnn.NMSBoxes(boxes, confidences, self.MIN_CONFIDENCE, self.MAX_OVERLAP)
        return rows[np.array(kept, int)[: self.MAX_CANDIDATES]]

    def look_closely(self, image: np.ndarray, square: Square) -> np.ndarray | None:
        """What the network sees in a square that is turned upright: a row, or None: no face.

        The row is as those of `look`, with the square's centre as origin and its side as unit.
        """
        side = self.CLOSE_SIDE
        size = round(side * (1 + 2 * self.CLOSE_MARGIN))
        shown = Square(square.x, square.y, square.side * size / side, square.angle)
        rows = self._run(cut_out(image, shown, size))
        rows[:, [0, 1, *range(4, 14)]] -= size / 2
        rows[:, :14] /= side
        middles = rows[:, :2] + rows[:, 2:4] / 2
        near = rows[np.hypot(*middles.T) < 1 / 3]
        return near[near[:, 14].argmax()] if len(near) else None

    def _confirmed(self, image: np.ndarray, row: np.ndarray) -> Face | None:
        square = self.first_square(row)
        for _ in range(self.CLOSE_LOOKS):
            seen = self.look_closely(image, square)
            if seen is None:
                return None
            box, eyes = (
                box_inside(corners_seen(seen, square), image.shape[:2]),
                eyes_seen(seen, square),
            )
            square = corrected(square, seen, self._framing["close"])
        confidence = float(seen[14])
        if box is None or confidence < self.SURE_CONFIDENCE:
            return None
        return Face(box, confidence, eyes, square)

    def first_square(self, row: np.ndarray) -> Square:
        """Where FER-2013 would cut out a face, by a row of `look`."""
        square = box_square(row)
        return corrected(square, relative(row, square), self._framing["first"])

    def _build(self, model: np.ndarray) -> cv2.FaceDetectorYN:
        nothing, size = np.empty(0, np.uint8), (64, 64)
        return cv2.FaceDetectorYN.create(
            "onnx", model, nothing, size, self.MIN_CONFIDENCE, self.MAX_OVERLAP
        )

    def _run(self, image: np.ndarray) -> np.ndarray:
        """Float32 [N, 15], in pixels of the image; see `look`."""
        height, width = image.shape[:2]
        # With 32 rows or columns or less, OpenCV 4.14 computes with memory it never wrote.
        below, beside = max(0, self.PADDED_SIDE - height), max(0, self.PADDED_SIDE - width)
        padded = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)

        def detect(network: cv2.FaceDetectorYN) -> tuple[int, np.ndarray | None]:
            network.setInputSize(padded.shape[1::-1])
            return network.detect(padded)

        _, rows = self._networks.run(detect)
        if rows is None:
            return np.empty((0, 15), np.float32)
        return rows[(rows[:, 2:4] >= self.MIN_SIDE).all(axis=1)]


# ---------------------------------------------------------------- from a row to a square


def box_square(row: np.ndarray) -> Square:
    """The upright square around the middle of a row's box, as wide as its longer side."""
    x, y, width, height = map(float, row[:4])
    return Square(x + width / 2, y + height / 2, max(width, height))


def relative(row: np.ndarray, square: Square) -> np.ndarray:
    """A row in units of an upright square: its centre is the origin, its side is 1."""
    row = row.astype(float)
    row[[0, 4, 6, 8, 10, 12]] -= square.x
    row[[1, 5, 7, 9, 11, 13]] -= square.y
    row[:14] /= square.side
    return row


def features(row: np.ndarray) -> np.ndarray:
    """What the regressions see of a relative row, [16].

    Middle of the box, logarithms of its width and height, the landmarks, the confidence, and 1.
    """
    return np.concatenate([row[:2] + row[2:4] / 2, np.log(row[2:4]), row[4:15], [1]])


def corrected(square: Square, row: np.ndarray, weights: np.ndarray) -> Square:
    """Move, scale and turn a square by what was seen in it.

    Parameters
    ----------
    square : Square
    row : float [15]
        Relative to the square, which is upright there.
    weights : float [4, 16]
        Of the centre's way to the right and down over the side, the side's logarithm, and the
        angle in radians.
    """
    change = np.clip(weights @ features(row), -MAX_CORRECTION, MAX_CORRECTION)
    right, down, growth, turn = change.tolist()
    x, y = in_image(right, down, square)
    return Square(x, y, square.side * exp(growth), square.angle + turn)


def in_image(x: float, y: float, square: Square) -> Point:
    """A point that is given relative to a square, in pixels of the image."""
    across, down = cos(square.angle), sin(square.angle)
    return (
        square.x + square.side * (x * across - y * down),
        square.y + square.side * (x * down + y * across),
    )


def corners_seen(row: np.ndarray, square: Square) -> np.ndarray:
    """Left, top, right and bottom of the box, as upright as the image, in its pixels."""
    middle = np.array(in_image(*(row[:2] + row[2:4] / 2).tolist(), square))
    half = row[2:4] * square.side / 2
    return np.concatenate([middle - half, middle + half])


def same_face(one: Square, other: Square) -> bool:
    """Whether the middles of two squares are nearer than a third of the smaller side."""
    return hypot(one.x - other.x, one.y - other.y) < min(one.side, other.side) / 3


def eyes_seen(row: np.ndarray, square: Square) -> tuple[Point, Point] | None:
    """The first two landmarks, from left to right; in a profile they tell nothing: None."""
    left, right = sorted(row[4:8].reshape(2, 2).tolist())
    if right[0] - left[0] <= MIN_EYE_DISTANCE:
        return None
    left, right = (in_image(*eye, square) for eye in (left, right))
    return (round(left[0], 1), round(left[1], 1)), (round(right[0], 1), round(right[1], 1))


def _read_checked(path: Path) -> bytes:
    """Read the model file; DetectorError if it is missing or another one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DetectorError(
            f"{path}: the YuNet model cannot be read: {error.strerror}; install the package again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DetectorError(
            f"{path}: not the expected YuNet model: its SHA-256 is {found}, expected {SHA256};"
            " install the package again"
        )
    return content
