"""The model files as they were when the server started, or at the last reload.

Every worker reads the same bytes, even if a file has changed meanwhile or a branch has moved. So
all workers serve the same versions, or all have the same problem.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from api.models.model_source import FileSource, RevisionSource, Source
from recognizer.errors import ModelError


@dataclass(frozen=True)
class Snapshot:
    """The source of a model, and the bytes of its file or why it could not be read."""

    model_path: str
    name: str | None = None
    """Of a file in MODEL_DIR."""
    revision: str | None = None
    commit: str | None = None
    """Of a git revision."""
    copy: str = ""
    """The file with the bytes."""
    problem: str = ""

    def source(self, metrics_dir: Path) -> Source:
        """The source that `read` needs."""
        path = Path(self.model_path)
        if self.revision is None:
            return FileSource(path, metrics_dir, self.name)
        source = RevisionSource(self.revision, path, metrics_dir)
        source.commit = self.commit
        return source

    def read(self) -> bytes:
        """Read the bytes; raises ModelError if the source could not be read."""
        if self.problem:
            raise ModelError(self.problem)
        return Path(self.copy).read_bytes()


class Snapshots:
    """Copies of model files in memory, which other processes of the same user can read."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._copies: list[IO[bytes]] = []
        self.all = [self._take(source) for source in sources]

    def close(self) -> None:
        """Free the memory."""
        for copy in self._copies:
            copy.close()

    def _take(self, source: Source) -> Snapshot:
        path, name, revision = str(source.model_path), source.name, source.revision
        try:
            content = source.read()
        except ModelError as error:
            return Snapshot(path, name, revision, problem=str(error))
        return Snapshot(path, name, revision, source.commit, copy=self._in_memory(content))

    def _in_memory(self, content: bytes) -> str:
        """The path of a file with this content."""
        if hasattr(os, "memfd_create"):
            copy: IO[bytes] = os.fdopen(os.memfd_create("model"), "wb")
            path = f"/proc/{os.getpid()}/fd/{copy.fileno()}"
        else:
            copy = NamedTemporaryFile(suffix=".onnx")  # noqa: SIM115 (removed by `close`)
            path = copy.name
        copy.write(content)
        copy.flush()
        self._copies.append(copy)
        return path
