"""Hostile image files, made from seeds: name, bytes, accepted statuses."""

import gzip
import io
import re
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener

register_heif_opener()  # Pillow writes no HEIC by itself.

MAX_PIXELS = 2_000_000
"""The limit of the server in the tests."""

REFUSED = {422}
TOO_LARGE = {413}
ANY = {200, 413, 422}
"""The damage may or may not leave a valid image."""

HostileImage = tuple[str, bytes, set[int]]


def hostile_images() -> Iterator[HostileImage]:
    """All families; names are unique."""
    for family in (
        truncated,
        flipped,
        wrong_magic,
        huge_sizes,
        no_size,
        bombs,
        malformed_exif,
        malformed_tiff,
        polyglots,
        no_images,
    ):
        for name, data, expected in family():
            yield f"{family.__name__}: {name}", data, expected


def saved(image: Image.Image, format_: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


COLOUR = Image.fromarray(
    cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8), (160, 120))
)
GOOD = {
    "JPEG": saved(COLOUR, "JPEG", quality=90),
    "progressive JPEG": saved(COLOUR, "JPEG", quality=90, progressive=True),
    "PNG": saved(COLOUR, "PNG"),
    "palette PNG": saved(COLOUR.convert("P"), "PNG"),
    "WebP": saved(COLOUR, "WEBP"),
    "lossless WebP": saved(COLOUR, "WEBP", lossless=True),
    "BMP": saved(COLOUR, "BMP"),
    "TIFF": saved(COLOUR, "TIFF", compression="tiff_lzw"),
    "BigTIFF": saved(COLOUR, "TIFF", big_tiff=True),
    "GIF": saved(COLOUR.convert("P"), "GIF"),
    "AVIF": saved(COLOUR, "AVIF"),
    "HEIC": saved(COLOUR, "HEIF"),
}


def truncated() -> Iterator[HostileImage]:
    """Truncated in the magic number, in the header, in the middle and just before the end."""
    for kind, data in GOOD.items():
        length = len(data)
        for end in (1, 2, 4, 9, 15, 24, 30, 60, length // 3, length // 2, length - 3, length - 1):
            yield f"{kind} after {end} bytes", data[:end], REFUSED


def flipped() -> Iterator[HostileImage]:
    """Flipped bits: for odd seeds in the first 100 bytes, for even seeds anywhere."""
    for kind, data in GOOD.items():
        for seed in range(12):
            rng = np.random.default_rng(seed)
            damaged = np.frombuffer(data, np.uint8).copy()
            reach = 100 if seed % 2 else len(data)
            for place in rng.integers(0, reach, 2 ** rng.integers(0, 6)):
                damaged[place] ^= 1 << rng.integers(0, 8)
            yield f"{kind}, seed {seed}", damaged.tobytes(), ANY


MAGIC = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WebP": b"RIFF\0\0\0\0WEBP",
    "BMP": b"BM",
    "TIFF": b"II*\0",
    "BigTIFF": b"MM\0+",
    "GIF": b"GIF89a",
    "AVIF": b"\0\0\0\x20ftypavif",
    "HEIC": b"\0\0\0\x20ftypheic",
}


def wrong_magic() -> Iterator[HostileImage]:
    """The magic number of one format, the rest of another."""
    for claimed, magic in MAGIC.items():
        for kind in MAGIC:
            if claimed != kind:
                rest = GOOD[kind][len(magic) :]
                # Its other brands are those of an AVIF.
                expected = ANY if (kind, claimed) == ("AVIF", "HEIC") else {413, 422}
                yield f"{kind} as {claimed}", magic + rest, expected


