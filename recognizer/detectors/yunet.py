"""The detector `yunet`: YuNet detects the faces, linear regressions align their crops.

A first pass over the image, scaled to 640 pixels, proposes faces. Each proposal is refined in a
small crop; faces that are uncertain or tilted are refined once more in a large crop. An image
without a certain face is searched again: larger, and rotated by multiples of 90°.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from math import copysign, cos, exp, hypot, log2, pi, radians, remainder, sin
from pathlib import Path

import cv2
import numpy as np

from recognizer.cropping import crop
from recognizer.detectors.base import Box, Face, Point, Square, largest_first
from recognizer.detectors.yunet_network import YuNetNetwork
from recognizer.errors import DetectorError

MODEL = Path(__file__).with_name("face_detection_yunet.onnx")

SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
"""SHA-256 of the model file's bytes, in hexadecimal digits."""

ALIGNMENT = Path(__file__).with_name("yunet_alignment.json")
"""The weights of the regressions `proposal`, `small` and `large`, each [4, 16], fitted by
`dvc --cd experiments repro alignment`."""

MIN_EYE_DISTANCE = 0.15
"""Least distance of the eyes divided by the side of the square. Closer eyes are those of a profile,
and their line does not show the tilt."""

MAX_CORRECTION = 0.8
"""Largest correction of the centre divided by the side, of the logarithm of the side, and of the
angle in radians."""

GRID = 512
"""Squares are rounded to about 1/512 of their side, and their angles to 1/512 radian.

onnxruntime on two kinds of processors, and in a browser, computes YuNet with differences in the
last digits. Without rounding, these would change a few pixels of a crop, and with them more
digits of the next detection, and in the end the probabilities."""


@dataclass(frozen=True)
class CropSize:
    """The crop in which a face is refined."""

    name: str
    """Of the regression in `ALIGNMENT`."""
    side: int
    """In pixels."""
    margin: float
    """Side of the crop divided by the side of the face's square."""


SMALL = CropSize("small", 128, 1.6)
"""It has a twentieth of the pixels of a 640×480 image and aligns upright faces as well as LARGE."""

LARGE = CropSize("large", 416, 1.8)
"""It has half the pixels of a 640×480 image and measures the tilt more precisely than SMALL."""


@dataclass(frozen=True)
class Refinement:
    """The detection of YuNet in the crop of a square."""

    size: CropSize
    square: Square
    row: np.ndarray
    """float32 [15]: box, landmarks, confidence; the unit is the side of the square, the origin its
    centre."""

    @property
    def confidence(self) -> float:
        """0 … 1."""
        return float(self.row[14])


