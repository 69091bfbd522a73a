"""The format and size of an image, read from its header before anything is decoded.

OpenCV tells an image's size only after decoding it, and a few hundred bytes can claim
billions of pixels. So the header is read here first, as OpenCV's decoders read it, and
a format that is not read here never reaches them.
"""

import re
import struct
import zlib
from dataclasses import dataclass

from recognizer.errors import ImageError

MAX_JPEG_SEGMENTS = 10_000
"""More segments than this before the picture are no photo's metadata."""

MAX_JPEG_SCANS = 100
"""A progressive photo has about ten. Each scan costs a pass over all pixels, and takes 80 bytes."""

MAX_DEFLATION = 1032
"""Deflate packs no more bytes than this into one (RFC 1951: 258 into two bits)."""

MAX_PNG_EXCESS = 64 << 20
"""Bytes that a PNG may unpack to beyond what its pixels need."""

MAX_TIFF_ENTRIES = 4096
"""libtiff's own limit for one directory."""


@dataclass(frozen=True)
class ImageHeader:
    """What a header claims.

    `width` and `height` are in pixels before the EXIF orientation is applied; `pixels`
    is the largest number of them that the decoder would hold at once, at least width · height.
    """

    format: str
    width: int
    height: int
    pixels: int


def read_header(data: bytes) -> ImageHeader:
    """Read format and size of a JPEG, PNG, WebP, BMP or TIFF.

    Raises
    ------
    ImageError
        Another format, or a header that breaks off, contradicts itself or claims no pixels.
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
    raise ImageError("not an image of a known format: expected JPEG, PNG, WebP, BMP or TIFF")


class _DamagedError(Exception):
    pass


def _jpeg(data: bytes) -> tuple[int, int, int]:
    """Walk the segments to the frame header, as libjpeg does (ITU-T T.81, annex B)."""
    if data.count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise ImageError(f"the JPEG image has more than {MAX_JPEG_SCANS} scans")
    position = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        # Filling bytes and strays between two segments are skipped.
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
    """The first chunk is IHDR and begins with both sizes (PNG 3, 11.2.1)."""
    if data[12:16] != b"IHDR":
        raise _DamagedError
    width, height = struct.unpack_from(">II", data, 16)
    # At most 64 bits a pixel, and a byte before each row, of which an interlaced image has twice.
    needed = height * (8 * width + 2) + 8
    if MAX_DEFLATION * len(data) > needed + MAX_PNG_EXCESS:
        _refuse_excess(data, needed + MAX_PNG_EXCESS)
    return width, height, width * height


def _refuse_excess(data: bytes, most: int) -> None:
    """Unpack the IDAT chunks up to `most` bytes: libpng goes on to their end, however far it is."""
    unpacker, position = zlib.decompressobj(), 8
    while position + 8 <= len(data) and not unpacker.eof:
        (length,) = struct.unpack_from(">I", data, position)
        if data[position + 4 : position + 8] == b"IDAT":
            packed = data[position + 8 : position + 8 + length]
            while packed and not unpacker.eof:
                try:
                    most -= len(unpacker.decompress(packed, 1 << 24))
                except zlib.error:
                    raise _DamagedError from None
                if most < 0:
                    raise ImageError("the PNG image holds far more data than its pixels need")
                packed = unpacker.unconsumed_tail
        position += length + 12


def _webp(data: bytes) -> tuple[int, int, int]:
    """One of three first chunks: lossy, lossless, or extended with a canvas (RFC 9649, 2)."""
    chunk = data[12:16]
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8X" and len(data) >= 30:
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    else:
        raise _DamagedError
    return width, height, width * height


def _bmp(data: bytes) -> tuple[int, int, int]:
    """16-bit sizes in the oldest header, 32-bit ones since; a negative height is top-down."""
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return width, abs(height), width * abs(height)


def _tiff(data: bytes) -> tuple[int, int, int]:
    """Sizes of the first directory's image and of its tiles or strips (TIFF 6.0, BigTIFF)."""
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version == 42:
        (start,) = struct.unpack_from(order + "I", data, 4)
        count_code, entry, value_at = "H", 12, 8
    else:
        (start,) = struct.unpack_from(order + "Q", data, 8)
        count_code, entry, value_at = "Q", 20, 12
    if start >= len(data):
        raise _DamagedError
    (count,) = struct.unpack_from(order + count_code, data, start)
    if count > MAX_TIFF_ENTRIES:
        raise _DamagedError
    start += struct.calcsize("=" + count_code)

    # A tag that comes twice counts with its larger value: which one a decoder takes is open.
    sizes = dict.fromkeys(TIFF_SIZES.values(), 0)
    for position in range(start, start + count * entry, entry):
        tag, kind = struct.unpack_from(order + "HH", data, position)
        if tag not in TIFF_SIZES:
            continue
        if kind not in TIFF_INTEGERS:
            raise _DamagedError
        (value,) = struct.unpack_from(order + TIFF_INTEGERS[kind], data, position + value_at)
        sizes[TIFF_SIZES[tag]] = max(sizes[TIFF_SIZES[tag]], value)

    width, height = sizes["width"], sizes["height"]
    strip = 0 if sizes["rows_per_strip"] >= 0xFFFFFFFF else sizes["rows_per_strip"]
    return width, height, max(sizes["tile_width"] * sizes["tile_height"], width * strip)


TIFF_SIZES = {
    256: "width",
    257: "height",
    278: "rows_per_strip",  # 2³² − 1: all rows in one strip
    322: "tile_width",
    323: "tile_height",
}
TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}

FORMATS = (
    ("JPEG", re.compile(rb"\xff\xd8\xff"), _jpeg),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    ("BMP", re.compile(rb"BM"), _bmp),
    ("TIFF", re.compile(rb"II[*+]\x00|MM\x00[*+]"), _tiff),
)