# ---------------------------------------------------------------- sizes


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG, its checksum included."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG with any header and these chunks before its end."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return MAGIC["PNG"] + header + b"".join(chunks) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims any size."""
    data = bytearray(GOOD["JPEG"])
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, start: int = 54) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1000, 0, 0, start) + header + bytes(1000)


def gif(width: int, height: int, frame_width: int = 10, frame_height: int = 10) -> bytes:
    """A GIF whose screen and first frame claim any size."""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, frame_width, frame_height, 0)
    return b"GIF89a" + screen + frame + b"\x02\x02\x4c\x01\0;"


def heif(kind: str, width: int, height: int) -> bytes:
    """An AVIF or HEIC whose properties `ispe` claim any size."""
    size = struct.pack(">II", width, height)
    return re.sub(rb"(?<=ispe.{4}).{8}", lambda _: size, GOOD[kind], flags=re.DOTALL)


def webp(width: int, height: int) -> bytes:
    """The extended format, whose canvas has sides of 24 bits."""
    canvas = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + canvas


TIFF_BASICS = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 10, 279: 100}
"""Tag and value: 10×10 grey pixels, uncompressed, in one strip at byte 200."""


def tiff(following: int = 0, **values: int) -> bytes:
    """A small TIFF; keywords tag_N replace or add tags, `following` is the next directory."""
    tags = TIFF_BASICS | {int(name[4:]): value for name, value in values.items()}
    data = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    for tag, value in sorted(tags.items()):
        data += struct.pack("<HHII", tag, 4, 1, value)
    return (data + struct.pack("<I", following)).ljust(200, b"\0") + bytes(range(100))


def huge_sizes() -> Iterator[HostileImage]:
    """A few hundred bytes that claim up to 2⁶⁴ pixels."""
    for width, height in ((60_000, 60_000), (MAX_PIXELS + 1, 1), (1, MAX_PIXELS + 1)):
        size = f"{width}×{height}"
        yield f"PNG {size}", png(width, height), TOO_LARGE
        yield f"BMP {size}", bmp(width, -height), TOO_LARGE
        yield f"WebP {size}", webp(width, height), {413, 422}
        yield f"TIFF {size}", tiff(tag_256=width, tag_257=height), TOO_LARGE
        yield f"AVIF {size}", heif("AVIF", width, height), {413, 422}
        yield f"HEIC {size}", heif("HEIC", width, height), TOO_LARGE
    yield "PNG, all bits", png(2**32 - 1, 2**32 - 1), TOO_LARGE
    yield "PNG, negative", png(2**31, 2**31), TOO_LARGE
    yield "GIF", gif(65_535, 65_535), TOO_LARGE
    yield "GIF, a frame beyond the screen", gif(10, 10, 60_000, 60_000), REFUSED
    yield "JPEG", jpeg(65_535, 65_535), TOO_LARGE
    yield "JPEG, a line", jpeg(65_535, 31), TOO_LARGE
    yield "BMP, most negative", bmp(2**31 - 1, -(2**31)), TOO_LARGE
    yield "WebP, all bits", webp(2**24, 2**24), TOO_LARGE
    yield "TIFF, strips", tiff(tag_278=2**31), TOO_LARGE
    yield "TIFF, tiles", tiff(tag_322=2**16, tag_323=2**16), TOO_LARGE
    yield "TIFF, both sides", tiff(tag_256=2**32 - 1, tag_257=2**32 - 1), TOO_LARGE
    big = GOOD["BigTIFF"]
    place = big.index(struct.pack("<HH", 256, 4))
    claimed = struct.pack("<HHQQ", 256, 16, 1, 2**64 - 1)
    yield "BigTIFF", big[:place] + claimed + big[place + len(claimed) :], TOO_LARGE


def no_size() -> Iterator[HostileImage]:
    """Sizes of zero or less."""
    for width, height in ((0, 0), (0, 10), (10, 0)):
        size = f"{width}×{height}"
        yield f"PNG {size}", png(width, height), REFUSED
        yield f"JPEG {size}", jpeg(width, height), REFUSED
        yield f"BMP {size}", bmp(width, height), REFUSED
        yield f"TIFF {size}", tiff(tag_256=width, tag_257=height), REFUSED
    yield "BMP -10×10", bmp(-10, 10), {413, 422}
    lossy = bytearray(GOOD["WebP"])
    lossy[26:30] = bytes(4)
    yield "WebP 0×0", bytes(lossy), REFUSED


# ---------------------------------------------------------------- bombs


def bombs() -> Iterator[HostileImage]:
    """Small files that decompress to large ones."""
    side = int(MAX_PIXELS**0.5)
    black = zlib.compress(bytes(side * (side + 1)), 9)
    yield "PNG at the limit", png(side, side, chunk(b"IDAT", black)), {200}
    deep = zlib.compress(bytes(side * (8 * side + 1)), 1)
    yield "PNG, 64 bits a pixel", png(side, side, chunk(b"IDAT", deep), bits=16, colour=6), {200}
    bomb = zlib.compress(bytes(40_000_000), 9)
    text, profile = b"Comment\0\0" + bomb, b"icc\0\0" + bomb
    pixels = chunk(b"IDAT", zlib.compress(bytes(10 * 11)))
    yield "PNG, compressed text", png(10, 10, chunk(b"zTXt", text), pixels), {200, 422}
    yield "PNG, compressed profile", png(10, 10, chunk(b"iCCP", profile), pixels), {200, 422}
    yield "PNG, more pixels than declared", png(10, 10, chunk(b"IDAT", bomb)), {200, 422}
    yield "PNG, animation", png(10, 10, chunk(b"acTL", b"\xff" * 8), pixels), {200, 422}
    many = pixels[:-4] + bytes(4)
    yield "PNG, wrong checksum", png(10, 10, many), {200, 422}
    yield "PNG, ten thousand chunks", png(10, 10, chunk(b"tEXt", b"a\0b") * 10_000, pixels), {200}
    yield "TIFF, compressed strip", compressed_tiff(bomb), {200, 422}
    yield "TIFF, samples", tiff(tag_256=1000, tag_257=1000, tag_277=65_535), {413, 422}
    yield "TIFF, bits", tiff(tag_256=1000, tag_257=1000, tag_258=65_535), {413, 422}
    large = Image.new("RGB", (side, side))
    scans = saved(large, "JPEG", progressive=True)
    scan = scans[scans.rindex(b"\xff\xda") : -2]
    yield "JPEG, scans", scans[:-2] + scan * 100 + b"\xff\xd9", REFUSED
    yield "JPEG, segments", b"\xff\xd8" + b"\xff\xe0\0\2" * 20_000 + GOOD["JPEG"][2:], REFUSED
    frames = [Image.new("RGB", (64, 64), (k, k, k)) for k in range(100)]
    animation = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    yield "WebP, animation", animation, {200, 422}
    yield "BMP, run lengths", bmp(1000, 1000, bits=8, compression=1), {200, 422}
    flat = Image.new("RGB", (2 * side, 2 * side))
    place = re.compile(rb"(?<=ispe.{4}).{8}", re.DOTALL)
    for kind, format_, options in (("AVIF", "AVIF", {"speed": 10}), ("HEIC", "HEIF", {})):
        data = saved(flat, format_, quality=1, **options)
        small = place.sub(struct.pack(">II", 64, 64), data)
        yield f"{kind}, a frame larger than it claims", small, REFUSED
        yield f"{kind}, too many pixels", data, TOO_LARGE
    yield "GIF, comments", GOOD["GIF"][:-1] + b"\x21\xfe\x01a\0" * 100_000 + b";", {200, 422}
    cells = [Image.fromarray(np.full((8, 8), k, np.uint8)) for k in range(200)]
    frames = saved(cells[0], "GIF", save_all=True, append_images=cells[1:])
    yield "GIF, animation", frames, {200}
    yield "gzip", gzip.compress(bytes(20_000_000), mtime=0), REFUSED


def compressed_tiff(strip: bytes) -> bytes:
    """A TIFF of 10×10 pixels whose strip (deflate) decompresses to far more."""
    data = tiff(tag_259=8, tag_279=len(strip))
    return data[:200] + strip


# ---------------------------------------------------------------- metadata


def directory(entries: list[tuple[int, int, int, int]], following: int, count=None) -> bytes:
    """One image file directory: entries of tag, type, count and value."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", count or len(entries)) + body + struct.pack("<I", following)