class YuNetDetector:
    """YuNet on an image and on crops of it. Threads may share it.

    Parameters
    ----------
    path : Path
        The model file, which is part of this package.

    Raises
    ------
    DetectorError
        The file is missing or not the expected one.
    """

    # `python -m benchmarks.detection` measures the effect of these values.
    square_ratio = 0.85

    LONG_SIDE = 640
    """Pixels of the image in the first pass."""

    SECOND_LONG_SIDE = 960
    """Pixels of the image in the second pass, if the first one finds no certain face."""

    TURNED_LONG_SIDE = 320
    """Pixels of the image rotated by multiples of 90°."""

    MAX_ENLARGEMENT = 2.0
    """The largest factor by which a small image is enlarged."""

    MIN_PROPOSAL = 0.3
    """Least confidence of a proposal in the first pass."""

    SECOND_MIN_PROPOSAL = 0.2
    """Least confidence of a proposal if the first pass finds no certain face."""

    CERTAIN = 0.8
    """Least confidence of a face that needs no further search."""

    CERTAINLY_UPRIGHT = 0.9
    """Least confidence with which the detected orientation of a face is reliable.

    YuNet also detects faces rotated by 90° or 180°, but with upright landmarks: an upside-down
    face has a confidence of 0.8 … 0.9.
    """

    MIN_CONFIDENCE = 0.7
    """Least confidence of a face."""

    SECOND_MIN_CONFIDENCE = 0.6
    """Least confidence of a face in an image without a certain one."""

    MAX_PROPOSALS = 300
    """Only the most confident proposals are refined, which bounds the time for a crowd."""

    TILT = radians(7)
    """In radians. A smaller tilt becomes 0; a larger one, up to 45°, is reduced by this value.

    The estimated tilt has an error of about this size, and most faces are nearly upright. The
    rule is the soft threshold of Donoho, De-noising by soft-thresholding (IEEE Transactions on
    Information Theory 41, 1995)."""

    LARGE_TILT = radians(12)
    """In radians. A face with a larger tilt is also refined in a large crop."""

    MAX_OVERLAP = 0.3
    """Of two boxes with a larger intersection over union, the more confident one is kept."""

    def __init__(self, path: Path = MODEL):
        self._network = YuNetNetwork(
            _read_checked(path), self.SECOND_MIN_PROPOSAL, self.MAX_OVERLAP
        )
        self._weights = {
            name: np.array(rows) for name, rows in json.loads(ALIGNMENT.read_text()).items()
        }

    def detect(self, image: np.ndarray) -> list[Face]:
        """Detect the faces in an image, uint8 [H, W, 3], BGR; the largest comes first."""
        proposals = self.propose(image, self.LONG_SIDE)
        likely = [one for one in proposals if one[1] >= self.MIN_PROPOSAL]
        faces = self._confirmed(image, likely, self.MIN_CONFIDENCE)
        certain = [face for face in faces if face.confidence >= self.CERTAIN]
        turn = _quarters(certain) if certain else self._find_turn(image)
        if turn or not certain:
            side = self.LONG_SIDE if turn else self.SECOND_LONG_SIDE
            proposals += self.propose(image, side, turn)
            least = self.MIN_CONFIDENCE if certain else self.SECOND_MIN_CONFIDENCE
            faces = self._confirmed(image, proposals, least)
        return largest_first(_distinct(faces))

    def propose(
        self, image: np.ndarray, long_side: int, turn: int = 0
    ) -> list[tuple[Square, float]]:
        """Propose faces; the most confident comes first.

        Parameters
        ----------
        image : uint8 [H, W, 3]
            BGR.
        long_side : int
            Pixels to which the longer side of the image is scaled.
        turn : int
            Number of rotations by 90° clockwise that are applied to the image first, 0 … 3.

        Returns
        -------
        list of (Square, float)
            The aligned square in pixels of `image`, and the confidence.
        """
        proposals = []
        for row in self.scan(image, long_side, turn):
            box = row_square(row)
            square = corrected(box, relative(row, box), self._weights["proposal"])
            proposals.append((_turned_back(square, turn, image.shape[:2]), float(row[14])))
        proposals.sort(key=lambda proposal: -proposal[1])
        return proposals[: self.MAX_PROPOSALS]

    def scan(self, image: np.ndarray, long_side: int, turn: int = 0) -> np.ndarray:
        """Run YuNet on the whole image; parameters as of `propose`.

        Returns
        -------
        float32 [N, 15]
            As of `YuNetNetwork.detect`, in pixels of the rotated image at its full size.
        """
        scale = min(self.MAX_ENLARGEMENT, long_side / max(image.shape[:2]))
        scaled = _scaled(image, scale)
        rows = self._network.detect(np.ascontiguousarray(np.rot90(scaled, -turn)))
        rows[:, :14] *= max(image.shape[:2]) / max(scaled.shape[:2])
        return rows

    def refine(self, image: np.ndarray, square: Square, size: CropSize) -> Refinement | None:
        """Detect the face in the crop of a square; return None if there is none.

        Parameters
        ----------
        image : uint8 [H, W, 3]
            BGR.
        square : Square
        size : CropSize
        """
        shown = replace(square, side=square.side * size.margin)
        rows = self._network.detect(crop(image, shown, size.side))
        rows[:, [0, 1, *range(4, 14)]] -= size.side / 2
        rows[:, :14] /= size.side / size.margin
        centres = rows[:, :2] + rows[:, 2:4] / 2
        central = rows[np.hypot(*centres.T) < 1 / 3]
        if not len(central):
            return None
        return Refinement(size, square, central[central[:, 14].argmax()])

    def aligned(self, refinement: Refinement) -> Square:
        """Return the aligned square of a refined face."""
        weights = self._weights[refinement.size.name]
        return corrected(refinement.square, refinement.row, weights)

    def _confirmed(
        self, image: np.ndarray, proposals: list[tuple[Square, float]], least: float
    ) -> list[Face]:
        """Refine proposals; those with a confidence below `least` are left out."""
        faces = (self._confirm(image, square, least) for square, _ in proposals)
        return [face for face in faces if face]

    def _confirm(self, image: np.ndarray, square: Square, least: float) -> Face | None:
        """Refine a proposal to a face; return None if its confidence is below `least`."""
        square = snapped(square)
        refinement = self._refine_small(image, square)
        if refinement:
            square = snapped(self.aligned(refinement))
        certain = refinement is not None and refinement.confidence >= self.CERTAIN
        if not certain or abs(square.angle) > self.LARGE_TILT:
            refinement = self.refine(image, square, LARGE)
            if refinement:
                square = snapped(self.aligned(refinement))
        if refinement is None or refinement.confidence < least:
            return None
        box = box_inside(refinement, image.shape[:2])
        if box is None:
            return None
        square = snapped(_averaged(square, refinement, self.square_ratio))
        square = replace(square, angle=self._reduced(square.angle))
        return Face(box, refinement.confidence, eyes_of(refinement), square)

    def _reduced(self, angle: float) -> float:
        """Apply the soft threshold `TILT` to an angle in radians; the result is in −π to π."""
        angle = remainder(angle, 2 * pi)
        quarter = round(angle / (pi / 2)) * pi / 2
        tilt = angle - quarter
        if abs(tilt) <= self.TILT:
            return remainder(quarter, 2 * pi)
        return copysign(abs(tilt) - self.TILT, tilt) if quarter == 0 else angle

    def _refine_small(self, image: np.ndarray, square: Square) -> Refinement | None:
        """Refine in a small crop; if the face may be rotated, also in crops rotated by n · 90°."""
        best = self.refine(image, square, SMALL)
        if best is not None and best.confidence >= self.CERTAINLY_UPRIGHT:
            return best
        for quarters in (1, 2, 3):
            turned = replace(square, angle=square.angle + quarters * pi / 2)
            other = self.refine(image, turned, SMALL)
            if other and other.confidence >= max(self.CERTAIN, best.confidence if best else 0):
                best = other
        return best

    def _find_turn(self, image: np.ndarray) -> int:
        """Find the number of rotations by 90° clockwise that turn a photo upright, 0 … 3."""

        def confidence(turn: int) -> float:
            proposals = self.propose(image, self.TURNED_LONG_SIDE, turn)
            return max((proposed for _, proposed in proposals), default=0.0)

        confidences = [confidence(turn) for turn in range(4)]
        best = int(np.argmax(confidences))
        return best if confidences[best] >= self.CERTAIN else 0


