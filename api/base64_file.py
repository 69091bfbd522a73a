"""Files in base64, as JSON carries them."""

import re
from binascii import a2b_base64

DATA_URL = re.compile(r"\s*data:([^,]*);base64,", re.IGNORECASE)

BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]*(?:=\s*){0,2}", re.ASCII)
"""Matches at every position, if only the empty text."""

STANDARD = bytes.maketrans(b"-_", b"+/")
"""From the URL-safe alphabet to the standard one."""

NO_LETTERS = b" \t\n\r\f\v="
"""Whitespace and padding, which have no bits of the file."""

DESCRIPTION = (
    "The file in base64. Both alphabets (standard, URL-safe) are accepted, with or without"
    " padding, line breaks and a prefix `data:image/jpeg;base64,`."
)
"""The OpenAPI description of a field."""


def file_from_base64(text: str) -> bytes:
    """Decode base64 (RFC 4648, sections 4 and 5), or a data URL (RFC 2397).

    Raises
    ------
    ValueError
        With the position of the first invalid character, counted from 1.
    """
    url = DATA_URL.match(text)
    start = url.end() if url else 0
    match = BASE64.match(text, start)
    end = match.end() if match else start
    if end < len(text):
        raise ValueError(_message(f"character {end + 1} is {text[end]!r}", text, start, end))
    # `translate` removes spaces without an object for each word.
    letters = text[start:].encode().translate(STANDARD, NO_LETTERS)
    if len(letters) % 4 == 1:
        found = f"it is incomplete after character {len(text.rstrip())}"
        raise ValueError(_message(found, text, start, end))
    return a2b_base64(letters + b"=" * (-len(letters) % 4))


def _message(found: str, text: str, start: int, end: int) -> str:
    if start < end and text[start:end].rstrip().endswith("="):
        found += ", after the padding"
    return (
        f"expected the file in base64, with or without 'data:image/jpeg;base64,' before it, but"
        f" {found}; URLs and paths are never opened"
    )
