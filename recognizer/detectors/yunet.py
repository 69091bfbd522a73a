"""The detector `yunet`: YuNet finds the faces, two linear regressions align their crops.

One pass over the image, scaled to 640 pixels, proposes faces. One pass over a small crop of each
proposal refines it. Only unsure and tilted faces are refined once more, in a large crop. Images in
which this finds no face with certainty are searched again: larger, and turned by quarters.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from math import copysign, cos, exp, hypot, pi, radians, remainder, sin
from pathlib import Path
from queue import Empty, SimpleQueue

import cv2
import numpy as np

from recognizer.cropping import crop
from recognizer.detectors.base import Box, Face, Point, Square, largest_first
from recognizer.errors import DetectorError

MODEL = Path(__file__).with_name("face_detection_yunet.onnx")

SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
"""Of the model file's bytes, in hexadecimal digits."""

ALIGNMENT = Path(__file__).with_name("yunet_alignment.json")
"""The weights of the regressions: `proposal`, `small` and `large` [4, 16]. They are fitted by
`dvc --cd experiments repro alignment`."""

MIN_EYE_DISTANCE = 0.15
"""Over the square's side; closer eyes are a profile's, and their line is no measure of its tilt."""

MAX_CORRECTION = 0.8
"""Of the centre over the side, of the logarithm of the side, and of the angle in radians."""


@dataclass(frozen=True)
class CropSize:
    """The crop in which a face is refined."""

    name: str
    """Of the regression in `ALIGNMENT`."""
    side: int
    """In pixels."""
    margin: float
    """Side of the crop over the side of the face's square."""


SMALL = CropSize("small", 128, 1.6)
"""A twentieth of the pixels of a 640×480 image. Aligns upright faces as well as a large crop."""

LARGE = CropSize("large", 416, 1.8)
"""Half the pixels of a 640×480 image. In a large face, the landmarks follow the tilt better."""


@dataclass(frozen=True)
class Refinement:
    """What YuNet detects in the crop of a square."""

    size: CropSize
    square: Square
    row: np.ndarray
    """float32 [15]: box, landmarks, confidence; the square's centre is the origin, its side 1."""

    @property
    def confidence(self) -> float:
        """0 … 1."""
        return float(self.row[14])


