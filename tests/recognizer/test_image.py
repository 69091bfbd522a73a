"""Bytes to pixels: every format and colour type, and damaged, forged and foreign files."""

import io
import re
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from pillow_heif import HeifImageFile, register_heif_opener

from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.image import decode
from recognizer.image_header import MAX_JPEG_SCANS, read_header

register_heif_opener()  # The fixtures are written with it.


def picture(width=80, height=60):
    """A smooth, asymmetric colour picture: lossy formats keep it, and a rotation changes it."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR))


def saved(image, format_, **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def bgr(image):
    """The pixels of a Pillow image as of `decode`, but int."""
    return np.asarray(image.convert("RGB"), int)[..., ::-1]


COLOUR = picture()
GREY = COLOUR.convert("L")
TRANSPARENT = Image.merge("RGBA", (*COLOUR.split(), Image.new("L", COLOUR.size, 255)))
PALETTE = COLOUR.convert("P", palette=Image.Palette.ADAPTIVE)
BLACK = Image.new("RGB", COLOUR.size)
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
    "GIF": (saved(PALETTE, "GIF"), PALETTE, 0),
    "GIF, interlaced": (saved(PALETTE, "GIF", interlace=1), PALETTE, 0),
    "GIF, animation": (saved(PALETTE, "GIF", save_all=True, append_images=[BLACK] * 3), PALETTE, 0),
    "AVIF": (saved(COLOUR, "AVIF", quality=90), COLOUR, 5),
    "AVIF, grey": (saved(GREY, "AVIF", quality=90), GREY, 3),
    "AVIF, RGBA": (saved(TRANSPARENT, "AVIF", quality=90), COLOUR, 5),
    "HEIC": (saved(COLOUR, "HEIF", quality=90), COLOUR, 5),
    "HEIC, grey": (saved(GREY, "HEIF", quality=90), GREY, 3),
    "HEIC, RGBA": (saved(TRANSPARENT, "HEIF", quality=90), COLOUR, 5),
    "HEIC, 12-bit grey": (saved(SIXTEEN, "HEIF", quality=90), GREY, 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_format_is_read(kind):
    data, original, tolerance = KINDS[kind]
    image = decode(data)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (60, 80, 3)
    assert (image.width, image.height) == (80, 60)
    assert np.abs(image.pixels - bgr(original)).mean() <= tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_has_the_decoded_size(kind):
    data, original, _ = KINDS[kind]
    header = read_header(data)
    assert (header.width, header.height) == original.size
    assert header.pixels >= 80 * 60
    assert kind.startswith(header.format)


BEST = {key: {"quality": 95} for key in ("JPEG", "AVIF", "HEIF")} | {"WEBP": {"lossless": True}}


def turned(image, orientation):
    """An image rotated upright by Pillow, in a lossless format."""
    exif = Image.Exif()
    exif[274] = orientation
    return ImageOps.exif_transpose(Image.open(io.BytesIO(saved(image, "PNG", exif=exif))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_the_orientation_is_applied_once(format_, orientation):
    """Pillow writes it into an AVIF and a HEIC as the orientation of HEIF, which overrides EXIF."""
    exif = Image.Exif()
    exif[274] = orientation
    data = saved(COLOUR, format_, exif=exif.tobytes(), **BEST.get(format_, {}))
    expected = bgr(turned(COLOUR, orientation))
    image = decode(data)
    assert image.pixels.shape == expected.shape == (image.height, image.width, 3)
    assert np.abs(image.pixels - expected).mean() < 5


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF"])
def test_grey_levels_come_through_unchanged(format_):
    pixels = np.random.default_rng(1).integers(0, 256, (48, 48), dtype=np.uint8)
    decoded = decode(saved(Image.fromarray(pixels), format_)).pixels
    for channel in range(3):
        np.testing.assert_array_equal(decoded[..., channel], pixels)


def test_transparent_pixels_keep_their_colours():
    see_through = TRANSPARENT.copy()
    see_through.putalpha(0)
    assert np.abs(decode(saved(see_through, "PNG")).pixels - bgr(COLOUR)).mean() <= 1


def test_of_several_images_the_first_is_read():
    data = saved(COLOUR, "HEIF", quality=90, save_all=True, append_images=[BLACK])
    assert np.abs(decode(data).pixels - bgr(COLOUR)).mean() < 5


def test_a_gif_whose_first_frame_is_smaller_than_its_screen_is_read():
    data = bytearray(saved(PALETTE, "GIF"))
    struct.pack_into("<HH", data, 6, 100, 90)
    image = decode(bytes(data))
    assert (image.width, image.height) == (100, 90)
    assert np.abs(image.pixels[:60, :80] - bgr(PALETTE)).mean() == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "AVIF", "HEIC"])
def test_any_colour_profile_is_ignored(kind):
    format_ = {"WebP": "WEBP", "HEIC": "HEIF"}.get(kind, kind)
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (other, b"no profile" * 100):
        data = saved(COLOUR, format_, icc_profile=profile, **BEST.get(format_, {}))
        assert profile in data or kind == "PNG"
        assert np.abs(decode(data).pixels - bgr(COLOUR)).mean() < 5


def test_the_same_bytes_give_the_same_pixels_in_every_thread():
    kinds = [data for data, _, _ in KINDS.values()]
    expected = [decode(data).pixels for data in kinds]
    with ThreadPoolExecutor(8) as pool:
        for pixels, same in zip(pool.map(decode, 20 * kinds), 20 * expected, strict=True):
            np.testing.assert_array_equal(pixels.pixels, same)


# ---------------------------------------------------------------- reduced


def large(width, height):
    """A smooth picture, which looks the same when it is reduced."""
    return COLOUR.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((1600, 1200), (1600, 1200)),
        ((3198, 2000), (3198, 2000)),
        ((3199, 2001), (1600, 1001)),
        ((2001, 3199), (1001, 1600)),
        ((4032, 3024), (2016, 1512)),
        ((8160, 40), (2040, 10)),
        ((12800, 400), (1600, 50)),
        ((3200, 3200), (1600, 1600)),
        # Its reduced sides would be equal and would not show a rotation.
        ((3201, 3202), (3201, 3202)),
    ],
)
def test_a_large_jpeg_is_reduced_while_its_longer_side_keeps_1600_pixels(size, shown):
    data = saved(large(*size), "JPEG", quality=95)
    image = decode(data)
    assert (image.width, image.height) == size
    assert image.pixels.shape == (*shown[::-1], 3)
    assert image.scale == pytest.approx(size[0] / shown[0])
    full = decode(data, long_side=None)
    assert (full.width, full.height) == size
    assert full.pixels.shape == (*size[::-1], 3)
    small = cv2.resize(full.pixels, shown, interpolation=cv2.INTER_AREA)
    assert np.abs(image.pixels.astype(int) - small).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(400, 299), (299, 400), (320, 320)])
def test_a_reduced_image_is_upright(orientation, size):
    exif = Image.Exif()
    exif[274] = orientation
    upright = turned(large(*size), orientation)
    image = decode(saved(large(*size), "JPEG", quality=95, exif=exif), long_side=100)
    assert (image.width, image.height) == upright.size
    expected = np.asarray(upright.resize(image.pixels.shape[1::-1], Image.Resampling.BOX), int)
    assert max(image.pixels.shape) in {100, 160}
    assert np.abs(image.pixels - expected[..., ::-1]).mean() < 4


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "BMP"])
def test_other_formats_are_decoded_at_their_full_size(format_):
    assert decode(saved(large(3300, 20), format_)).pixels.shape == (20, 3300, 3)


def test_a_reduced_jpeg_cut_short_is_refused():
    data = saved(large(3300, 2000), "JPEG")
    for end in (len(data) // 2, len(data) * 9 // 10, len(data) - 1):
        with pytest.raises(ImageError, match="JPEG image is damaged, cut short"):
            decode(data[:end])


# ---------------------------------------------------------------- sizes


def png_claiming(width, height, rows=b"\0"):
    """A well-formed PNG whose header claims a size, with any rows."""

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
    """A TIFF with another value of a tag, written in 32 bits."""
    data = saved(GREY, "TIFF", **options)
    start = struct.unpack_from("<I", data, 4)[0] + 2
    (count,) = struct.unpack_from("<H", data, start - 2)
    for position in range(start, start + 12 * count, 12):
        if struct.unpack_from("<H", data, position)[0] == tag:
            return with_bytes(data, position, struct.pack("<HHII", tag, 4, 1, value))
    raise AssertionError(f"no tag {tag}")


def heif_claiming(data, width, height):
    """An AVIF or HEIC with another size in its properties `ispe`."""
    size = re.compile(rb"(?<=ispe.{4}).{8}", re.DOTALL)
    return size.sub(struct.pack(">II", width, height), data)


BOMBS = {
    "PNG": png_claiming(60_000, 60_000),
    "JPEG": jpeg_claiming(60_000, 60_000),
    "WebP, lossy": with_bytes(KINDS["WebP"][0], 26, struct.pack("<HH", 16_000, 16_000)),
    "WebP, lossless": with_bytes(KINDS["WebP, lossless"][0], 21, b"\xff\xff\xff\x0f"),
    "WebP, canvas": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff" * 6,
    "BMP": with_bytes(KINDS["BMP"][0], 18, struct.pack("<ii", 60_000, -60_000)),
    "BMP, oldest header": b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 60_000, 60_000, 1, 24),
    "TIFF": tiff_claiming(256, 1_000_000),
    "TIFF, strips": tiff_claiming(278, 1_000_000),
    "GIF": with_bytes(KINDS["GIF"][0], 6, b"\xff" * 4),
    "AVIF": heif_claiming(KINDS["AVIF"][0], 16_000, 16_000),
    "HEIC": heif_claiming(KINDS["HEIC"][0], 60_000, 60_000),
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
    monkeypatch.setattr(av, "open", explode)
    monkeypatch.setattr(HeifImageFile, "load", explode)
    with pytest.raises(TooManyPixelsError, match="the image has too many pixels: "):
        decode(BOMBS[kind], max_pixels=50_000_000)


def test_tiles_count_as_pixels():
    tiled = io.BytesIO()
    # The smallest directory with a 10×10 image in one huge tile.
    tags = [(256, 10), (257, 10), (258, 8), (259, 1), (262, 1)]
    tags += [(322, 30_000), (323, 30_000), (324, 8), (325, 100)]
    tiled.write(struct.pack("<2sHIH", b"II", 42, 8, len(tags)))
    for tag, value in tags:
        tiled.write(struct.pack("<HHII", tag, 4, 1, value))
    with pytest.raises(TooManyPixelsError):
        decode(tiled.getvalue() + bytes(4), max_pixels=50_000_000)


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


def test_a_png_may_have_a_little_more_data_than_its_pixels():
    rows = bytes(10 * 11) + bytes(1 << 20)
    assert decode(png_claiming(10, 10, rows)).pixels.shape == (10, 10, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16"])
def test_a_large_png_of_one_colour_is_read(mode):
    """It has the highest compression ratio, so its data is unpacked and accepted."""
    data = saved(Image.new(mode, (9000, 2700)), "PNG")
    assert read_header(data).pixels == 9000 * 2700


def test_a_jpeg_of_many_scans_is_refused():
    data, _, _ = KINDS["JPEG, progressive"]
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match=f"more than {MAX_JPEG_SCANS} scans"):
        decode(data[:-2] + last_scan * MAX_JPEG_SCANS + data[-2:])


def test_an_avif_whose_frame_is_larger_than_it_claims_is_refused():
    """In a process of its own, which prints its peak memory."""
    large = saved(Image.new("RGB", (6000, 6000)), "AVIF", speed=10)
    assert len(large) < 10_000
    script = """
