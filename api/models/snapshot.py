"""The model files as they were when the server started.

A worker that replaces another one reads the same bytes, even if the file has changed meanwhile or a
branch has moved. So all workers serve the same versions, or all have the same problem.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from api.models.model_source import RevisionSource, Source, sources
from api.settings import Settings
from recognizer.errors import ModelError

VARIABLE = "FER_MODEL_SNAPSHOTS"
"""The environment variable by which `python -m api` passes the snapshots to its workers."""


@dataclass(frozen=True)
class Snapshot:
    """The bytes of one model file, or why it could not be read."""

    path: str = ""
    problem: str = ""
    commit: str | None = None
    """Of a git revision."""

    def read(self, source: Source) -> bytes:
        """Read the bytes; raises ModelError if the file could not be read at the start."""
        if self.problem:
            raise ModelError(self.problem)
        if isinstance(source, RevisionSource):
            source.commit = self.commit
        return Path(self.path).read_bytes()


def take_snapshots(settings: Settings) -> str:
    """Copy all model files into memory that lasts as long as this process; returns JSON."""
    return json.dumps([asdict(_take(source)) for source in sources(settings)])


def read_snapshots(environment: Mapping[str, str]) -> list[Snapshot]:
    """The snapshots of the parent process; none if the server was started in another way."""
    return [Snapshot(**fields) for fields in json.loads(environment.get(VARIABLE, "[]"))]


def _take(source: Source) -> Snapshot:
    try:
        content = source.read()
    except ModelError as error:
        return Snapshot(problem=str(error))
    return Snapshot(path=_in_memory(content), commit=source.commit)


def _in_memory(content: bytes) -> str:
    """The path of a file with this content, which workers of the same user can open."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("model")
        with os.fdopen(number, "wb", closefd=False) as memory:
            memory.write(content)
        return f"/proc/{os.getpid()}/fd/{number}"
    file = NamedTemporaryFile(suffix=".onnx")  # noqa: SIM115 (removed when the process ends)
    file.write(content)
    file.flush()
    KEPT.append(file)
    return file.name


KEPT: list[Any] = []
"""Temporary files of systems other than Linux."""
