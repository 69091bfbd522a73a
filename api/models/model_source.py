"""The source of a model and of its committed metrics: files, or a git revision."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Literal

from api.settings import Settings
from recognizer.errors import ModelError
from recognizer.regular_file import MAX_MODEL_BYTES, read_regular_file

GIT_SECONDS = 60
"""Longest time of one git command."""

Alias = Literal["stable", "candidate"]

STABLE: Alias = "stable"
CANDIDATE: Alias = "candidate"
"""Names of files in MODEL_DIR: the default model, and the one that may replace it."""

VERSION = re.compile(r"(?=.*[a-f])[0-9a-f]{8,64}")
"""The name of a file in MODEL_DIR that must be the beginning of its SHA-256; dates are not."""


@dataclass(frozen=True)
class FileSource:
    """A model file and a folder of metrics."""

    model_path: Path
    metrics_dir: Path
    name: str | None = None
    """Of a file in MODEL_DIR, without the suffix."""
    revision: ClassVar[None] = None
    commit: ClassVar[None] = None

    def __str__(self) -> str:
        return str(self.model_path)

    def read(self) -> bytes:
        """Read the model file; raises ModelError with the reason if it cannot be read."""
        try:
            content = read_regular_file(self.model_path, MAX_MODEL_BYTES)
        except OSError as error:
            raise ModelError(f"{self}: cannot be read: {error.strerror}") from error
        if self.name and VERSION.fullmatch(self.name):
            digest = sha256(content).hexdigest()
            if not digest.startswith(self.name):
                raise ModelError(
                    f"{self}: the file is damaged, or has the name of another one: its SHA-256"
                    f" begins with {digest[:12]}"
                )
        return content

    def metrics(self, dataset: str, name: str) -> str | None:
        """The text of a metrics file; None if there is no such file."""
        path = self.metrics_dir / dataset / name
        return path.read_text(encoding="utf-8") if path.is_file() else None


class RevisionSource:
    """A model file and its metrics, as they are committed in a git revision.

    A revision is a commit, a tag, a branch, or a model's stage in the registry such as
    `emotion-fer2013#prod`: the version that GTO's latest tag of this stage assigns to it.

    Attributes
    ----------
    name : None
        Only files in MODEL_DIR have one.
    revision : str
        As the settings name it.
    commit : str or None
        Its hash, once the model is read. The metrics are read from the same commit as the model,
        even if a branch has moved meanwhile.
    """

    name: ClassVar[None] = None

    def __init__(self, revision: str, model_path: Path, metrics_dir: Path) -> None:
        self.revision = revision
        self.model_path = model_path
        self.metrics_dir = metrics_dir
        self.commit: str | None = None

    def __str__(self) -> str:
        return f"{self.model_path} of revision {self.revision}"

    def read(self) -> bytes:
        """Read the model file; raises ModelError with the reason if it cannot be read."""
        try:
            name = f"{_assigned_tag(self.revision)}^{{commit}}"
            commit = _git("rev-parse", "--verify", "--end-of-options", name).decode().strip()
        except _GitError as error:
            raise ModelError(f"{self}: no such commit, tag or branch ({error})") from error
        self.commit = commit
        try:
            return self._file(commit, self.model_path)
        except _GitError as error:
            raise ModelError(f"{self}: the revision has no such file ({error})") from error

    def metrics(self, dataset: str, name: str) -> str | None:
        """The text of a metrics file; None if there is no such file."""
        if self.commit is None:
            raise RuntimeError("the metrics of a revision are read after its model")
        path = self.metrics_dir / dataset / name
        if not _git("ls-tree", "--name-only", self.commit, "--", path.as_posix()):
            return None
        return self._file(self.commit, path).decode()

    @staticmethod
    def _file(commit: str, path: Path) -> bytes:
        # The prefix ./ makes a path relative to this folder, not to the root of the repository.
        return _git("cat-file", "blob", f"{commit}:./{path.as_posix()}")


class _GitError(ModelError):
    pass


def _assigned_tag(revision: str) -> str:
    """GTO's latest tag `NAME#STAGE#N` for a revision `NAME#STAGE`; any other revision unchanged.

    N counts the assignments of a model. `NAME#STAGE!#N` takes the stage back.
    """
    if not re.fullmatch(r"[\w/=-]+#[\w-]+", revision):
        return revision
    patterns = [f"refs/tags/{revision}{mark}#*" for mark in ("", "!")]
    listed = _git("for-each-ref", "--format=%(refname:strip=2)", *patterns).decode().split()
    tags = [tag for tag in listed if tag.rpartition("#")[2].isdecimal()]
    if not tags:
        return revision
    latest = max(tags, key=lambda tag: int(tag.rpartition("#")[2]))
    if latest.startswith(f"{revision}!"):
        raise _GitError(f"the tag {latest} has taken the stage back")
    return latest


def _git(*arguments: str) -> bytes:
    """The output of a git command; raises _GitError with git's message if it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise _GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise _GitError(f"git took longer than {GIT_SECONDS} seconds") from None
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip().splitlines() or ["git failed"]
        raise _GitError(message[0].removeprefix("fatal: "))
    return done.stdout


Source = FileSource | RevisionSource


def sources(settings: Settings) -> list[Source]:
    """The sources in the settings; the first one is the default.

    Raises
    ------
    ModelError
        MODEL_DIR has been removed since the start.
    """

    def revision(name: str) -> RevisionSource:
        return RevisionSource(name, settings.model_path, settings.metrics_dir)

    def file(path: Path) -> FileSource:
        return FileSource(path, settings.metrics_dir)

    first = revision(settings.model_rev) if settings.model_rev else file(settings.model_path)
    named = list(_named_files(settings))
    return [
        *(source for source in named if source.name == STABLE),
        first,
        *map(file, settings.extra_model_paths),
        *map(revision, settings.extra_model_revs),
        *(source for source in named if source.name != STABLE),
    ]


def _named_files(settings: Settings) -> Iterator[FileSource]:
    """The files in MODEL_DIR, sorted by name."""
    folder = settings.model_dir
    if folder is None:
        return
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder")
    for path in sorted(folder.glob("*.onnx")):
        yield FileSource(path, settings.metrics_dir, path.stem)
