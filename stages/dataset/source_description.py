"""A description of a source that changes with its files, without reading their content."""

import hashlib
from typing import Any

from stages.dataset.source_path import located
from stages.errors import UserError
from stages.parameters import FerPlusSource, Fetch, FileSource, FolderSource


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
    match source:
        case FileSource(path=path) | FolderSource(path=path):
            paths = [path]
        case FerPlusSource(pixels=pixels, votes=votes):
            paths = [path for path in (pixels, votes) if path is not None]
        case _:
            paths = []
    if not paths:
        return {"source": source.source}
    state = hashlib.sha256()
    count, size = 0, 0
    for path in paths:
        root = located(path)
        if not root.exists():
            kind = "file" if isinstance(source, FerPlusSource) else source.source
            raise UserError(
                f"{root.absolute()}: no such {kind}, from which the dataset is read; a relative"
                " path starts at the repository's root"
            )
        files = [root]
        if root.is_dir():
            files = sorted(child for child in root.rglob("[!.]*") if child.is_file())
        for file in files:
            status = file.stat()
            count, size = count + 1, size + status.st_size
            name = file.relative_to(root).as_posix()
            state.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return {
        "source": source.source,
        "path": ", ".join(map(str, paths)),
        "files": count,
        "bytes": size,
        "state": state.hexdigest(),
    }
