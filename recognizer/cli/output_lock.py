"""A lock beside an output that grows, so that no second run writes into it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from recognizer.atomic_file import output_errors
from recognizer.errors import OutputError


@contextmanager
def output_lock(path: Path) -> Iterator[None]:
    """Hold the lock of an output: the file `.NAME.lock` beside it, which is removed at the end.

    The operating system gives up the lock when the process ends, also after a kill: a file that is
    left behind locks nothing. Links to an output share its lock.

    What is no file, as a terminal or a pipe, has no lock.

    Raises
    ------
    OutputError
        Another process holds the lock, or the file cannot be created.
    """
    if path.exists() and not path.is_file():
        yield
        return
    real = Path(os.path.realpath(path))
    lock = real.with_name(f".{real.name}.lock")
    file = _locked(lock, path)
    try:
        yield
    finally:
        _remove(lock, file)


def _locked(lock: Path, path: Path) -> BinaryIO:
    while True:
        with output_errors(path):
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("ab")
        try:
            _lock(file)
        except BlockingIOError:
            file.close()
            raise OutputError(
                f"{path}: another run writes this file; wait for its end, or name another file"
            ) from None
        except OSError as error:
            file.close()
            raise OutputError(
                f"{lock}: cannot be locked: {error.strerror}; name a file on another disk"
            ) from error
        # The run before may have removed the file after this one has opened it.
        if lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
        file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error

    def _remove(lock: Path, file: BinaryIO) -> None:
        file.close()  # an open file cannot be removed, neither one that another run has opened
        with suppress(OSError):
            lock.unlink()

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _remove(lock: Path, file: BinaryIO) -> None:
        lock.unlink(missing_ok=True)  # while it is locked: nobody holds another file of this name
        file.close()
