"""The format and size of an image, read from its header before anything is decoded.

A file of a few hundred bytes can claim billions of pixels, and OpenCV returns the size only after
decoding. So the size is read here first; a format that is not known here reaches no decoder.

The formats that OpenCV decodes are read here without Pillow: the package installs without it, and
it is slow for hostile files (10 MB of small EXIF segments in a JPEG: 30 s). Beside the size, three
formats need another limit:

JPEG: OpenCV does not limit the number of scans.
PNG: OpenCV unpacks all data behind the last pixel.
TIFF: OpenCV allocates a whole tile or strip, which may be larger than the image.

AVIF and HEIC need Pillow and pillow-heif, the extra `heic`.
"""

import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.optional_packages import needs_package

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# The ImageError replaces the warnings of Pillow about a damaged file. Python would keep each shown
# warning in memory, and print log records if the program configures no logging.
warnings.filterwarnings("ignore", module=r"PIL\.|pillow_heif")
logging.getLogger("PIL").addHandler(logging.NullHandler())

MAX_JPEG_SEGMENTS = 10_000
"""The most segments before the picture; no photo's metadata has more."""

MAX_JPEG_SCANS = 100
"""A progressive photo has about ten. A scan may have 80 bytes and costs a pass over all pixels."""

MAX_DEFLATION = 1032
"""The most bytes that Deflate packs into one (RFC 1951: 258 bytes into two bits)."""

MAX_PNG_EXCESS = 64 << 20
"""Unpacked bytes that a PNG may have more than its pixels need."""


@dataclass(frozen=True)
class ImageHeader:
    """The claims of a header."""

    format: str
    width: int
    """In pixels. Some formats have the EXIF orientation applied, others have not."""
    height: int
    pixels: int
    """The most pixels that the decoder allocates at once, at least width · height."""


def read_header(data: bytes) -> ImageHeader:
    """Read the format and size of a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC.

    Raises
    ------
    TooManyPixelsError
        The header of an AVIF claims more pixels than Pillow opens, 179 million.
    ImageError
        The format is another one, or the header is cut short, contradicts itself or claims no
        pixels; or the package that reads this format is not installed.
    """
    for name, magic, read in FORMATS:
        if magic.match(data):
            try:
                width, height, pixels = read(data)
            except (struct.error, _DamagedError):
                raise ImageError(f"the {name} image is damaged or cut short") from None
            if width < 1 or height < 1:
                raise ImageError(f"the {name} image has no pixels ({width}×{height})")
            return ImageHeader(name, width, height, max(pixels, width * height))
    names = [name for name, _, _ in FORMATS]
    expected = f"{', '.join(names[:-1])} or {names[-1]}"
    raise ImageError(f"not an image of a known format: expected {expected}")


class _DamagedError(Exception):
    pass


def _jpeg(data: bytes) -> tuple[int, int, int]:
    """Read the segments up to the frame header, as libjpeg does (ITU-T T.81, annex B)."""
    if data.count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise ImageError(f"the JPEG image has more than {MAX_JPEG_SCANS} scans")
    position = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        # Fill bytes and other bytes between two segments are skipped.
        found = JPEG_MARKER.search(data, position)
        if not found:
            break
        marker, position = data[found.end() - 1], found.end()
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 3)
            return width, height, width * height
        if marker in JPEG_END:
            break
        if marker not in JPEG_BARE:
            (length,) = struct.unpack_from(">H", data, position)
            position += max(length, 2)
    raise _DamagedError


JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_END = {0xD9, 0xDA}
JPEG_BARE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length: TEM, RST0 … RST7, SOI."""


def _png(data: bytes) -> tuple[int, int, int]:
    """Read IHDR, the first chunk, which begins with width and height (PNG 3, 11.2.1)."""
    if data[12:16] != b"IHDR":
        raise _DamagedError
    width, height = struct.unpack_from(">II", data, 16)
    return width, height, width * height


def refuse_excess(data: bytes, header: ImageHeader) -> None:
    """Refuse a PNG with far more data than its pixels need; libpng would unpack all of it.

    Takes up to a second, so it is not a part of `read_header`.

    Raises
    ------
    ImageError
        The IDAT chunks are damaged, or hold more than `MAX_PNG_EXCESS` bytes too many.
    """
    # At most 64 bits a pixel and a byte before each row; an interlaced image has twice the rows.
    most = header.height * (8 * header.width + 2) + 8 + MAX_PNG_EXCESS
    if MAX_DEFLATION * len(data) <= most:
        return
    unpacker, position = zlib.decompressobj(), 8
    while position + 8 <= len(data) and not unpacker.eof:
        (length,) = struct.unpack_from(">I", data, position)
        if data[position + 4 : position + 8] == b"IDAT":
            packed = data[position + 8 : position + 8 + length]
            while packed and not unpacker.eof:
                try:
                    most -= len(unpacker.decompress(packed, 1 << 24))
                except zlib.error:
                    raise ImageError("the PNG image is damaged or cut short") from None
                if most < 0:
                    raise ImageError("the PNG image holds far more data than its pixels need")
                packed = unpacker.unconsumed_tail
        position += length + 12


def _gif(data: bytes) -> tuple[int, int, int]:
    """Read the size of the logical screen (GIF89a, 18); OpenCV accepts no frame outside it."""
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height, width * height


def _webp(data: bytes) -> tuple[int, int, int]:
    """Read the canvas, or the only frame (RFC 9649, 2.5, 2.6 and 3.4; RFC 6386, 9.1).

    libwebp accepts no frame outside the canvas.
    """
    kind = data[12:16]
    if kind == b"VP8X":
        sides = struct.unpack_from("<3s3s", data, 24)
        width, height = (int.from_bytes(side, "little") + 1 for side in sides)
    elif kind == b"VP8L" and data[20:21] == b"\x2f":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise _DamagedError
    return width, height, width * height


def _bmp(data: bytes) -> tuple[int, int, int]:
    """Read the size behind the file header; rows from the top have a negative height."""
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == BMP_CORE_HEADER else "<ii", data, 18)
    return width, abs(height), width * abs(height)


BMP_CORE_HEADER = 12
"""Bytes of the oldest header, BITMAPCOREHEADER."""


def _tiff(data: bytes) -> tuple[int, int, int]:
    """Read the sizes of the first image and of its tiles or strips (TIFF 6.0, BigTIFF)."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    number, counter, first = ("Q", "Q", 8) if big else ("I", "H", 4)
    (start,) = struct.unpack_from(order + number, data, first)
    if start > len(data):
        raise _DamagedError
    (count,) = struct.unpack_from(order + counter, data, start)
    if count > MAX_TIFF_TAGS:
        raise _DamagedError
    entry = struct.Struct(f"{order}HH{number}{struct.calcsize(number)}s")
    start += struct.calcsize(order + counter)
    claims: dict[int, int] = {}
    for position in range(start, start + count * entry.size, entry.size):
        tag, kind, values, field = entry.unpack_from(data, position)
        if tag not in TIFF_SIZES:
            continue
        if tag in claims or values != 1 or kind not in TIFF_INTEGERS:
            raise _DamagedError
        (claims[tag],) = struct.unpack_from(order + TIFF_INTEGERS[kind], field)
    width, height, rows_per_strip, tile_width, tile_height = (
        claims.get(tag, 0) for tag in TIFF_SIZES
    )
    # 2³² − 1: all rows are in one strip.
    strip = 0 if rows_per_strip >= 0xFFFFFFFF else width * rows_per_strip
    return width, height, max(strip, tile_width * tile_height)


TIFF_SIZES = (256, 257, 278, 322, 323)
"""Width and height of the image, rows of a strip, width and height of a tile."""

TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""The types BYTE, SHORT, LONG and LONG8."""

MAX_TIFF_TAGS = 4096
"""The most tags of an image; libtiff reads no more of a BigTIFF."""


def _avif(data: bytes) -> tuple[int, int, int]:
    try:
        from PIL.AvifImagePlugin import AvifImageFile
    except ModuleNotFoundError as error:
        raise ImageError(needs_package("an AVIF image", error, "heic")) from error
    width, height = _opened(AvifImageFile, data).size
    return width, height, width * height


def _heic(data: bytes) -> tuple[int, int, int]:
    """Read the displayed size and the largest `ispe`, of which `clap` may display a part."""
    try:
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError as error:
        raise ImageError(needs_package("a HEIC image", error, "heic")) from error
    width, height = _opened(HeifImageFile, data).size
    sizes = [struct.unpack(">II", size) for size in HEIF_SIZE.findall(data)]
    return width, height, max((w * h for w, h in sizes), default=0)


def _opened(plugin: "Callable[[io.BytesIO], ImageFile]", data: bytes) -> "ImageFile":
    """Open an image with a plugin of Pillow; the limit of `Image.open` is global."""
    from PIL.Image import DecompressionBombError

    try:
        return plugin(io.BytesIO(data))
    except DecompressionBombError as error:
        raise TooManyPixelsError(f"the image has too many pixels: {error}") from error
    except Exception as error:
        # The plugins document no set of exceptions; damaged files raise a dozen kinds.
        raise _DamagedError from error


HEIF_SIZE = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL)

HEIC_BRANDS = rb"hei[cmsx]|hev[cmsx]|mif1|msf1"

FORMATS: tuple[tuple[str, re.Pattern[bytes], Callable[[bytes], tuple[int, int, int]]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff"), _jpeg),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    ("BMP", re.compile(rb"BM"), _bmp),
    ("TIFF", re.compile(rb"II[*+]\x00|MM\x00[*+]"), _tiff),
    ("GIF", re.compile(rb"GIF8[79]a"), _gif),
    (
        "AVIF",
        re.compile(rb".{4}ftyp(?:.{4}){0,16}?avi[fs]", re.DOTALL),
        _avif,
    ),
    (
        "HEIC",
        re.compile(rb".{4}ftyp(?:" + HEIC_BRANDS + rb")", re.DOTALL),
        _heic,
    ),
)
