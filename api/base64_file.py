"""Files in base64, as they stand in JSON."""

import re
from base64 import urlsafe_b64decode

DATA_URL = re.compile(r"\s*data:([^,]*);base64,", re.IGNORECASE)

BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]*(?:=\s*){0,2}")

STANDARD_TO_URL_SAFE = str.maketrans("+/", "-_")

DESCRIPTION = (
    "The file in base64: the standard or the URL-safe alphabet, with or without padding, line"
    " breaks and `data:image/jpeg;base64,` before it."
)
"""For the documentation of a field."""


def file_from_base64(text: str) -> bytes:
    """The bytes of a file in base64 (RFC 4648, 4 and 5), or of a data URL (RFC 2397).

    Raises
    ------
    ValueError
        With the position of the wrong character; the first is 1.
    """
    url = DATA_URL.match(text)
    start = url.end() if url else 0
    end = BASE64.match(text, start).end()
    if end < len(text):
        raise ValueError(_explained(f"character {end + 1} is {text[end]!r}", text, start, end))
    letters = "".join(text[start:].split()).rstrip("=").translate(STANDARD_TO_URL_SAFE)
    if len(letters) % 4 == 1:
        raise ValueError(
            _explained(f"it breaks off after character {len(text.rstrip())}", text, start, end)
        )
    return urlsafe_b64decode(letters + "=" * (-len(letters) % 4))


def _explained(found: str, text: str, start: int, end: int) -> str:
    """The sentence for text that is not base64."""
    if start < end and text[start:end].rstrip().endswith("="):
        found += ", behind the padding"
    return (
        f"expected the file in base64, with or without 'data:image/jpeg;base64,' before it, but"
        f" {found}; addresses and paths are never opened"
    )
