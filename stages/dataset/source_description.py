"""A description of a source that changes with its files, without reading their content."""

import hashlib
from typing import Any

from stages.dataset.sources import located
from stages.errors import UserError
from stages.parameters import Fetch, FileSource, FolderSource


def describe(source: Fetch) -> dict[str, Any]:
    """Describe what a source reads.

    Returns
    -------
    dict
        `source`, and of files their number `files`, their `bytes`, and `state`, the SHA-256 of
        their names, sizes and times of modification. What is rendered or downloaded depends on the
        parameters alone.

    Raises
    ------
    UserError
        The file or folder is missing.
    """
    if not isinstance(source, FileSource | FolderSource):
        return {"source": source.source}
    path = located(source.path)
    is_there = path.is_file() if isinstance(source, FileSource) else path.is_dir()
    if not is_there:
        raise UserError(
            f"{path.absolute()}: no such {source.source}, from which the dataset is read; a"
            " relative path starts at the repository's root"
        )
    files = sorted(child for child in path.rglob("[!.]*") if child.is_file())
    files = [path] if isinstance(source, FileSource) else files
    state = hashlib.sha256()
    size = 0
    for file in files:
        status = file.stat()
        size += status.st_size
        name = file.relative_to(path).as_posix()
        state.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return {
        "source": source.source,
        "path": str(source.path),
        "files": len(files),
        "bytes": size,
        "state": state.hexdigest(),
    }
