"""Copies of photos with what was found in them."""

from collections.abc import Sequence
from pathlib import Path

import cv2

from recognizer.atomic_file import write_atomically
from recognizer.drawing import draw
from recognizer.errors import OutputError
from recognizer.image import MAX_PIXELS, decode
from recognizer.recognizer import RecognizedFace

ANNOTATED_PHOTOS = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff")
"""Suffixes of the formats that an annotated photo is written in; the first for all others."""


def annotate_photo(
    data: bytes, faces: Sequence[RecognizedFace], path: Path, max_pixels: int = MAX_PIXELS
) -> None:
    """Write a photo with boxes, emotions and bars, at its full size and upright.

    Parameters
    ----------
    data : bytes
        The photo's file.
    faces : sequence of RecognizedFace
        Their boxes are in pixels of the upright file.
    path : Path
        The suffix, one of `ANNOTATED_PHOTOS`, says the format.
    max_pixels : int
        As for `decode`.

    Raises
    ------
    ImageError
        The photo cannot be decoded.
    OutputError
        The file cannot be written; one that was there stays as it was.
    """
    picture = draw(decode(data, max_pixels, long_side=None).pixels, faces)
    try:
        encoded, file = cv2.imencode(path.suffix, picture)
    except cv2.error:
        encoded = False
    if not encoded:
        height, width = picture.shape[:2]
        raise OutputError(
            f"{path}: OpenCV cannot write {width}×{height} pixels as {path.suffix}; name a file"
            " that ends in .png"
        )
    write_atomically(path, file.tobytes())