import resource, sys
from recognizer.errors import ImageError
from recognizer.image import decode
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(data)
except ImageError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=heif_claiming(large, 64, 64),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    reason, growth = done.stdout.decode().splitlines()
    assert reason.startswith("the AVIF image is damaged")
    assert int(growth) < 20_000  # kB; the frame alone is 54 MB
    assert done.stderr == b""


# ---------------------------------------------------------------- broken ones


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, world", "not an image of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image of a known format"),
        (saved(COLOUR, "JPEG2000"), "expected JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC"),
        (saved(COLOUR, "ICO"), "not an image of a known format"),
        (b"\xff\xd8\xff", "JPEG image is damaged or cut short"),
        (b"\xff\xd8" + b"\xff\xe0\0\2" * 20_000, "JPEG image is damaged or cut short"),
        (b"\x89PNG\r\n\x1a\n", "PNG image is damaged or cut short"),
        (b"RIFF\0\0\0\0WEBP", "WebP image is damaged or cut short"),
        (b"GIF89a", "GIF image is damaged or cut short"),
        (b"\0\0\0\x20ftypavif", "AVIF image is damaged or cut short"),
        (b"\0\0\0\x20ftypheic", "HEIC image is damaged or cut short"),
        (b"BM", "BMP image is damaged or cut short"),
        (b"II*\0\xff\xff\xff\xff", "TIFF image is damaged or cut short"),
        (png_claiming(0, 10), "PNG image has no pixels"),
        (png_claiming(10, 10), "PNG image is damaged, cut short"),
        (saved(GREY.convert("F"), "TIFF"), "TIFF image is damaged, cut short, or of a rare kind"),
    ],
)
def test_broken_images_are_an_error_of_one_sentence(data, reason):
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
def test_random_bytes_raise_no_other_exception(data):
    with pytest.raises(ImageError):
        decode(data)


