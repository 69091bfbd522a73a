"""The 48×48 face that the model expects: cut out as FER-2013 frames it, and turned upright."""

from math import atan2, ceil, cos, sin

import cv2
import numpy as np

from recognizer.detectors.base import Box, Point, Square

SIZE = 48
"""Height and width of a face in pixels, as in FER-2013."""

EYE_LINE = 0.388
"""Height of the eyes in FER-2013, from the top, over the face's side.

The median of Training faces, as the detectors find them, measured by
`python -m benchmarks.detection`. So is each detector's `frame`, less 6 %: a face cut too tight is
told better than one cut too wide.
"""

MAX_GRID = 2048
"""Side in pixels of what is sampled at most; more would change nothing that one could see."""


def crop(image: np.ndarray, box: Box, frame: float = 1.0) -> np.ndarray:
    """Cut out a face as FER-2013 frames it: a square around the centre of its box.

    What lies beyond the image's edge repeats the edge. A 48×48 box with `frame` 1 comes
    back byte for byte.

    Parameters
    ----------
    image : uint8 [H, W] or [H, W, 3]
    box : Box
        It overlaps the image.
    frame : float
        Side of the square over the longer side of the box.

    Returns
    -------
    uint8 [48, 48], or [48, 48, 3]
    """
    side = max(1, round(max(box.width, box.height) * frame))
    rows, top, height = _span(box.y + (box.height - side) / 2, side, image.shape[0])
    columns, left, width = _span(box.x + (box.width - side) / 2, side, image.shape[1])
    # Scaled first and padded afterwards: a square around a line of pixels could be enormous.
    way = cv2.INTER_AREA if side > SIZE else cv2.INTER_LINEAR
    scaled = cv2.resize(image[rows, columns], (width, height), interpolation=way)
    bottom, right = SIZE - top - height, SIZE - left - width
    return cv2.copyMakeBorder(scaled, top, bottom, left, right, cv2.BORDER_REPLICATE)


def _span(start: float, side: int, length: int) -> tuple[slice, int, int]:
    """Along one axis: the part inside the image, and where and how long it lies in the crop."""
    start = round(start)
    inside = slice(max(0, start), min(length, start + side))
    size = max(1, round((inside.stop - inside.start) * SIZE / side))
    return inside, min(round((inside.start - start) * SIZE / side), SIZE - size), size


def box_square(box: Box, frame: float = 1.0) -> Square:
    """The upright square that FER-2013 would cut out around the centre of a box.

    `frame` is its side over the longer side of the box.
    """
    side = max(box.width, box.height) * frame
    return Square(box.x + box.width / 2, box.y + box.height / 2, side)


def eye_square(box: Box, eyes: tuple[Point, Point], frame: float = 1.0) -> Square:
    """The square that FER-2013 would cut out, turned until the eyes are level.

    The eyes give the angle and the place, the box the size: a face that looks aside has its
    eyes closer together, and is no smaller for it.

    Parameters
    ----------
    box : Box
    eyes : two points
        The eye at the image's left and the one at its right.
    frame : float
        Side of the square over the longer side of the box.
    """
    side = box_square(box, frame).side
    (x1, y1), (x2, y2) = eyes
    angle = atan2(y2 - y1, x2 - x1)
    below = (0.5 - EYE_LINE) * side
    x, y = (x1 + x2) / 2 - below * sin(angle), (y1 + y2) / 2 + below * cos(angle)
    return Square(x, y, side, angle)


def cut_out(image: np.ndarray, square: Square, size: int = SIZE) -> np.ndarray:
    """Cut out a square and turn it upright. What lies beyond the image's edge repeats the edge.

    Parameters
    ----------
    image : uint8 [H, W] or [H, W, 3]
    square : Square
    size : int
        Height and width of the result in pixels.

    Returns
    -------
    uint8 [size, size], or [size, size, 3]
    """
    centre, side = np.array([square.x, square.y]), square.side
    across = np.array([cos(square.angle), sin(square.angle)])
    down = np.array([-sin(square.angle), cos(square.angle)])

    # Only the part of the image that is needed: OpenCV cannot turn a very large one.
    corner = np.clip(centre - side, 0, np.array(image.shape[1::-1]) - 1).astype(int)
    far = np.ceil(centre + side).astype(int)
    part = image[corner[1] : max(corner[1] + 1, far[1]), corner[0] : max(corner[0] + 1, far[0])]

    # Turned at about its own resolution and averaged afterwards, so that no pixel is skipped.
    grid = size * max(1, min(ceil(side / size), MAX_GRID // size))
    step = side / grid
    start = centre - corner - (side - step) / 2 * (across + down) - 0.5
    turned = cv2.warpAffine(
        part,
        np.column_stack([step * across, step * down, start]),
        (grid, grid),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.resize(turned, (size, size), interpolation=cv2.INTER_AREA)
