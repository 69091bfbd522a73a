"""Text for a terminal, on one line and without control characters."""

import unicodedata


def printable(text: str) -> str:
    r"""Escape what could control a terminal or end a line, as `\x1b`, `\n` or `\u202e`.

    File names may contain any character. Letters, accents, emoji and all spaces stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else ascii(char)[1:-1]
        for char in text
    )
