"""A repository of its own for real `dvc repro` runs: the working tree as it is, on branch main."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Repository:
    """A copy of the project in which anything may be changed."""

    folder: Path
    home: Path

    def run(self, command: str, timeout: int = 600) -> str:
        """Run a command line as a person would; return its standard output, fail with both."""
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
        """An empty home, and the environment activated."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("LANG", "TMPDIR", "PYTEST_ADDOPTS")
        }
        path = f"{Path(sys.prefix, 'bin')}:{os.environ['PATH']}"
        identity = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", "test"), ("EMAIL", "test@localhost"))
        }
        return {**kept, **identity, "HOME": str(self.home), "PATH": path}


@pytest.fixture(scope="session")
def copy(tmp_path_factory) -> Repository:
    """The working tree, committed on a branch `main`, with nothing built and no cache."""
    folder = tmp_path_factory.mktemp("pipeline") / "copy"
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
    (folder / ".venv").symlink_to(sys.prefix)
    home = tmp_path_factory.mktemp("home")
    repository = Repository(folder, home)
    repository.run("git init -q -b main && echo /.venv >> .git/info/exclude")
    repository.run("git add --all && git commit -qm copy")
    return repository


@pytest.fixture(scope="session")
def built(copy) -> Repository:
    """The copy after `dvc repro` on the sample, committed."""
    log = copy.run("dvc repro")
    # Where training gives the committed weights, the committed model.onnx needs no new export.
    for stage in ("fetch", "validate", "balance", "teach", "train", "evaluate"):
        assert f"Running stage '{stage}@sample'" in log
    # Elsewhere than on the machine of the committed results, the last digits may differ.
    copy.run("git add --all && git commit -q --allow-empty -m built")
    return copy
