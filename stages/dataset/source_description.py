"""The source that a dataset is read from, described without reading the content of its files.

`source` runs in every `dvc repro`, so this file imports nothing that takes long.
"""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.dataset import fer2013
from stages.dataset.source_path import located
from stages.errors import UserError
from stages.parameters import (
    FerPlusSource,
    Fetch,
    FileSource,
    FolderSource,
    KaggleSource,
    NamedLabels,
)

logger = logging.getLogger(__name__)


def source_of(dataset: str, declared: Fetch, environment: Mapping[str, str]) -> Fetch:
    """The declared source of a dataset, or what replaces it.

    FER2013_CSV names FER-2013 in any form, a CSV, an archive or a folder. It replaces the source of
    fer2013 and of the datasets named after it, such as fer2013-small, and the pixels of
    `source: ferplus`. FERPLUS_CSV names a local copy of FER+'s votes.
    """
    local = environment.get("FER2013_CSV")
    if isinstance(declared, FerPlusSource):
        named = {"pixels": local, "votes": environment.get("FERPLUS_CSV")}
        return declared.model_copy(update={key: Path(name) for key, name in named.items() if name})
    if not local:
        return declared
    if dataset.partition("-")[0] != "fer2013":
        if isinstance(declared, KaggleSource):
            logger.info(
                "FER2013_CSV does not apply to '%s', only to fer2013 and to datasets whose names "
                "begin with fer2013-",
                dataset,
            )
        return declared
    logger.info("FER2013_CSV replaces the source '%s'", declared.source)
    path = Path(local)
    kept = labels_of(declared) if isinstance(declared, NamedLabels) else {}
    replacing = FileSource(source="file", path=path, sha256=None, rows=declared.rows, **kept)
    if located(path).is_dir():
        return as_folder(replacing, path).model_copy(update={"rows": declared.rows})
    return replacing


def as_folder(source: KaggleSource | FileSource, path: Path) -> FolderSource:
    """The images in a folder or zip file, with the labels that a source declares."""
    declared = labels_of(source)
    emotions = {"emotions": declared["emotions"] or list(fer2013.EMOTIONS)}
    return FolderSource(source="folder", path=path, **(declared | emotions))


def labels_of(source: NamedLabels) -> dict[str, Any]:
    """The settings of labels and splits, which each of these sources has."""
    return {key: getattr(source, key) for key in NamedLabels.model_fields if key != "source"}


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