HEIF_BEGINNINGS = [b"\0\0\0\x18ftyp" + brand for brand in (b"heic", b"avif", b"mif1")]


@given(
    st.sampled_from(
        [b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"GIF89a", b"\0\0\0\x18ftypheic"]
    ),
    st.binary(max_size=500),
)
@settings(max_examples=300)
def test_random_bytes_after_a_magic_number_raise_no_other_exception(magic, rest):
    decode_or_refuse(magic + rest)


@given(st.sampled_from(sorted(KINDS)), st.data())
@settings(max_examples=600)
def test_flipped_bits_raise_no_other_exception(kind, draw):
    data = bytearray(KINDS[kind][0])
    # Half of the flips are in the first 200 bytes, in the header.
    place = st.integers(0, 8 * len(data) - 1) | st.integers(0, 8 * min(200, len(data)) - 1)
    for bit in draw.draw(st.lists(place, min_size=1, max_size=8)):
        data[bit // 8] ^= 1 << bit % 8
    decode_or_refuse(bytes(data))


def decode_or_refuse(data):
    """An image that is not refused has at most the pixels of its header."""
    limit = 1_000_000
    try:
        image = decode(data, limit)
    except ImageError:
        return
    assert image.pixels.dtype == np.uint8
    assert image.width * image.height <= read_header(data).pixels <= limit
