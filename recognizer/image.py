"""From the bytes of an image file to pixels, safely."""

from dataclasses import dataclass

import cv2
import numpy as np

from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.image_header import read_header

MAX_PIXELS = 50_000_000
"""Width · height of what today's phones take at most."""


@dataclass(frozen=True)
class Image:
    """A decoded image; its pixels may be fewer than the file has."""

    pixels: np.ndarray
    """uint8 [h, w, 3], BGR."""
    width: int
    """Of the file in pixels, after its EXIF orientation is applied; w or more."""
    height: int
    """Of the file in pixels; h or more."""

    @classmethod
    def of(cls, pixels: np.ndarray) -> "Image":
        """An image that is as large as its pixels, uint8 [H, W, 3], BGR.

        Raises
        ------
        ValueError
            Another type or shape, or no pixels.
        """
        if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or not pixels.size:
            shape = ", ".join(map(str, pixels.shape))
            raise ValueError(f"pixels: expected uint8 [H, W, 3], got {pixels.dtype} [{shape}]")
        return cls(pixels, pixels.shape[1], pixels.shape[0])

    @property
    def scale(self) -> float:
        """Pixels of the file for each of `pixels`, along one axis; 1 or more."""
        return self.width / self.pixels.shape[1]


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a JPEG, PNG, WebP, BMP or TIFF of any colour type.

    The EXIF orientation is applied. 16 bits become 8, an alpha channel is left out. Of an
    animation or a file of several pages, the first is taken.

    Parameters
    ----------
    data : bytes
        The whole file.
    max_pixels : int
        Largest width · height; judged by the header, before anything is decoded.

    Returns
    -------
    Image

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
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_BGR)
    except cv2.error as error:
        raise _undecodable(header.format) from error
    if pixels is None:
        raise _undecodable(header.format)
    return Image.of(pixels)


def _undecodable(name: str) -> ImageError:
    return ImageError(f"the {name} image is damaged, cut short, or of a rare kind not supported")
