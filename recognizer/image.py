"""From the bytes of an image file to a grey image, safely."""

import cv2
import numpy as np

from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.image_header import read_header

MAX_PIXELS = 50_000_000
"""Width · height of what today's phones take at most."""


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a JPEG, PNG, WebP, BMP or TIFF of any colour type to grey levels.

    The EXIF orientation is applied. Colours become their luma, 16 bits become 8, an alpha
    channel is left out. Of an animation or a file of several pages, the first is taken.

    Parameters
    ----------
    data : bytes
        The whole file.
    max_pixels : int
        Largest width · height; judged by the header, before anything is decoded.

    Returns
    -------
    uint8 [H, W]

    Raises
    ------
    TooManyPixelsError
        The header claims more than `max_pixels`.
    ImageError
        Empty, no image, another format, damaged or cut short.
    """
    if not data:
        raise ImageError("the image is empty (0 bytes)")
    header = read_header(data)
    if header.pixels > max_pixels:
        raise TooManyPixelsError(
            f"the image has too many pixels: {header.width}×{header.height} need"
            f" {header.pixels:,}, at most {max_pixels:,} are accepted"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise _undecodable(header.format) from error
    if image is None:
        raise _undecodable(header.format)
    return image


def _undecodable(name: str) -> ImageError:
    return ImageError(f"the {name} image is damaged, cut short, or of a rare kind not supported")
