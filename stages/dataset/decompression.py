"""Bounds on what a packed file may contain: a few megabytes can unpack to terabytes."""

import io
from pathlib import Path
from typing import Any

from stages.errors import UserError

MAX_BYTES = 20_000_000_000
"""The most unpacked bytes of a file."""

MAX_RATIO = 100
"""The most unpacked bytes for each packed one; a FER-2013 of any form has less than 10."""

ALWAYS_ACCEPTED = 1 << 26
"""Unpacked bytes that a file of any size may have: a few flat images have a higher ratio."""


def check_size(unpacked: int, path: Path) -> None:
    """Compare a number of unpacked bytes with the bounds.

    Raises
    ------
    UserError
        `path` must not have as many.
    """
    packed = path.stat().st_size
    if unpacked > min(MAX_BYTES, ALWAYS_ACCEPTED + MAX_RATIO * packed):
        raise UserError(
            f"{path.absolute()}: its {packed:,} bytes unpack to {unpacked:,} or more; expected at"
            f" most {MAX_RATIO} for each packed byte and {MAX_BYTES:,} in all; unpack the file and"
            " give the path of what is in it, if you trust it"
        )


class BoundedStream(io.RawIOBase):
    """A stream of unpacked bytes that ends with an error at the bounds.

    Parameters
    ----------
    unpacked : stream of bytes
    path : Path
        The packed file.
    """

    def __init__(self, unpacked: io.BufferedIOBase | io.RawIOBase, path: Path):
        self._unpacked, self._path, self._place = unpacked, path, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._unpacked.seekable()

    def readinto(self, buffer: Any) -> int:
        count = self._unpacked.readinto(buffer) or 0
        self._place += count
        check_size(self._place, self._path)
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Seek from the start or from here: all bytes on the way forward are unpacked."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("seek from the end")
        place = offset + self._place * (whence == io.SEEK_CUR)
        check_size(place, self._path)
        self._place = self._unpacked.seek(place)
        return self._place
