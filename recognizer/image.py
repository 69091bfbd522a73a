"""From the bytes of an image file to pixels, with bounded time and memory."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.image_header import ImageHeader, read_header, refuse_excess
from recognizer.optional_packages import needs_package

MAX_PIXELS = 200_000_000
"""Default limit of width · height: the largest photos of phones, 200 megapixels."""

LONG_SIDE = 1600
"""The longer side of a reduced image has at least this many pixels."""


@dataclass(frozen=True)
class Image:
    """A decoded image; it may have fewer pixels than the file."""

    pixels: np.ndarray
    """uint8 [h, w, 3], BGR."""
    width: int
    """Of the upright file in pixels, at least w."""
    height: int
    """Of the upright file in pixels, at least h."""

    @classmethod
    def of(cls, pixels: np.ndarray) -> "Image":
        """Make an image from all pixels of a file, uint8 [H, W, 3], BGR.

        Raises
        ------
        ValueError
            `pixels` has another dtype or shape, or is empty.
        """
        if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or not pixels.size:
            shape = ", ".join(map(str, pixels.shape))
            raise ValueError(f"pixels: expected uint8 [H, W, 3], got {pixels.dtype} [{shape}]")
        return cls(pixels, pixels.shape[1], pixels.shape[0])

    @property
    def scale(self) -> float:
        """Pixels of the file per pixel of `pixels`, along one axis; at least 1."""
        return self.width / int(self.pixels.shape[1])


def decode(data: bytes, max_pixels: int = MAX_PIXELS, long_side: int | None = LONG_SIDE) -> Image:
    """Decode a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC of any colour type.

    The orientation in EXIF or HEIF is applied. 16 bits become 8; the alpha channel and colour
    profiles are ignored. An animation or a file with several pages gives its first image.

    Parameters
    ----------
    data : bytes
        The whole file.
    max_pixels : int
        Limit of width · height; checked in the header, before anything is decoded.
    long_side : int or None
        A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which takes less time and memory, if its
        longer side keeps this many pixels. None: at its full size, as all other formats.

    Returns
    -------
    Image

    Raises
    ------
    TooManyPixelsError
        The header claims more than `max_pixels`.
    ImageError
        The data is empty, in another format, damaged or cut short, or the package that reads
        this format is not installed.
    """
    if not data:
        raise ImageError("the image is empty (0 bytes)")
    header = read_header(data)
    if header.pixels > max_pixels:
        raise TooManyPixelsError(
            f"the image has too many pixels: {header.width}×{header.height} need"
            f" {header.pixels:,}, at most {max_pixels:,} are accepted"
        )
    if header.format == "PNG":
        refuse_excess(data, header)
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
    """Factor by which a JPEG is reduced: 1, 2, 4 or 8."""
    if header.format != "JPEG" or long_side is None:
        return 1
    size = header.width, header.height
    for reduction in (8, 4, 2):
        width, height = _reduced(size, reduction)
        # `decode` recognizes a rotation by 90° by the reduced sides, so they must differ.
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
    from pillow_heif import HeifImageFile

    try:
        # libheif applies the orientation.
        image = HeifImageFile(io.BytesIO(data))
        if image.mode.startswith("I;16"):
            return cv2.cvtColor((np.asarray(image) >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR)
        return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
    except Exception as error:
        # libheif and Pillow document no set of exceptions; damaged files raise several kinds.
        raise _undecodable(header) from error


def _avif(data: bytes, header: ImageHeader) -> np.ndarray:
    """Decode an AVIF with FFmpeg, which decodes no frame larger than the header claims.

    An AVIF of 2 kB can claim 64×64 pixels and contain 12,000×12,000. Pillow and OpenCV decode all
    of them and scale the result; OpenCV does not apply the orientation either.
    """
    try:
        import av
        from PIL.AvifImagePlugin import AvifImageFile
    except ModuleNotFoundError as error:
        raise ImageError(needs_package("an AVIF image", error, "heic")) from error
    limits = {"max_pixels": str(header.width * header.height)}
    try:
        orientation = AvifImageFile(io.BytesIO(data)).getexif().get(ORIENTATION, 1)
        with av.open(io.BytesIO(data), "r", options=limits) as container:
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
"""EXIF tag. In an AVIF, `irot` and `imir` override it; Pillow has done so."""

UPRIGHT: dict[int, tuple[Callable[[np.ndarray], np.ndarray], ...]] = {
    2: (np.fliplr,),
    3: (np.fliplr, np.flipud),
    4: (np.flipud,),
    5: (np.fliplr, np.rot90),
    6: (partial(np.rot90, k=-1),),
    7: (np.flipud, np.rot90),
    8: (np.rot90,),
}
"""Operations that rotate each orientation upright (TIFF 6.0, section 8, Orientation)."""


def _undecodable(header: ImageHeader) -> ImageError:
    return ImageError(
        f"the {header.format} image is damaged, cut short, or of a rare kind not supported"
    )
