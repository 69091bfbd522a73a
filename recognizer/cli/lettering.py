"""Text in the font that is part of this package: DejaVu Sans Condensed.

It has the letters of Latin, Greek, Cyrillic, Armenian, Georgian and Arabic, not those of Chinese,
Japanese, Korean or the scripts of India.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

FONTS = Path(__file__).with_name("fonts")
REGULAR, BOLD = "DejaVuSansCondensed.ttf", "DejaVuSansCondensed-Bold.ttf"
CAPITAL = 0.729
"""Height of a capital of this font, over its size."""


@lru_cache(maxsize=64)
def font(capital: float, bold: bool) -> ImageFont.FreeTypeFont:
    """The font whose capitals have this height in pixels."""
    return ImageFont.truetype(FONTS / (BOLD if bold else REGULAR), max(1.0, capital / CAPITAL))


def text_width(text: str, capital: float, bold: bool = False) -> int:
    """Width in pixels of a text that is written with `write`."""
    return round(font(capital, bold).getlength(drawable(text)))


def write(
    canvas: ImageDraw.ImageDraw,
    text: str,
    place: tuple[float, float],
    capital: float,
    ink: str,
    bold: bool = False,
) -> None:
    """Write one line of text.

    Parameters
    ----------
    canvas : ImageDraw
    text : str
        Characters that the font lacks are written as escapes, such as \\u6f22.
    place : (float, float)
        x and y in pixels of the left end of the base line.
    capital : float
        Height of a capital in pixels.
    ink : str
        A colour, #rrggbb.
    bold : bool
    """
    canvas.text(place, drawable(text), ink, font(capital, bold), anchor="ls")


@lru_cache(maxsize=1024)
def drawable(text: str) -> str:
    """The text with accents and letters composed, and escapes for what the font lacks."""
    return "".join(
        letter if _has(letter) else letter.encode("unicode_escape").decode()
        for letter in unicodedata.normalize("NFC", text)
    )


@lru_cache(maxsize=1024)
def _has(letter: str) -> bool:
    """Whether the font has a letter; a control character is none."""
    return letter.isprintable() and _shape(letter) != _shape(NO_LETTER)


def _shape(letter: str) -> tuple[tuple[int, int], bytes]:
    # The basic layout adds nothing to a letter that stands alone, such as a dotted circle.
    plain = ImageFont.truetype(FONTS / REGULAR, 20, layout_engine=ImageFont.Layout.BASIC)
    mask = plain.getmask(letter)
    return mask.size, bytes(mask)


NO_LETTER = "\uffff"
"""Unicode will never give it a shape; a font shows its empty box."""