def malformed_exif() -> Iterator[HostileImage]:
    """EXIF directories with cycles, deep nesting, wrong counts or offsets outside the file."""
    head = b"II*\0" + struct.pack("<I", 8)
    orientation = (0x112, 3, 1, 6)
    nested = b"".join(directory([(0x8769, 4, 1, 8 + 18 * (k + 1))], 0) for k in range(3000))
    blocks = {
        "to itself": head + directory([orientation, (0x8769, 4, 1, 8)], 8),
        "nested": head + nested,
        "more entries than there are": head + directory([orientation], 0, count=65_535),
        "a count of 2³²": head + directory([(0x112, 3, 2**32 - 1, 0)], 0),
        "text outside": head + directory([(0x10E, 2, 2**32 - 1, 2**32 - 1)], 2**32 - 1),
        "start outside": b"II*\0\xff\xff\xff\xff",
        "start in the middle of itself": b"II*\0" + struct.pack("<I", 1),
        "no such orientation": head + directory([(0x112, 3, 1, 65_535)], 0),
        "unknown types": head + directory([(0x112, kind, 1, 6) for kind in range(2000)], 0),
        "nothing": b"",
        "noise": np.random.default_rng(0).bytes(3000),
    }
    for name, block in blocks.items():
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
        if len(segment) < 65_536:
            yield f"JPEG, {name}", GOOD["JPEG"][:2] + segment + GOOD["JPEG"][2:], {200, 422}
        pixels = chunk(b"IDAT", zlib.compress(bytes(10 * 11)))
        yield f"PNG, {name}", png(10, 10, chunk(b"eXIf", block), pixels), {200, 422}
        yield f"WebP, {name}", saved(COLOUR, "WEBP", exif=b"Exif\0\0" + block), {200, 422}


