"""A description of a source that changes with its files, without reading their content."""

import hashlib
from typing import Any

from stages.dataset.source_path import located
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
    if not path.exists():
        raise UserError(
            f"{path.absolute()}: no such {source.source}, from which the dataset is read; a"
            " relative path starts at the repository's root"
        )
    files = [path]
    if path.is_dir():
        files = sorted(child for child in path.rglob("[!.]*") if child.is_file())
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
