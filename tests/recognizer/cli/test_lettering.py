"""Text in any language: letters of the font, and escapes for the others."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from recognizer.cli.lettering import FONTS, drawable, text_width, write


@pytest.mark.parametrize(
    "text",
    [
        "neutral 97%",
        "glücklich, étonné, szczęśliwy, đẹp, şaşkın, örömteli",
        "радость, щастя, їжак",
        "χαρά, έκπληξη",
        "ուրախ, ბედნიერი",
        "فرح",
        "שמחה",
        "“…” – ×",
    ],
)
def test_letters_of_the_font_are_kept(text):
    assert drawable(text) == text


def test_an_accent_is_composed_with_its_letter():
    assert drawable("e\u0301tonne\u0301") == "étonné"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("幸福", r"\u5e78\u798f"),
        ("한", r"\ud55c"),
        ("हि", r"\u0939\u093f"),
        ("a\nb\0", r"a\nb\x00"),
        ("\udc80", r"\udc80"),
        ("\u202eabc", r"\u202eabc"),
    ],
)
def test_other_letters_are_escaped(text, escaped):
    assert drawable(text) == escaped


def ink(text, capital=20, bold=False):
    """The pixels of a text, bool [60, 400]; its base line is row 40."""
    picture = Image.new("L", (400, 60))
    write(ImageDraw.Draw(picture), text, (10, 40), capital, "#ffffff", bold)
    return np.asarray(picture) > 127


def test_capitals_have_the_requested_height():
    for capital in (10, 20, 30):
        rows = np.flatnonzero(ink("H", capital).any(axis=1))
        assert rows[-1] == 39
        assert len(rows) == pytest.approx(capital, abs=1)


@pytest.mark.parametrize("bold", [False, True])
def test_the_width_is_that_of_the_ink(bold):
    columns = np.flatnonzero(ink("HHHHHHHH", bold=bold).any(axis=0))
    assert columns[-1] - columns[0] == pytest.approx(text_width("HHHHHHHH", 20, bold), abs=8)


def test_different_letters_leave_different_ink():
    inks = [ink(text).tobytes() for text in ("?", "ж", "é", "e", "λ", "ő", "\uffff")]
    assert len(set(inks)) == len(inks)
    assert ink("sad", bold=True).sum() > 1.2 * ink("sad").sum()


def test_the_licence_is_in_the_folder_of_the_font():
    names = {path.name for path in FONTS.iterdir()}
    assert names == {
        "DejaVuSansCondensed.ttf",
        "DejaVuSansCondensed-Bold.ttf",
        "LICENSE-DejaVu.txt",
    }
