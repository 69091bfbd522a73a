"""Text in the font that is part of this package: DejaVu Sans Condensed.

It has Latin, Greek, Cyrillic, Armenian, Georgian and Arabic letters; it has no Chinese, Japanese,
Korean or Indic ones.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

FONTS = Path(__file__).with_name("fonts")
REGULAR, BOLD = "DejaVuSansCondensed.ttf", "DejaVuSansCondensed-Bold.ttf"
CAPITAL = 0.729
"""Height of a capital letter divided by the size of the font."""


@lru_cache(maxsize=64)
def font(capital: float, bold: bool) -> ImageFont.FreeTypeFont:
    """Return the font whose capital letters have this height in pixels."""
    return ImageFont.truetype(FONTS / (BOLD if bold else REGULAR), max(1.0, capital / CAPITAL))


def text_width(text: str, capital: float, bold: bool = False) -> int:
    """Return the width in pixels of a text that `write` writes."""
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
        Characters that the font does not have are written as escapes, such as \\u6f22.
    place : (float, float)
        x and y of the left end of the base line in pixels.
    capital : float
        Height of a capital letter in pixels.
    ink : str
        A colour, #rrggbb.
    bold : bool
    """
    canvas.text(place, drawable(text), ink, font(capital, bold), anchor="ls")


@lru_cache(maxsize=1024)
def drawable(text: str) -> str:
    """Compose letters and accents (NFC) and escape the characters that the font does not have."""
    return "".join(
        letter if _has(letter) else letter.encode("unicode_escape").decode()
        for letter in unicodedata.normalize("NFC", text)
    )


@lru_cache(maxsize=1024)
def _has(letter: str) -> bool:
    """Whether the font has a printable character."""
    return letter.isprintable() and _shape(letter) != _shape(NO_LETTER)


def _shape(letter: str) -> tuple[tuple[int, int], bytes]:
    # The basic layout adds no dotted circle to a combining letter.
    plain = ImageFont.truetype(FONTS / REGULAR, 20, layout_engine=ImageFont.Layout.BASIC)
    mask = plain.getmask(letter)
    return mask.size, bytes(mask)


NO_LETTER = "\uffff"
"""A noncharacter of Unicode, for which a font shows its empty box."""