class YuNetDetector:
    """YuNet (Wu, Peng & Yu, Machine Intelligence Research 20, 2023), run by OpenCV.

    Parameters
    ----------
    path : Path
        The model file, which is part of this package.

    Raises
    ------
    DetectorError
        The file is missing or another one.
    """

    # The reasons of these values are measured by `python -m benchmarks.detection`.
    square_ratio = 0.85

    LONG_SIDE = 640
    """In pixels, of the image in the first pass."""

    SECOND_LONG_SIDE = 960
    """In pixels, where the first pass finds no face with certainty."""

    TURNED_LONG_SIDE = 320
    """In pixels, of the image turned by quarters."""

    MAX_ENLARGEMENT = 2.0
    """A small image is enlarged at most by this factor."""

    MIN_PROPOSAL = 0.3
    """Least confidence of a proposal in the first pass."""

    SECOND_MIN_PROPOSAL = 0.2
    """Least confidence of a proposal where the first pass finds no face with certainty."""

    CERTAIN = 0.8
    """Confidence of a face that needs no further search."""

    CERTAINLY_UPRIGHT = 0.9
    """Confidence of a face that is not turned by a quarter or more.

    YuNet also finds turned faces, and takes them for upright: an upside-down face at 0.8 … 0.9.
    """

    MIN_CONFIDENCE = 0.7
    """Least confidence of a face."""

    SECOND_MIN_CONFIDENCE = 0.6
    """Least confidence of a face in an image without a certain one."""

    MAX_PROPOSALS = 300
    """The most confident ones are refined; a crowd must not take forever."""

    TILT = radians(7)
    """A smaller tilt of a face is reduced to none, a larger one by this, up to 45°.

    The estimated tilt has an error of about this size, and most faces are nearly upright. This is
    the soft threshold of Donoho, De-noising by soft-thresholding (IEEE Transactions on Information
    Theory 41, 1995)."""

    LARGE_TILT = radians(12)
    """A face that is tilted more is refined in a large crop, too."""

    MIN_SIDE = 10
    """In pixels; YuNet was trained on no smaller face."""

    PADDED_SIDE = 64
    """In pixels; a shorter side is padded by repeating the border."""

    MAX_OVERLAP = 0.3
    """Of two boxes with a larger intersection over union, the more confident one stays."""

    def __init__(self, path: Path = MODEL):
        self._model = np.frombuffer(_read_checked(path), np.uint8)
        # OpenCV's network keeps the image that it works on: each call borrows one for itself.
        # Each kind of input has its own ones, because a change of the size sets a network up anew.
        self._idle: dict[CropSize | None, SimpleQueue[cv2.FaceDetectorYN]] = {
            size: SimpleQueue() for size in (None, SMALL, LARGE)
        }
        self._weights = {
            name: np.array(rows) for name, rows in json.loads(ALIGNMENT.read_text()).items()
        }

    def detect(self, image: np.ndarray) -> list[Face]:
        """Find the faces in an image, uint8 [H, W, 3], BGR; the largest comes first."""
        proposals = self.propose(image, self.LONG_SIDE)
        sure = [one for one in proposals if one[1] >= self.MIN_PROPOSAL]
        faces = self._confirmed(image, sure, self.MIN_CONFIDENCE)
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
        """Propose faces, the most confident first.

        Parameters
        ----------
        image : uint8 [H, W, 3]
            BGR.
        long_side : int
            Pixels to which the longer side of the image is scaled.
        turn : int
            Quarters by which the image is turned clockwise first.

        Returns
        -------
        list of (Square, float)
            The aligned square in pixels of `image`, and the confidence.
        """
        proposals = []
        for row in self.scan(image, long_side, turn):
            box = box_square(row)
            square = corrected(box, relative(row, box), self._weights["proposal"])
            proposals.append((_turned_back(square, turn, image.shape[:2]), float(row[14])))
        proposals.sort(key=lambda proposal: -proposal[1])
        return proposals[: self.MAX_PROPOSALS]

    def scan(self, image: np.ndarray, long_side: int, turn: int = 0) -> np.ndarray:
        """Run YuNet on the whole image; parameters as of `propose`.

        Returns
        -------
        float32 [N, 15]
            As `_run`, in pixels of the turned image at its full size.
        """
        scale = min(self.MAX_ENLARGEMENT, long_side / max(image.shape[:2]))
        scaled = _scaled(image, scale)
        rows = self._run(np.ascontiguousarray(np.rot90(scaled, -turn)))
        rows[:, :14] *= max(image.shape[:2]) / max(scaled.shape[:2])
        return rows

    def refine(self, image: np.ndarray, square: Square, size: CropSize) -> Refinement | None:
        """Detect the face in the crop of a square; None where there is none.

        Parameters
        ----------
        image : uint8 [H, W, 3]
            BGR.
        square : Square
        size : CropSize
        """
        shown = replace(square, side=square.side * size.margin)
        rows = self._run(crop(image, shown, size.side), size)
        rows[:, [0, 1, *range(4, 14)]] -= size.side / 2
        rows[:, :14] /= size.side / size.margin
        centres = rows[:, :2] + rows[:, 2:4] / 2
        central = rows[np.hypot(*centres.T) < 1 / 3]
        if not len(central):
            return None
        return Refinement(size, square, central[central[:, 14].argmax()])

    def aligned(self, refinement: Refinement) -> Square:
        """The square of a refined face, corrected."""
        weights = self._weights[refinement.size.name]
        return corrected(refinement.square, refinement.row, weights)

    def _confirmed(
        self, image: np.ndarray, proposals: list[tuple[Square, float]], least: float
    ) -> list[Face]:
        faces = (self._confirm(image, square, least) for square, _ in proposals)
        return [face for face in faces if face]

    def _confirm(self, image: np.ndarray, square: Square, least: float) -> Face | None:
        """Refine a proposal to a face; None where its confidence is below `least`."""
        refinement = self._refine_small(image, square)
        certain = refinement is not None and refinement.confidence >= self.CERTAIN
        if refinement:
            square = self.aligned(refinement)
        if not certain or abs(square.angle) > self.LARGE_TILT:
            refinement = self.refine(image, square, LARGE)
            if refinement is None or refinement.confidence < least:
                return None
            square = self.aligned(refinement)
        box = box_inside(refinement, image.shape[:2])
        if box is None:
            return None
        square = _averaged(square, refinement, self.square_ratio)
        square = replace(square, angle=self._reduced(square.angle))
        return Face(box, refinement.confidence, eyes_of(refinement), square)

    def _reduced(self, angle: float) -> float:
        """An angle in radians, −π to π, without the part of the tilt that may be noise."""
        angle = remainder(angle, 2 * pi)
        quarter = round(angle / (pi / 2)) * pi / 2
        tilt = angle - quarter
        if abs(tilt) <= self.TILT:
            return remainder(quarter, 2 * pi)
        return copysign(abs(tilt) - self.TILT, tilt) if quarter == 0 else angle

    def _refine_small(self, image: np.ndarray, square: Square) -> Refinement | None:
        """Refine in a small crop, and where that may be turned, in crops turned by quarters."""
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
        """The quarters, clockwise, by which a turned photo has to be turned; 0 if it is upright."""

        def confidence(turn: int) -> float:
            proposals = self.propose(image, self.TURNED_LONG_SIDE, turn)
            return max((proposed for _, proposed in proposals), default=0.0)

        confidences = [confidence(turn) for turn in range(4)]
        best = int(np.argmax(confidences))
        return best if confidences[best] >= self.CERTAIN else 0

    def _run(self, image: np.ndarray, size: CropSize | None = None) -> np.ndarray:
        """Run YuNet on a crop of this size, or on a whole image.

        Returns
        -------
        float32 [N, 15]
            In pixels of the image: x, y, width and height of the box; x and y of both eyes, the
            nose and both corners of the mouth, those at the image's left first; the confidence.
        """
        height, width = image.shape[:2]
        # With 32 rows or columns or less, OpenCV 4.14 computes with memory it never wrote.
        below, beside = max(0, self.PADDED_SIDE - height), max(0, self.PADDED_SIDE - width)
        if below or beside:
            image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        try:
            network = self._idle[size].get_nowait()
        except Empty:
            network = cv2.FaceDetectorYN.create(
                "onnx",
                self._model,
                np.empty(0, np.uint8),
                (64, 64),
                self.SECOND_MIN_PROPOSAL,
                self.MAX_OVERLAP,
            )
        try:
            network.setInputSize(image.shape[1::-1])
            _, rows = network.detect(image)
        finally:
            self._idle[size].put(network)
        if rows is None:
            return np.empty((0, 15), np.float32)
        return rows[(rows[:, 2:4] >= self.MIN_SIDE).all(axis=1)]


