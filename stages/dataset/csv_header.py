"""The first line of a CSV that a user gives: the names of its columns, and what is wrong there."""

from codecs import BOM_UTF8

from stages.dataset.fer_csv import HEADER, OPTIONAL, shortened
from stages.errors import UserError
from stages.wording import nearest

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What other programs write in place of commas."""


def columns_of(header: bytes) -> list[str]:
    """The names of the columns, without quotes and spaces around them."""
    names = header.removeprefix(BOM_UTF8).strip().decode(errors="replace").split(",")
    return [name.strip(' "') for name in names]


def check_header(header: bytes, place: str) -> None:
    """Check that a header has the columns of HEADER, and no others but OPTIONAL.

    Parameters
    ----------
    header : the line, with or without a byte order mark.
    place : the file and the line, for the error.

    Raises
    ------
    UserError
        A column is missing, or there are others.
    """
    found, expected = columns_of(header), HEADER.split(",")
    text = shortened(header.removeprefix(BOM_UTF8).decode(errors="backslashreplace"))
    missing = [name for name in expected if name not in found]
    others = [name for name in found if name not in (*expected, *OPTIONAL)]
    if missing:
        hint, remedy = "", "correct the first line, or give another file: FER-2013's CSV"
        if separator := _separator(header):
            remedy = f"separate the columns by commas, not by {separator}"
        elif near := nearest(missing[0], others, 0.5):
            hint = f" (nearest: '{shortened(near)}')"
        raise UserError(
            f"{place}: no column '{missing[0]}'{hint}; expected {HEADER}, found {text}; {remedy}"
        )
    if others or len(set(found)) < len(found):
        raise UserError(
            f"{place}: {len(found)} columns; expected {HEADER}, found {text}; remove the others"
        )


def _separator(header: bytes) -> str | None:
    """What separates the columns in place of commas; None where it is not known."""
    for character, name in SEPARATORS.items():
        by_commas = header.replace(character.encode(), b",")
        if by_commas != header and {"emotion", "pixels"} <= set(columns_of(by_commas)):
            return name
    return None
