"""Repositories for real `dvc` commands: the last commit as it is, and the working tree rebuilt."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INHERITED = (
    *("LANG", "TMPDIR", "PYTEST_ADDOPTS", "LD_"),
    *("ONEDNN_", "NPY_", "OPENBLAS_", "OPENCV_", "XLA_", "TF_ENABLE_"),
)
"""Beginnings of the variables that commands inherit; the last ones limit the instruction set."""
ROOMS = ("development", "pipeline", "serving")


@dataclass(frozen=True)
class Repository:
    """A git repository on branch `main`, in a folder of its own, with an empty home folder."""

    folder: Path
    home: Path

    def run(self, command: str, timeout: int = 600) -> str:
        """Run a command line in bash; return its standard output, fail with both."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def environment(self) -> dict[str, str]:
        """The variables of a new login with the virtual environment activated, and INHERITED."""
        kept = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
        path = f"{Path(sys.prefix, 'bin')}:{os.environ['PATH']}"
        identity = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", "test"), ("EMAIL", "test@localhost"))
        }
        return {**kept, **identity, "HOME": str(self.home), "PATH": path}


def repository_of(folder: Path, home: Path) -> Repository:
    """Commit a folder's files on a branch `main`; make's targets find everything installed."""
    environment = folder / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name not in ROOMS:
            (environment / entry.name).symlink_to(entry)
    for room in ROOMS:
        (environment / room).touch()
    repository = Repository(folder, home)
    repository.run("git init -q -b main && git add --all && git commit -qm copy")
    return repository


@pytest.fixture(scope="session")
def committed(tmp_path_factory) -> Repository:
    """The last commit of the project. No test changes it.

    What is compared with committed metrics is compared here: in the working tree, `dvc repro`
    may have put those of another processor in their place.
    """
    folder = tmp_path_factory.mktemp("committed") / "copy"
    folder.mkdir()
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    return repository_of(folder, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Repository:
    """The working tree after `dvc repro` on the sample from an empty cache, committed on `main`.

    A test that changes it leaves `main` checked out, without changes.
    """
    folder = tmp_path_factory.mktemp("built") / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    repository = repository_of(folder, tmp_path_factory.mktemp("home"))
    log = repository.run("dvc repro")
    # Where training gives the committed weights, the committed model.onnx needs no new export.
    expected = {"fetch", "validate", "balance", "train", "evaluate"}
    assert expected <= ran(log) <= expected | {"export"}, log
    # The metrics of another processor than that of the committed results differ from them.
    repository.run("git add --all && git commit -q --allow-empty -m built")
    return repository


def ran(log: str) -> set[str]:
    """Names of the stages that a `dvc repro` ran, but for `source`, which it always runs."""
    return set(re.findall(r"Running stage '(\w+)@", log)) - {"source"}