# ---------------------------------------------------------------- images


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    """Scale an image; a much smaller one is halved first, which is fast and skips no pixel."""
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
    """A square of an image turned by quarters clockwise, in the image before; `shape` is its."""
    height, width = shape
    x, y = square.x, square.y
    x, y = ((x, y), (y, height - x), (width - x, height - y), (width - y, x))[turn]
    return Square(x, y, square.side, square.angle - turn * pi / 2)


# ---------------------------------------------------------------- squares


def box_square(row: np.ndarray) -> Square:
    """The upright square around the centre of a row's box, as wide as its longer side."""
    x, y, width, height = map(float, row[:4])
    return Square(x + width / 2, y + height / 2, max(width, height))


def relative(row: np.ndarray, square: Square) -> np.ndarray:
    """A row [15] in units of an upright square: its centre is the origin, its side is 1."""
    row = row.astype(float)
    row[[0, 4, 6, 8, 10, 12]] -= square.x
    row[[1, 5, 7, 9, 11, 13]] -= square.y
    row[:14] /= square.side
    return row


def features(row: np.ndarray) -> np.ndarray:
    """The features [16] of the regressions, from a relative row [15].

    Centre of the box, logarithms of its width and height, landmarks, confidence, and 1.
    """
    return np.concatenate([row[:2] + row[2:4] / 2, np.log(row[2:4]), row[4:15], [1]])


