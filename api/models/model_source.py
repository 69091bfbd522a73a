"""Where a model and its committed metrics come from: files, or a git revision."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from api.settings import Settings
from recognizer.classifier import Classifier
from recognizer.errors import ModelError

GIT_SECONDS = 60
"""Longest that git may take to give one file."""


@dataclass(frozen=True)
class Files:
    """A model file, and the folder of metrics beside it."""

    model_path: Path
    metrics_dir: Path
    revision = None
    commit = None

    def __str__(self) -> str:
        return str(self.model_path)

    def load(self) -> Classifier:
        """Read the model; raises ModelError with the reason if that fails."""
        return Classifier(self.model_path)

    def metrics(self, dataset: str, name: str) -> str | None:
        """The text of a file of committed metrics, if there is one."""
        path = self.metrics_dir / dataset / name
        return path.read_text() if path.is_file() else None


class Revision:
    """A model file and its metrics as they were committed in a git revision.

    A revision is any commit, tag or branch.

    Attributes
    ----------
    revision : str
        As the settings name it.
    commit : str or None
        Its hash, present once the model is loaded. Both are read from this very commit,
        wherever a branch moves meanwhile.
    """

    def __init__(self, revision: str, model_path: Path, metrics_dir: Path):
        self.revision = revision
        self.model_path = model_path
        self.metrics_dir = metrics_dir
        self.commit: str | None = None

    def __str__(self) -> str:
        return f"{self.model_path} of revision {self.revision}"

    def load(self) -> Classifier:
        """Read the model; raises ModelError with the reason if that fails."""
        try:
            name = f"{self.revision}^{{commit}}"
            found = _git("rev-parse", "--verify", "--end-of-options", name)
        except _GitError as error:
            raise ModelError(f"{self}: no such commit, tag or branch ({error})") from error
        self.commit = found.decode().strip()
        try:
            content = self._file(self.model_path)
        except _GitError as error:
            raise ModelError(f"{self}: the revision has no such file ({error})") from error
        with TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(content)
            try:
                return Classifier(path)
            except ModelError as error:
                raise ModelError(f"{self}: {str(error).removeprefix(f'{path}: ')}") from error

    def metrics(self, dataset: str, name: str) -> str | None:
        """The text of a file of committed metrics, if there is one."""
        path = self.metrics_dir / dataset / name
        if not _git("ls-tree", "--name-only", self.commit, "--", path.as_posix()):
            return None
        return self._file(path).decode()

    def _file(self, path: Path) -> bytes:
        # A path that begins with ./ starts in this folder, not in the repository's root.
        return _git("cat-file", "blob", f"{self.commit}:./{path.as_posix()}")


class _GitError(ModelError):
    pass


def _git(*arguments: str) -> bytes:
    """The output of a git command; raises _GitError with git's own message if it fails."""
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
        complaint = done.stderr.decode(errors="replace").strip().splitlines() or ["git failed"]
        raise _GitError(complaint[0].removeprefix("fatal: "))
    return done.stdout


def sources(settings: Settings) -> list[Files | Revision]:
    """The models of the settings; the one that answers by default comes first."""

    def revision(name: str) -> Revision:
        return Revision(name, settings.model_path, settings.metrics_dir)

    def file(path: Path) -> Files:
        return Files(path, settings.metrics_dir)

    first = revision(settings.model_rev) if settings.model_rev else file(settings.model_path)
    return [
        first,
        *map(file, settings.extra_model_paths),
        *map(revision, settings.extra_model_revs),
    ]
