"""The crop of a face: a square of the image, rotated upright."""

from math import ceil, cos, sin

import cv2
import numpy as np

from recognizer.detectors.base import Box, Square

MAX_OVERSAMPLING = 2
"""The most image pixels per crop pixel, along a side; a larger square is halved first."""


def box_square(box: Box, ratio: float = 1.0) -> Square:
    """Return the upright square around the centre of a box.

    Parameters
    ----------
    box : Box
    ratio : float
        Side of the square divided by the longer side of the box.
    """
    side = max(box.width, box.height) * ratio
    return Square(box.x + box.width / 2, box.y + box.height / 2, side)


def crop(image: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Crop a square and rotate it upright; outside the image, its border is repeated.

    An upright square of `size` pixels at whole pixels is copied unchanged.

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

    # Only the needed part of the image, because warpAffine accepts no side above 32,767 pixels.
    corner = np.clip(centre - side, 0, np.array(image.shape[1::-1]) - 1).astype(int)
    far = np.ceil(centre + side).astype(int)
    part = image[corner[1] : max(corner[1] + 1, far[1]), corner[0] : max(corner[0] + 1, far[0])]
    centre = centre - corner

    # Averaging four pixels is many times faster than rotating them.
    while side > MAX_OVERSAMPLING * size:
        height, width = (max(1, length // 2) for length in part.shape[:2])
        even = part[: 2 * height, : 2 * width]
        part = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
        centre, side = centre / 2, side / 2

    # Rotation at about the resolution of the image, then averaging, so that no pixel is skipped.
    grid = size * max(1, ceil(side / size))
    step = side / grid
    across = np.array([cos(square.angle), sin(square.angle)])
    down = np.array([-sin(square.angle), cos(square.angle)])
    start = centre - (side - step) / 2 * (across + down) - 0.5
    upright = cv2.warpAffine(
        part,
        np.column_stack([step * across, step * down, start]),
        (grid, grid),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.resize(upright, (size, size), interpolation=cv2.INTER_AREA)