def corrected(square: Square, row: np.ndarray, weights: np.ndarray) -> Square:
    """Move, scale and turn a square by a linear regression.

    Parameters
    ----------
    square : Square
    row : float [15]
        What was detected, relative to the square.
    weights : float [4, 16]
        For the move to the right and down over the side, the logarithm of the new side over the
        old one, and the turn in radians.
    """
    change = np.clip(weights @ features(row), -MAX_CORRECTION, MAX_CORRECTION)
    right, down, growth, turn = change.tolist()
    x, y = in_image(right, down, square)
    return Square(x, y, square.side * exp(growth), square.angle + turn)


def in_image(x: float, y: float, square: Square) -> Point:
    """A point relative to a square, in pixels of the image."""
    across, down = cos(square.angle), sin(square.angle)
    return (
        square.x + square.side * (x * across - y * down),
        square.y + square.side * (x * down + y * across),
    )


def box_inside(refinement: Refinement, shape: tuple[int, int]) -> Box | None:
    """The box of a refined face, upright in the image and inside it; None if it lies outside."""
    height, width = shape
    row, square = refinement.row, refinement.square
    centre = np.array(in_image(*(row[:2] + row[2:4] / 2).tolist(), square))
    half = row[2:4] * square.side / 2
    if abs(sin(square.angle)) > abs(cos(square.angle)):
        half = half[::-1]  # the face lies on its side
    corners = np.concatenate([centre - half, centre + half])
    left, top, right, bottom = np.rint(np.clip(corners, 0, [width, height] * 2)).astype(int)
    if right <= left or bottom <= top:
        return None
    return Box(int(left), int(top), int(right - left), int(bottom - top))


def _averaged(square: Square, refinement: Refinement, ratio: float) -> Square:
    """The mean of an aligned square and the square of the detected box; it keeps the angle.

    The regression sees the landmarks above all. Its errors and those of the box differ, so their
    mean has smaller ones: `python -m benchmarks.detection`.
    """
    row, crop_square = refinement.row, refinement.square
    x, y = in_image(*(row[:2] + row[2:4] / 2).tolist(), crop_square)
    side = float(max(row[2:4])) * crop_square.side * ratio
    return replace(
        square, x=(square.x + x) / 2, y=(square.y + y) / 2, side=(square.side + side) / 2
    )


def eyes_of(refinement: Refinement) -> tuple[Point, Point] | None:
    """Both eyes in the image, the one at the image's left first; None in a profile."""
    row, square = refinement.row, refinement.square
    left, right = sorted(row[4:8].reshape(2, 2).tolist())
    if right[0] - left[0] <= MIN_EYE_DISTANCE:
        return None
    left, right = sorted(in_image(*eye, square) for eye in (left, right))
    return (round(left[0], 1), round(left[1], 1)), (round(right[0], 1), round(right[1], 1))


def _quarters(faces: list[Face]) -> int:
    """The quarters, clockwise, by which an image has to be turned for its most certain face."""
    best = max(faces, key=lambda face: face.confidence)
    return round(-best.square.angle / (pi / 2)) % 4


def _distinct(faces: list[Face]) -> list[Face]:
    """Without faces that lie within a third of a side of a more confident one."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        squares = ((face.square, other.square) for other in kept)
        if all(hypot(a.x - b.x, a.y - b.y) >= max(a.side, b.side) / 3 for a, b in squares):
            kept.append(face)
    return kept


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
