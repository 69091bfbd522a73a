"""A clone of the repository with a short pipeline, in which `dvc repro` may be killed.

The clone has the code of the last commit and builds one dataset: a network of two small stages,
two epochs and few resamples, on the dataset's own faces; the sample is smaller as well.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.provenance import ROOT
from stages.artifacts import Artifacts

STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
"""In the order of the pipeline."""
MODULES = {f"stages.{stage}": stage for stage in STAGES}


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
    started: "list[Repro]" = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path, dataset: str) -> "Clone":
        """Clone the last commit and commit the short parameters; nothing is built yet."""
        clone = cls._cloned(ROOT, folder, dataset)
        path = folder / f"params/{dataset}.yaml"
        document = shortened(yaml.safe_load(path.read_text()))
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        (folder / "params.yaml").write_text(f"datasets: [{dataset}]\n")
        clone.git("commit", "--quiet", "--all", "--message", "A short pipeline")
        return clone

    def unbuilt(self, folder: Path) -> "Clone":
        """A clone of this one's commit, in which nothing is built yet."""
        return self._cloned(self.folder, folder, self.dataset)

    @classmethod
    def _cloned(cls, source: Path, folder: Path, dataset: str) -> "Clone":
        subprocess.run(["git", "clone", "--quiet", str(source), str(folder)], check=True)
        return cls(folder, dataset, _environment(folder.parent))

    def git(self, *arguments: str) -> str:
        """Run git in the clone; return its output."""
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=self.environment
        ).stdout

    def keep_cache_in(self, folder: Path) -> None:
        """Let DVC keep its cache in a folder."""
        command = [_dvc(), "cache", "dir", "--local", str(folder)]
        subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.DEVNULL
        )

    def start(self) -> "Repro":
        """Start `dvc repro` in a process group of its own."""
        with tempfile.NamedTemporaryFile(
            "wb", suffix=".log", dir=self.folder.parent, delete=False
        ) as file:
            process = subprocess.Popen(
                [_dvc(), "repro"],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(Repro(process, Path(file.name), self.folder))
        return self.started[-1]

    def stop(self) -> None:
        """Kill every `dvc repro` that still runs."""
        for run in self.started:
            if run.running():
                run.kill()

    def repro(self) -> Ended:
        """Run `dvc repro` to its end."""
        return self.start().ended()

    def outputs(self, stage: str) -> dict[str, int]:
        """Paths and bytes of a stage's outputs, from dvc.lock."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())
        found = lock["stages"][f"{stage}@{self.dataset}"]["outs"]
        return {output["path"]: output["size"] for output in found}

    def cached_bytes(self, stage: str) -> list[int]:
        """Sizes of a stage's outputs in DVC's cache; the other outputs are not in it."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())
        digests = [out["md5"] for out in lock["stages"][f"{stage}@{self.dataset}"]["outs"]]
        cache = self.folder / ".dvc/cache/files/md5"
        files = [cache / digest[:2] / digest[2:] for digest in digests]
        return [file.stat().st_size for file in files if file.exists()]

    def written(self) -> set[Path]:
        """The files in the folders in which the stages write, relative to the clone."""
        artifacts = Artifacts(self.dataset)
        folders = (artifacts.data, artifacts.models, artifacts.metrics, artifacts.live.parent)
        paths = {path for folder in folders for path in (self.folder / folder).rglob("*")}
        return {path.relative_to(self.folder) for path in paths if path.is_file()}

    def digests(self) -> dict[str, str]:
        """SHA-256 of every committed file, of `written` and of what `git status` prints."""
        committed = {Path(name) for name in self.git("ls-files", "-z").split("\0") if name}
        found = {
            path.as_posix(): hashlib.sha256((self.folder / path).read_bytes()).hexdigest()
            for path in sorted(committed | self.written())
            if (self.folder / path).is_file()
        }
        status = self.git("status", "--porcelain")
        return {**found, "git status": hashlib.sha256(status.encode()).hexdigest()}


@dataclass(frozen=True)
class Repro:
    """A `dvc repro` that was started, in a process group of its own."""

    process: "subprocess.Popen[bytes]"
    log: Path
    folder: Path

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def stage(self) -> "Stage | None":
        """The stage that it runs at this moment."""
        try:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                for argument in process.cmdline():
                    if argument in MODULES:
                        return Stage(MODULES[argument], process)
        except psutil.NoSuchProcess:  # It ended after it was listed.
            pass
        return None

    def wait_for(self, name: str) -> "Stage":
        """Wait until it runs a stage.

        Raises
        ------
        SystemExit
            It ended before.
        """
        while self.running():
            stage = self.stage()
            if stage and stage.name == name:
                return stage
            time.sleep(0.002)
        raise SystemExit(f"error: dvc repro ended before {name}: {in_words(self.ended())}")

    def kill(self) -> None:
        """`kill -9` of DVC and of all that it started.

        Raises
        ------
        SystemExit
            It has ended.
        """
        if not self.running():
            raise SystemExit(f"error: dvc repro ended before the kill: {in_words(self.ended())}")
        children = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        psutil.wait_procs(children, timeout=60)

    def ended(self) -> Ended:
        """Wait for the end."""
        status = self.process.wait()
        return Ended(status, error_lines(self.log.read_text(), self.folder))


@dataclass(frozen=True)
class Stage:
    """The process of a stage."""

    name: str
    process: psutil.Process

    def running(self) -> bool:
        """Whether it has not ended."""
        try:
            return str(self.process.status()) != str(psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


def in_words(ended: Ended) -> str:
    """The exit status and the last error, or that DVC refused the run because of another one."""
    last = "".join(ended.errors[-1:])
    if " is busy, it is being blocked by:" in last:
        return "refused: busy"
    return f"status {ended.status}: {last}" if last else f"status {ended.status}"


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