# ---------------------------------------------------------------- images


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    """Scale an image; to less than half by halving first, which is fast and skips no pixel."""
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        half = even.shape[1] // 2, even.shape[0] // 2
        image = cv2.resize(even, half, interpolation=cv2.INTER_AREA)
    if image.shape[1::-1] == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def _turned_back(square: Square, turn: int, shape: tuple[int, int]) -> Square:
    """Convert a square of an image that was rotated clockwise by `turn` · 90° to the image before,
    which has this shape.
    """
    height, width = shape
    x, y = square.x, square.y
    x, y = ((x, y), (y, height - x), (width - x, height - y), (width - y, x))[turn]
    return Square(x, y, square.side, square.angle - turn * pi / 2)


# ---------------------------------------------------------------- squares


def row_square(row: np.ndarray) -> Square:
    """Return the upright square around the centre of a row's box; its side is the longer one."""
    x, y, width, height = map(float, row[:4])
    return Square(x + width / 2, y + height / 2, max(width, height))


def relative(row: np.ndarray, square: Square) -> np.ndarray:
    """Convert a row [15] to units of an upright square: the centre is the origin, the side is 1."""
    row = row.astype(float)
    row[[0, 4, 6, 8, 10, 12]] -= square.x
    row[[1, 5, 7, 9, 11, 13]] -= square.y
    row[:14] /= square.side
    return row


def features(row: np.ndarray) -> np.ndarray:
    """Compute the features [16] of the regressions from a relative row [15].

    Centre of the box, logarithms of its width and height, landmarks, confidence, and 1.
    """
    return np.concatenate([row[:2] + row[2:4] / 2, np.log(row[2:4]), row[4:15], [1]])


