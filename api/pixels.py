"""The cost of a request before its images are decoded: their pixels, by their headers."""

from collections.abc import Iterable

from fastapi import HTTPException

from api.settings import Settings
from recognizer.errors import ImageError
from recognizer.image_header import read_header


def claimed_pixels(files: Iterable[bytes], limits: Settings) -> int:
    """The sum over the image files that will be decoded.

    A file that is damaged or has too many pixels for one image counts as 0.

    Raises
    ------
    HTTPException
        413: more than `max_batch_pixels` in a request with several files.
    """
    pixels = [_pixels(data, limits.max_pixels) for data in files]
    if len(pixels) > 1 and sum(pixels) > limits.max_batch_pixels:
        raise HTTPException(
            413,
            f"the images have too many pixels together: {sum(pixels):,}, at most"
            f" {limits.max_batch_pixels:,} are accepted in one request",
        )
    return sum(pixels)


def _pixels(data: bytes, most: int) -> int:
    try:
        pixels = read_header(data).pixels
    except ImageError:
        return 0
    return pixels if pixels <= most else 0
