"""Atomic writing: a reader finds the old file or the whole new one, never a part of it."""

import errno
import logging
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from recognizer.errors import OutputError

log = logging.getLogger(__name__)


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block ends normally.

    After an exception, a kill or a power failure, `path` is as it was before: the new content is
    on the disk (fsync) before it gets its name. A symbolic link is replaced, not followed. The
    folder is created if it is missing. The temporary name keeps the suffix, because some writers
    choose the format by it.

    What a killed process leaves behind is removed by the next process of the same machine that
    writes into the folder.

    Raises
    ------
    OutputError
        The folder or the file cannot be written; also where the block fails because the disk is
        full. Another exception of the block is raised unchanged.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent.absolute())
        temporary = path.with_name(f"{_prefix()}{os.getpid()}-{secrets.token_hex(8)}{path.suffix}")
        # Created here, so that the umask decides who may read it, as for any other file.
        temporary.touch(exist_ok=False)
    try:
        yield temporary
        with output_errors(path):
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    except Exception as error:
        if not isinstance(error, OutputError) and (reason := full_disk(error)):
            raise OutputError(f"{path}: cannot be written: {reason}; free some space") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file by `written_atomically`; text is encoded as UTF-8.

    Raises
    ------
    OutputError
        The folder or the file cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with written_atomically(path) as temporary, output_errors(path):
        temporary.write_bytes(data)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Convert an OSError of the block into an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def full_disk(error: BaseException | None) -> str | None:
    """Why nothing more can be written, where an error came from that; otherwise None."""
    full = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG")}
    while error:
        if isinstance(error, OSError) and error.errno in full:
            return error.strerror
        error = error.__cause__ or error.__context__
    return None


# Once per folder and process: a folder may get thousands of files.
@lru_cache(maxsize=1024)
def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in a folder whose processes no longer run on this machine."""
    pattern = re.compile(re.escape(_prefix()) + r"(\d+)-[0-9a-f]+(\..*)?")
    for temporary in folder.iterdir():
        name = pattern.fullmatch(temporary.name)
        if name and not _runs(int(name[1])):
            temporary.unlink(missing_ok=True)
            log.info("removed %s, left by an interrupted run", temporary)


def _prefix() -> str:
    # With the machine's name, because workers of several machines may share a folder.
    return f".partial-{re.sub(r'[^a-zA-Z0-9-]', '_', socket.gethostname())}-"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