def corrected(square: Square, row: np.ndarray, weights: np.ndarray) -> Square:
    """Move, scale and turn a square by a linear regression.

    Parameters
    ----------
    square : Square
    row : float [15]
        The detection, relative to the square.
    weights : float [4, 16]
        Of the move to the right and down divided by the side, the logarithm of the new side
        divided by the old one, and the rotation in radians.
    """
    change = np.clip(weights @ features(row), -MAX_CORRECTION, MAX_CORRECTION)
    right, down, growth, turn = change.tolist()
    x, y = in_image(right, down, square)
    return Square(x, y, square.side * exp(growth), square.angle + turn)


def snapped(square: Square) -> Square:
    """Round a square to a grid of about 1/GRID of its side; the pitch is a power of two."""
    pitch = 2.0 ** round(log2(square.side / GRID))
    x, y, side = (pitch * round(value / pitch) for value in (square.x, square.y, square.side))
    return Square(x, y, side, round(square.angle * GRID) / GRID)


def _centre(row: np.ndarray) -> Point:
    """Centre of a row's box."""
    x, y = (row[:2] + row[2:4] / 2).tolist()
    return x, y


def in_image(x: float, y: float, square: Square) -> Point:
    """Convert a point relative to a square to pixels of the image."""
    across, down = cos(square.angle), sin(square.angle)
    return (
        square.x + square.side * (x * across - y * down),
        square.y + square.side * (x * down + y * across),
    )


def box_inside(refinement: Refinement, shape: tuple[int, int]) -> Box | None:
    """Return the upright box of a refined face, clipped to the image; None if it is outside."""
    height, width = shape
    row, square = refinement.row, refinement.square
    centre = np.array(in_image(*_centre(row), square))
    half = row[2:4] * square.side / 2
    if abs(sin(square.angle)) > abs(cos(square.angle)):
        half = half[::-1]  # the face lies on its side
    corners = np.concatenate([centre - half, centre + half])
    left, top, right, bottom = np.rint(np.clip(corners, 0, [width, height] * 2)).astype(int)
    if right <= left or bottom <= top:
        return None
    return Box(int(left), int(top), int(right - left), int(bottom - top))


def _averaged(square: Square, refinement: Refinement, ratio: float) -> Square:
    """Return the mean of an aligned square and the square of the detected box; keep the angle.

    The regression depends mostly on the landmarks. Its errors and those of the box are different,
    so the error of the mean is smaller: `python -m benchmarks.detection`.
    """
    row, crop_square = refinement.row, refinement.square
    x, y = in_image(*_centre(row), crop_square)
    side = float(max(row[2:4])) * crop_square.side * ratio
    return replace(
        square, x=(square.x + x) / 2, y=(square.y + y) / 2, side=(square.side + side) / 2
    )


def eyes_of(refinement: Refinement) -> tuple[Point, Point] | None:
    """Return both eyes in pixels of the image, the left one first; None for a profile."""
    row, square = refinement.row, refinement.square
    (x1, y1), (x2, y2) = sorted(row[4:8].reshape(2, 2).tolist())
    if x2 - x1 <= MIN_EYE_DISTANCE:
        return None
    left, right = sorted([in_image(x1, y1, square), in_image(x2, y2, square)])
    return (round(left[0], 1), round(left[1], 1)), (round(right[0], 1), round(right[1], 1))


def _quarters(faces: list[Face]) -> int:
    """Number of rotations by 90° clockwise that turn the most confident face upright, 0 … 3."""
    best = max(faces, key=lambda face: face.confidence)
    assert best.square
    return round(-best.square.angle / (pi / 2)) % 4


def _distinct(faces: list[Face]) -> list[Face]:
    """Leave out faces whose centre is within a third of a side of a more confident face."""
    kept: list[Face] = []
    squares: list[Square] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        one = face.square
        assert one
        if all(hypot(one.x - s.x, one.y - s.y) >= max(one.side, s.side) / 3 for s in squares):
            kept.append(face)
            squares.append(one)
    return kept


def _read_checked(path: Path) -> bytes:
    """Read the model file; raise DetectorError if it is missing or not the expected one."""
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