def malformed_tiff() -> Iterator[HostileImage]:
    """Directories and strips of a TIFF with cycles, overlaps or offsets outside the file."""
    yield "the next directory is itself", tiff(following=8), {200, 422}
    yield "the next directory is outside", tiff(following=2**32 - 1), {200, 422}
    yield "an inner directory is itself", tiff(tag_330=8, tag_34665=8), {200, 422}
    yield "strip outside", tiff(tag_273=2**32 - 1), REFUSED
    yield "strip longer than the file", tiff(tag_279=2**32 - 1), {200, 422}
    yield "no rows in a strip", tiff(tag_278=0), {200, 422}
    yield "tiles of no size", tiff(tag_322=0, tag_323=0), {200, 422}
    yield "unknown compression", tiff(tag_259=65_000), {200, 422}
    yield "unknown colours", tiff(tag_262=65_000), {200, 422}
    yield "palette without colours", tiff(tag_262=3), {200, 422}
    yield "no samples", tiff(tag_277=0), {200, 422}
    yield "planes", tiff(tag_284=2, tag_277=4), {200, 422}
    yield "an empty directory", b"II*\0" + struct.pack("<IH", 8, 0), REFUSED
    entries = [(tag, 4, 1, 1) for tag in range(4097)]
    yield "too many entries", b"II*\0" + struct.pack("<I", 8) + directory(entries, 0), REFUSED
    # Decoders differ in which of two equal tags they use.
    both = [(256, 4, 1, 10), (256, 4, 1, 2**31)]
    rest = [(tag, 4, 1, value) for tag, value in TIFF_BASICS.items() if tag > 256]
    for widths in (both, both[::-1]):
        twice = b"II*\0" + struct.pack("<I", 8) + directory([*widths, *rest], 0)
        data = twice.ljust(200, b"\0") + bytes(100)
        yield f"width {widths[0][3]}, then {widths[1][3]}", data, REFUSED


# ---------------------------------------------------------------- other files


def polyglots() -> Iterator[HostileImage]:
    """Files that are an image and something else."""
    script = b"<script>alert(1)</script><?php system('id'); ?>"
    archive = b"PK\x03\x04" + bytes(200) + b"PK\x05\x06" + bytes(18)
    comment = b"\xff\xfe" + struct.pack(">H", len(script) + 2) + script
    yield "JPEG with a script", GOOD["JPEG"][:2] + comment + GOOD["JPEG"][2:], {200}
    for kind in ("JPEG", "PNG", "WebP", "BMP", "TIFF"):
        yield f"{kind} and ZIP", GOOD[kind] + archive, {200}
        yield f"{kind} and HTML", GOOD[kind] + script, {200}
        yield f"{kind} twice", GOOD[kind] * 2, {200}
        yield f"PDF and {kind}", b"%PDF-1.7\n" + GOOD[kind], REFUSED
        yield f"GIF and {kind}", b"GIF89a/*" + GOOD[kind], {413, 422}


def no_images() -> Iterator[HostileImage]:
    """Other files, and formats that OpenCV could read but the server does not offer."""
    beginnings = {
        "nothing": b"",
        "one byte": b"\0",
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
        "noise": np.random.default_rng(1).bytes(10_000),
        "text": b"hello" * 100,
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "XML entities": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 99999 +X 99999\n",
        "PBM": b"P1 99999 99999\n",
        "PPM": b"P6 99999 99999 255\n",
        "PFM": b"PF 99999 99999 -1.0\n",
        "PAM": b"P7\nWIDTH 99999\nHEIGHT 99999\nDEPTH 4\nMAXVAL 255\nENDHDR\n",
        "Sun raster": b"\x59\xa6\x6a\x95" + bytes(100),
        "OpenEXR": b"\x76\x2f\x31\x01" + bytes(100),
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
        "AVIF": b"\0\0\0\x20ftypavif" + bytes(100),
        "HEIC": b"\0\0\0\x20ftypheic" + bytes(100),
        "DICOM": bytes(128) + b"DICM" + bytes(100),
        "ICO": b"\0\0\1\0\1\0" + bytes(100),
        "MP4": b"\0\0\0\x20ftypisom" + bytes(100),
        "ELF": b"\x7fELF" + bytes(100),
        "ZIP": b"PK\x03\x04" + bytes(100),
        "pickle": b"\x80\x04c__builtin__\nexec\n.",
        "a path": b"/etc/passwd",
        "an address": b"http://127.0.0.1:1/face.jpg",
    }
    for name, data in beginnings.items():
        yield name, data, REFUSED
    for format_ in ("PPM", "ICO", "JPEG2000"):
        yield f"a good {format_}", saved(COLOUR, format_), REFUSED
