"""A clone of the repository with a short pipeline, in which `dvc repro` may be killed.

The clone has the code of the last commit and builds one dataset: a network of two small stages,
two epochs and few resamples, on the dataset's own faces; the sample is smaller as well.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.serialize import modify_yaml

from benchmarks.provenance import ROOT
from stages.artifacts import Artifacts

STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
"""In the order of the pipeline."""


def shortened(parameters: dict[str, Any]) -> dict[str, Any]:
    """Change the parameters of a dataset so that `dvc repro` takes seconds or a few minutes."""
    train, export = parameters["train"], parameters["export"]
    if "sample" in parameters["fetch"]:
        rows = {"Training": 300, "PublicTest": 70, "PrivateTest": 70}
        parameters["fetch"]["sample"]["rows"] = rows
        parameters["validate"]["min_split_rows"] = 50
    train["network"][train["network"]["name"]]["widths"] = [8, 16]
    train["distillation"]["name"] = "none"
    train["epochs"] = 2
    train["resolutions"] = [{"size": 24, "share": 1.0}]
    export["int8"]["calibration"] = 128
    export["recall_floor"] = 0
    parameters["evaluate"]["bootstrap"] = 100
    return parameters


@dataclass(frozen=True)
class Ended:
    """How a `dvc repro` ended."""

    status: int
    """Exit status, or -n after signal n."""
    errors: tuple[str, ...] = ()
    """The lines that begin with `error:`, `ERROR:` or `Traceback`, without the clone's path."""


@dataclass(frozen=True)
class Clone:
    """A folder with the short pipeline of one dataset."""

    folder: Path
    dataset: str
    environment: dict[str, str] = field(repr=False)

    @classmethod
    def make(cls, folder: Path, dataset: str) -> "Clone":
        """Clone the last commit and commit the short parameters; nothing is built yet."""
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        clone = cls(folder, dataset, _environment(folder.parent))
        path = folder / f"params/{dataset}.yaml"
        document = shortened(yaml.safe_load(path.read_text()))
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        (folder / "params.yaml").write_text(f"datasets: [{dataset}]\n")
        clone.git("commit", "--quiet", "--all", "--message", "A short pipeline")
        return clone

    def copy(self, folder: Path) -> "Clone":
        """A copy with the same times of all files."""
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.folder), str(folder)], check=True)
        return Clone(folder, self.dataset, self.environment)

    def git(self, *arguments: str) -> str:
        """Run git in the clone; return its output."""
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=self.environment
        ).stdout

    def dvc(self, *arguments: str) -> None:
        """Run DVC in the clone to its end."""
        subprocess.run(
            [_dvc(), *arguments], cwd=self.folder, env=self.environment, check=True, stdout=subprocess.DEVNULL
        )

    def start(self) -> "Repro":
        """Start `dvc repro` in a process group of its own."""
        log = self.folder.parent / f"{self.folder.name}-{len(list(self.folder.parent.iterdir()))}"
        with log.with_suffix(".log").open("w") as file:
            process = subprocess.Popen(
                [_dvc(), "repro"],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Repro(process, Path(file.name), self.folder)

    def repro(self) -> Ended:
        """Run `dvc repro` to its end."""
        return self.start().ended()

    def outputs(self, stage: str) -> list[dict[str, Any]]:
        """A stage's outputs in dvc.lock: `path`, `md5`, `size`."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())
        return list(lock["stages"][f"{stage}@{self.dataset}"]["outs"])

    def remove_from(self, stage: str) -> None:
        """Remove the outputs of a stage and of all later ones, from DVC's cache as well.

        Committed files and entries of dvc.lock become those of the last commit. No stage is left in
        DVC's run-cache.
        """
        later = STAGES[STAGES.index(stage) :]
        committed = yaml.safe_load(self.git("show", "HEAD:dvc.lock"))["stages"]
        for name in later:
            for output in self.outputs(name):
                digest = output["md5"]
                cached = self.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
                cached.unlink(missing_ok=True)
                (self.folder / output["path"]).unlink()
                if self.git("ls-files", output["path"]):
                    self.git("restore", output["path"])
        shutil.rmtree(self.folder / ".dvc/cache/runs", ignore_errors=True)
        with modify_yaml(str(self.folder / "dvc.lock")) as lock:
            for name in (f"{name}@{self.dataset}" for name in later):
                if name in committed:
                    lock["stages"][name] = committed[name]
                else:
                    del lock["stages"][name]

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file: the committed ones and all in the dataset's folders.

        `git status` is the digest of what git prints, so that a difference is found in it as well.
        """
        files = {Path(name) for name in self.git("ls-files", "-z").split("\0") if name}
        for folder in self.written_folders():
            files |= {path.relative_to(self.folder) for path in folder.rglob("*")}
        found = {
            path.as_posix(): hashlib.sha256((self.folder / path).read_bytes()).hexdigest()
            for path in sorted(files)
            if (self.folder / path).is_file()
        }
        status = self.git("status", "--porcelain")
        return {**found, "git status": hashlib.sha256(status.encode()).hexdigest()}

    def written_folders(self) -> list[Path]:
        """The folders in which the stages write."""
        artifacts = Artifacts(self.dataset)
        folders = (artifacts.data, artifacts.models, artifacts.metrics, artifacts.live.parent)
        return [self.folder / folder for folder in folders]


@dataclass(frozen=True)
class Repro:
    """A `dvc repro` that was started."""

    process: "subprocess.Popen[bytes]"
    log: Path
    folder: Path

    def kill(self) -> None:
        """`kill -9` of DVC and of all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ended(self) -> Ended:
        """Wait for the end."""
        status = self.process.wait()
        return Ended(status, error_lines(self.log.read_text(), self.folder))


def error_lines(log: str, folder: Path) -> tuple[str, ...]:
    """The lines of a log that report an error; paths become relative to `folder`."""
    lines = re.findall(r"^(?:error|ERROR|Traceback)\b.*", log, re.MULTILINE)
    return tuple(line.replace(f"{folder}/", "").strip() for line in lines)


def _dvc() -> str:
    return str(Path(sys.prefix, "bin", "dvc"))


def _environment(folder: Path) -> dict[str, str]:
    """Variables without the user's settings of DVC and git; DVC keeps its state in `folder`."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.prefix, 'bin')}:{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{
            f"GIT_{role}_{key}": "benchmark"
            for role in ("AUTHOR", "COMMITTER")
            for key in ("NAME", "EMAIL")
        },
        **{
            f"DVC_{name}_DIR": str(folder / name.lower())
            for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")
        },
    }
    if csv := environment.get("FER2013_CSV"):
        environment["FER2013_CSV"] = str(Path(csv).absolute())
    environment.pop("MLFLOW_TRACKING_URI", None)
    return environment
