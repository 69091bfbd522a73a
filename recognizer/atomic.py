"""Files that appear under their names only when they are whole."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recognizer.errors import OutputError


@contextmanager
def replaced_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place if the block ends well.

    The temporary name keeps the suffix, which some writers judge the format by.

    Raises
    ------
    OutputError
        Neither this nor the folder of `path` can be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp is private to its owner (0600); a result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        with writing(path):
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a write to `path` into an OutputError that names it."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
