"""Copies of photos with what was found in them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from recognizer.atomic import replaced_atomically, writing
from recognizer.drawing import draw
from recognizer.recognizer import RecognizedFace


def annotate_photo(data: bytes, faces: Sequence[RecognizedFace], path: Path) -> None:
    """Write a photo with boxes, emotions and bars.

    Parameters
    ----------
    data : bytes
        The photo's file, which `decode` has accepted.
    faces : sequence of RecognizedFace
    path : Path
        The suffix says the format.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    _, encoded = cv2.imencode(path.suffix, draw(image, faces))
    with replaced_atomically(path) as temporary, writing(path):
        temporary.write_bytes(encoded)
