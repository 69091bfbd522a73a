"""Regular files: a pipe, a device or a socket would block the reader, or never end."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 500_000_000
"""The most bytes of a photo's file, unless the caller sets another limit."""

MAX_MODEL_BYTES = 2**31
"""The most bytes of a model file: the limit of its format, protobuf."""

_KINDS = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))


def read_regular_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a whole file; symbolic links are followed.

    Raises
    ------
    OSError
        The file cannot be read, is not a regular file, or has more than `max_bytes` bytes (errno
        EFBIG). `strerror` is one sentence without the path.
    """
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, max_bytes) + 1)
        if size < len(data) <= max_bytes:  # it has grown, or it is a file of /proc
            data += file.read(max_bytes + 1 - len(data))
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"the file has more than {max_bytes:,} bytes", str(path))
    return data


def open_regular_file(path: Path) -> BinaryIO:
    """Open a file for reading; symbolic links are followed.

    Raises
    ------
    OSError
        The file cannot be opened, or is not a regular file.
    """
    # Opening a device can already have an effect, so it is not opened to be checked.
    _check(path.stat(), path)
    file = open(path, "rb", opener=_open)  # noqa: SIM115 (Path.open has no opener)
    try:
        _check(os.fstat(file.fileno()), path)  # of what was opened, should it have been replaced
    except BaseException:
        file.close()
        raise
    return file


def _open(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check(status: os.stat_result, path: Path) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "a device")
    raise OSError(errno.EINVAL, f"is {kind}, not a file", str(path))
