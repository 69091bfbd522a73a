"""What `analyze` accepts, and its pixels."""

import sys
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import cv2
import numpy as np

from recognizer.errors import ImageError
from recognizer.image import LONG_SIDE, MAX_PIXELS, Image, decode
from recognizer.regular_file import read_regular_file

if TYPE_CHECKING:
    from typing import TypeGuard

    import PIL.Image

Channels = Literal["bgr", "rgb"]


class PilImage(Protocol):
    """An image of Pillow. Its own class would be Any to type checkers where Pillow is missing."""

    @property
    def mode(self) -> str: ...

    def convert(self, mode: str) -> Any: ...

    def getexif(self) -> Any: ...


Pixels: TypeAlias = bytes | np.ndarray | PilImage
Source: TypeAlias = str | PathLike[str] | Pixels


def read_image(
    source: Source,
    channels: Channels = "bgr",
    max_pixels: int = MAX_PIXELS,
    long_side: int | None = LONG_SIDE,
) -> Image:
    """Read the pixels of a source; the orientation in EXIF is applied.

    Parameters
    ----------
    source : path, bytes, array or PIL image
        A file or its content in a format of `recognizer.image.decode`; or uint8 [H, W], grey,
        [H, W, 3] or [H, W, 4], whose alpha channel is ignored.
    channels : "bgr" or "rgb"
        Order of the colours in an array.
    max_pixels, long_side
        As of `recognizer.image.decode`, for files and bytes.

    Raises
    ------
    OSError
        The file cannot be read, is not a regular file, or has more than 500 million bytes.
    ImageError
        It cannot be decoded.
    TypeError
        The source is of another type.
    ValueError
        The array has another dtype or shape.
    """
    if isinstance(source, str | PathLike):
        return decode(read_regular_file(Path(source)), max_pixels, long_side)
    if isinstance(source, bytes | bytearray | memoryview):
        return decode(bytes(source), max_pixels, long_side)
    if isinstance(source, np.ndarray):
        return Image.of(_bgr(source, channels))
    if is_pil_image(source):
        return Image.of(_pil_pixels(source))
    raise TypeError(
        "expected a path, bytes, a NumPy array, a PIL image or a list of them,"
        f" got {type(source).__name__}"
    )


def is_pil_image(source: object) -> "TypeGuard[PIL.Image.Image]":
    """Whether an object is an image of Pillow, which is an optional package."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(source, pillow.Image)


def _bgr(array: np.ndarray, channels: Channels) -> np.ndarray:
    """The pixels of an array, uint8 [H, W, 3], BGR."""
    if channels not in ("bgr", "rgb"):
        raise ValueError(f"channels: expected 'bgr' or 'rgb', got {channels!r}")
    accepted = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not accepted or not array.size:
        shape = ", ".join(map(str, array.shape))
        raise ValueError(
            "an image array is uint8 [H, W], [H, W, 3] or [H, W, 4], and not empty; got"
            f" {array.dtype} [{shape}]"
        )
    array = np.ascontiguousarray(array)
    if array.ndim == 2 or array.shape[2] == 1:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)
    colours = array[..., :3]
    return np.ascontiguousarray(colours[..., ::-1] if channels == "rgb" else colours)


def _pil_pixels(image: "PIL.Image.Image") -> np.ndarray:
    """The pixels of an upright PIL image, uint8 [H, W, 3], BGR; 16 bits become 8."""
    from PIL import ImageOps

    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            grey = (np.asarray(upright) >> 8).astype(np.uint8)
            return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
        pixels = np.asarray(upright.convert("RGB"))
    except OSError as error:
        # Pillow decodes a file when its pixels are first needed.
        raise ImageError(f"the PIL image cannot be decoded: {error}") from error
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
