"""Bytes to pixels: every kind of image that people send, and every way to send it broken."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.image import decode
from recognizer.image_header import MAX_JPEG_SCANS, read_header


def picture(width=80, height=60):
    """A smooth colour picture without symmetry, so that lossy formats keep it and a turn shows."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR))


def saved(image, format_, **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def bgr(image):
    """The pixels of a Pillow image as `decode` gives them, but int."""
    return np.asarray(image.convert("RGB"), int)[..., ::-1]


COLOUR = picture()
GREY = COLOUR.convert("L")
TRANSPARENT = Image.merge("RGBA", (*COLOUR.split(), Image.new("L", COLOUR.size, 255)))
PALETTE = COLOUR.convert("P", palette=Image.Palette.ADAPTIVE)
SIXTEEN = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)

# Name: the file, the picture in it, and the largest mean difference that its compression excuses.
KINDS = {
    "JPEG": (saved(COLOUR, "JPEG", quality=95), COLOUR, 2),
    "JPEG, grey": (saved(GREY, "JPEG", quality=95), GREY, 2),
    "JPEG, progressive": (saved(COLOUR, "JPEG", quality=95, progressive=True), COLOUR, 2),
    "JPEG, CMYK": (saved(COLOUR.convert("CMYK"), "JPEG", quality=95), COLOUR, 2),
    "PNG": (saved(COLOUR, "PNG"), COLOUR, 1),
    "PNG, grey": (saved(GREY, "PNG"), GREY, 0),
    "PNG, grey and alpha": (saved(TRANSPARENT.convert("LA"), "PNG"), GREY, 0),
    "PNG, RGBA": (saved(TRANSPARENT, "PNG"), COLOUR, 1),
    "PNG, palette": (saved(PALETTE, "PNG"), PALETTE, 1),
    "PNG, 1 bit": (saved(COLOUR.convert("1"), "PNG"), COLOUR.convert("1"), 0),
    "PNG, 16-bit grey": (saved(SIXTEEN, "PNG"), GREY, 0),
    "PNG, 16-bit colour": (
        cv2.imencode(".png", np.asarray(COLOUR)[..., ::-1].astype(np.uint16) * 257)[1].tobytes(),
        COLOUR,
        1,
    ),
    "WebP": (saved(COLOUR, "WEBP", quality=95), COLOUR, 3),
    "WebP, lossless": (saved(COLOUR, "WEBP", lossless=True), COLOUR, 1),
    "WebP, RGBA": (saved(TRANSPARENT, "WEBP", lossless=True), COLOUR, 1),
    "BMP": (saved(COLOUR, "BMP"), COLOUR, 1),
    "BMP, grey": (saved(GREY, "BMP"), GREY, 0),
    "BMP, palette": (saved(PALETTE, "BMP"), PALETTE, 1),
    "TIFF": (saved(COLOUR, "TIFF"), COLOUR, 1),
    "TIFF, grey": (saved(GREY, "TIFF"), GREY, 0),
    "TIFF, LZW": (saved(COLOUR, "TIFF", compression="tiff_lzw"), COLOUR, 1),
    "TIFF, JPEG inside": (saved(COLOUR, "TIFF", compression="jpeg", quality=95), COLOUR, 2),
    "TIFF, RGBA": (saved(TRANSPARENT, "TIFF"), COLOUR, 1),
    "TIFF, palette": (saved(PALETTE, "TIFF"), PALETTE, 1),
    "TIFF, CMYK": (saved(COLOUR.convert("CMYK"), "TIFF"), COLOUR, 2),
    "TIFF, 16-bit": (saved(SIXTEEN, "TIFF"), GREY, 0),
    "TIFF, big": (saved(COLOUR, "TIFF", big_tiff=True), COLOUR, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_read(kind):
    data, original, tolerance = KINDS[kind]
    image = decode(data)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (60, 80, 3)
    assert (image.width, image.height) == (80, 60)
    assert np.abs(image.pixels - bgr(original)).mean() <= tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_header_tells_the_size_that_is_decoded(kind):
    data, original, _ = KINDS[kind]
    header = read_header(data)
    assert (header.width, header.height) == original.size
    assert header.pixels >= 80 * 60
    assert kind.startswith(header.format)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(format_, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = saved(COLOUR, format_, exif=exif, **options)
    expected = bgr(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    image = decode(data)
    assert image.pixels.shape == expected.shape == (image.height, image.width, 3)
    assert np.abs(image.pixels - expected).mean() < 3


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF"])
def test_grey_levels_come_through_unchanged(format_):
    pixels = np.random.default_rng(1).integers(0, 256, (48, 48), dtype=np.uint8)
    decoded = decode(saved(Image.fromarray(pixels), format_)).pixels
    for channel in range(3):
        np.testing.assert_array_equal(decoded[..., channel], pixels)


def test_what_lies_under_transparency_is_kept():
    see_through = TRANSPARENT.copy()
    see_through.putalpha(0)
    assert np.abs(decode(saved(see_through, "PNG")).pixels - bgr(COLOUR)).mean() <= 1


# ---------------------------------------------------------------- sizes


def png_claiming(width, height, rows=b"\0"):
    """A well-formed PNG whose header claims any size, whatever stands in its rows."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(rows)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def with_bytes(data, position, replacement):
    return data[:position] + replacement + data[position + len(replacement) :]


def jpeg_claiming(width, height):
    data = saved(GREY, "JPEG")
    return with_bytes(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def tiff_claiming(tag, value, **options):
    """A TIFF with another value for one of its tags, written as a 32-bit one."""
    data = saved(GREY, "TIFF", **options)
    start = struct.unpack_from("<I", data, 4)[0] + 2
    (count,) = struct.unpack_from("<H", data, start - 2)
    for position in range(start, start + 12 * count, 12):
        if struct.unpack_from("<H", data, position)[0] == tag:
            return with_bytes(data, position, struct.pack("<HHII", tag, 4, 1, value))
    raise AssertionError(f"no tag {tag}")


BOMBS = {
    "PNG": png_claiming(60_000, 60_000),
    "JPEG": jpeg_claiming(60_000, 60_000),
    "WebP, lossy": with_bytes(KINDS["WebP"][0], 26, struct.pack("<HH", 16_000, 16_000)),
    "WebP, lossless": with_bytes(KINDS["WebP, lossless"][0], 21, b"\xff\xff\xff\x0f"),
    "WebP, canvas": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff" * 6,
    "BMP": with_bytes(KINDS["BMP"][0], 18, struct.pack("<ii", 60_000, -60_000)),
    "BMP, oldest header": b"BM" + bytes(12) + struct.pack("<IHH", 12, 60_000, 60_000) + bytes(50),
    "TIFF": tiff_claiming(256, 1_000_000),
    "TIFF, strips": tiff_claiming(278, 1_000_000),
    "BigTIFF": with_bytes(
        KINDS["TIFF, big"][0],
        KINDS["TIFF, big"][0].index(struct.pack("<HH", 256, 4)),
        struct.pack("<HHQQ", 256, 16, 1, 2**40),
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(kind, monkeypatch):
    def explode(*arguments):
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", explode)
    with pytest.raises(TooManyPixelsError, match=r"too many pixels: .* at most 50,000,000"):
        decode(BOMBS[kind])


def test_tiles_count_as_pixels():
    tiled = io.BytesIO()
    # A directory of six entries: the smallest that claims a 10×10 image in one huge tile.
    tags = [(256, 10), (257, 10), (258, 8), (259, 1), (322, 30_000), (323, 30_000)]
    tiled.write(struct.pack("<2sHIH", b"II", 42, 8, len(tags)))
    for tag, value in tags:
        tiled.write(struct.pack("<HHII", tag, 4, 1, value))
    with pytest.raises(TooManyPixelsError):
        decode(tiled.getvalue() + bytes(4))


def test_the_limit_is_inclusive():
    data, _, _ = KINDS["PNG"]
    assert decode(data, max_pixels=80 * 60).pixels.shape == (60, 80, 3)
    with pytest.raises(TooManyPixelsError, match="80×60 need 4,800, at most 4,799"):
        decode(data, max_pixels=80 * 60 - 1)


def test_a_png_that_unpacks_to_far_more_than_its_pixels_is_refused(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)  # libpng would unpack it all
    for excess, sides in ((80 << 20, (10, 10)), (300 << 20, (5000, 5000))):
        data = png_claiming(*sides, rows=bytes(excess))
        assert len(data) < 400_000
        with pytest.raises(ImageError, match="far more data than its pixels need"):
            decode(data)


def test_a_png_may_hold_a_little_more_than_its_pixels():
    rows = bytes(10 * 11) + bytes(1 << 20)
    assert decode(png_claiming(10, 10, rows)).pixels.shape == (10, 10, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16"])
def test_a_large_even_png_is_no_bomb(mode):
    """Nothing packs better; the file is looked through and found to be in order."""
    data = saved(Image.new(mode, (9000, 2700)), "PNG")
    assert read_header(data).pixels == 9000 * 2700


def test_a_jpeg_of_endless_scans_is_refused():
    data, _, _ = KINDS["JPEG, progressive"]
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match=f"more than {MAX_JPEG_SCANS} scans"):
        decode(data[:-2] + last_scan * MAX_JPEG_SCANS + data[-2:])


# ---------------------------------------------------------------- broken ones


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, world", "not an image of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image of a known format"),
        (saved(PALETTE, "GIF"), "not an image of a known format"),
        (b"\xff\xd8\xff", "JPEG image is damaged or cut short"),
        (b"\xff\xd8" + b"\xff\xe0\0\2" * 20_000, "JPEG image is damaged or cut short"),
        (b"\x89PNG\r\n\x1a\n", "PNG image is damaged or cut short"),
        (b"RIFF\0\0\0\0WEBP", "WebP image is damaged or cut short"),
        (b"BM", "BMP image is damaged or cut short"),
        (b"II*\0\xff\xff\xff\xff", "TIFF image is damaged or cut short"),
        (png_claiming(0, 10), "PNG image has no pixels"),
        (png_claiming(10, 10), "PNG image is damaged, cut short"),
        (saved(GREY.convert("F"), "TIFF"), "TIFF image is damaged, cut short, or of a rare kind"),
    ],
)
def test_broken_images_are_answered_with_one_sentence(data, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_cut_short_anywhere_is_refused(kind):
    data, _, _ = KINDS[kind]
    for end in (*range(0, len(data), max(1, len(data) // 40)), len(data) - 1):
        with pytest.raises(ImageError):
            decode(data[:end])


@given(st.binary(max_size=2000))
@settings(max_examples=200)
def test_random_bytes_raise_nothing_else(data):
    with pytest.raises(ImageError):
        decode(data)


@given(
    st.sampled_from([b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0"]),
    st.binary(max_size=500),
)
@settings(max_examples=300)
def test_random_bytes_after_a_magic_number_raise_nothing_else(magic, rest):
    decode_or_refuse(magic + rest)


@given(st.sampled_from(sorted(KINDS)), st.data())
@settings(max_examples=600)
def test_flipped_bits_raise_nothing_else(kind, draw):
    data = bytearray(KINDS[kind][0])
    # Half of the flips hit the first 200 bytes, where the header is.
    place = st.integers(0, 8 * len(data) - 1) | st.integers(0, 8 * min(200, len(data)) - 1)
    for bit in draw.draw(st.lists(place, min_size=1, max_size=8)):
        data[bit // 8] ^= 1 << bit % 8
    decode_or_refuse(bytes(data))


def decode_or_refuse(data):
    """What is not refused is an image, and no larger than its header was judged to be."""
    limit = 1_000_000
    try:
        image = decode(data, limit)
    except ImageError:
        return
    assert image.pixels.dtype == np.uint8
    assert image.width * image.height <= read_header(data).pixels <= limit
