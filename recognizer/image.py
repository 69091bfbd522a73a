"""From the bytes of an image file to pixels, safely."""

import io
from dataclasses import dataclass
from functools import partial

import av
import cv2
import numpy as np
from PIL.AvifImagePlugin import AvifImageFile
from pillow_heif import HeifImageFile

from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.image_header import ImageHeader, read_header

MAX_PIXELS = 200_000_000
"""Width · height of an image by default: the largest photos of today's phones, 200 megapixels."""

LONG_SIDE = 1600
"""Pixels that the longer side of a reduced image keeps at least."""


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


def decode(data: bytes, max_pixels: int = MAX_PIXELS, long_side: int | None = LONG_SIDE) -> Image:
    """Decode a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC of any colour type.

    The orientation in EXIF or HEIF is applied. 16 bits become 8, an alpha channel is left out,
    colour profiles are ignored. Of an animation or a file of several pages, the first is taken.

    Parameters
    ----------
    data : bytes
        The whole file.
    max_pixels : int
        Largest width · height; judged by the header, before anything is decoded.
    long_side : int or None
        A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as long as its longer side keeps
        this many pixels: that takes less time and memory. None: at its full size, as all other
        formats.

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
    reduction = _reduction(header, long_side)
    if header.format == "HEIC":
        pixels = _heic(data, header)
    elif header.format == "AVIF":
        pixels = _avif(data, header)
    else:
        pixels = _by_opencv(data, header, reduction)
    height, width = pixels.shape[:2]
    for size in ((header.width, header.height), (header.height, header.width)):
        if (width, height) == _reduced(size, reduction):
            return Image(pixels, *size)
    raise _undecodable(header)


def _reduction(header: ImageHeader, long_side: int | None) -> int:
    """By how much a JPEG is reduced: 1, 2, 4 or 8."""
    if header.format != "JPEG" or long_side is None:
        return 1
    size = header.width, header.height
    for reduction in (8, 4, 2):
        width, height = _reduced(size, reduction)
        # Whether the image was turned by 90° is told by its reduced sides.
        if max(width, height) >= long_side and (width != height or size[0] == size[1]):
            return reduction
    return 1


def _reduced(size: tuple[int, int], reduction: int) -> tuple[int, int]:
    """Width and height of a JPEG's reduced pixels, as libjpeg rounds them."""
    return -(-size[0] // reduction), -(-size[1] // reduction)


def _by_opencv(data: bytes, header: ImageHeader, reduction: int) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), OPENCV_FLAGS[reduction])
    except cv2.error as error:
        raise _undecodable(header) from error
    if pixels is None:
        raise _undecodable(header)
    return pixels


OPENCV_FLAGS = {
    1: cv2.IMREAD_COLOR_BGR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def _heic(data: bytes, header: ImageHeader) -> np.ndarray:
    """libheif has applied the orientation, and leaves 1 in its EXIF."""
    try:
        image = HeifImageFile(io.BytesIO(data))
        if image.mode.startswith("I;16"):
            return cv2.cvtColor((np.asarray(image) >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR)
        return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
    except Exception as error:
        # libheif and Pillow document no set of exceptions; damaged files raise several kinds.
        raise _undecodable(header) from error


def _avif(data: bytes, header: ImageHeader) -> np.ndarray:
    """FFmpeg decodes no frame that is larger than the header claims.

    2 kB of AV1 can be 12,000×12,000 in an AVIF that claims 64×64. Pillow and OpenCV decode it
    whole and scale it down. OpenCV does not turn an AVIF upright, either.
    """
    limits = {"max_pixels": str(header.width * header.height)}
    try:
        orientation = AvifImageFile(io.BytesIO(data)).getexif().get(ORIENTATION)
        with av.open(io.BytesIO(data), options=limits) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = limits
            pixels = next(container.decode(stream)).to_ndarray(format="bgr24")
    except Exception as error:
        # FFmpeg and Pillow document no set of exceptions; damaged files raise several kinds.
        raise _undecodable(header) from error
    for step in UPRIGHT.get(orientation, ()):
        pixels = step(pixels)
    return np.ascontiguousarray(pixels)


ORIENTATION = 0x112
"""Tag of EXIF; Pillow fills it from an AVIF's `irot` and `imir`, which override EXIF's own."""

UPRIGHT = {
    2: (np.fliplr,),
    3: (np.fliplr, np.flipud),
    4: (np.flipud,),
    5: (np.fliplr, np.rot90),
    6: (partial(np.rot90, k=-1),),
    7: (np.flipud, np.rot90),
    8: (np.rot90,),
}
"""What turns the pixels of each orientation upright (TIFF 6.0, section 8, Orientation)."""


def _undecodable(header: ImageHeader) -> ImageError:
    return ImageError(
        f"the {header.format} image is damaged, cut short, or of a rare kind not supported"
    )
