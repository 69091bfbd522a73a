"""Interrupt `dvc repro` and compare what the next one makes with an undisturbed run.

    python -m benchmarks.interrupted_repro sample
    FER2013_CSV=fer2013.csv python -m benchmarks.interrupted_repro fer2013

Each case starts in a copy of a clone (benchmarks/pipeline_clone.py) and ends with a `dvc repro`
that nothing disturbs. Then every committed file, every file in the dataset's folders, dvc.lock and
`git status` are compared with those of a clone in which `dvc repro` ran once, undisturbed.

- `kill -9` in a stage: the outputs of that stage and of all later ones are removed beforehand, from
  DVC's cache as well. `dvc repro` is killed three times, with all that it started: while the stage
  works (after half of its usual CPU time; `train` after its first epoch), when the first of its
  files appears or changes, and when it has ended and DVC stores its outputs.
- Cache on another file system: a tmpfs. Full cache: a tmpfs that has room for half of a stage's
  outputs, for each stage in turn. Both need root, to mount it.
- Two at once: a second `dvc repro` starts in each stage.

Each finished case is a row of `benchmarks/interrupted_repro.csv`; a command that was stopped goes
on with the cases that are missing. A row counts as long as the undisturbed run gives the same
files. The page is `benchmarks/interrupted_repro.md`. Linux only.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil

from benchmarks.pipeline_clone import STAGES, Clone, Ended, Repro
from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import write_results
from stages.evaluation.markdown_table import markdown_table

RESULT = Path(__file__).with_suffix(".csv")
MOMENTS = ("working", "writing", "storing")
OTHER_FILE_SYSTEM, FULL_CACHE = "cache on another file system", "full cache"
TWO_AT_ONCE = "two at once"
MIB = 2**20


@dataclass(frozen=True)
class Row:
    """One case."""

    dataset: str
    case: str
    disturbed: str
    """How the disturbed runs ended."""
    rerun: str
    """How the last run ended."""
    files: int
    """Compared files."""
    different: str
    """Names of the files that are not those of the undisturbed run."""
    reference: str
    """Digest of the undisturbed run's files."""
    model: str
    code: str
    machine: str


@dataclass(frozen=True)
class Reference:
    """A clone after an undisturbed `dvc repro`."""

    clone: Clone
    digests: dict[str, str]
    cpu_seconds: dict[str, float]
    """Of each stage's process."""

    @property
    def digest(self) -> str:
        """First digits of the SHA-256 of all digests."""
        return hashlib.sha256(repr(sorted(self.digests.items())).encode()).hexdigest()[:12]


def undisturbed(clone: Clone) -> Reference:
    """Run `dvc repro` once, and measure the CPU time of each stage."""
    run = clone.start()
    seconds = {}
    for stage in STAGES:
        process = stage_process(run, stage)
        while runs(process):
            seconds[stage] = max(seconds.get(stage, 0.0), cpu_seconds(process))
            time.sleep(0.01)
    if (ended := run.ended()).status:
        raise SystemExit(f"error: an undisturbed dvc repro ended with {in_words(ended)}")
    return Reference(clone, clone.digests(), seconds)


def killed(reference: Reference, stage: str, clone: Clone) -> str:
    """Kill `dvc repro` at the three moments of a stage."""
    for moment in MOMENTS:
        run = clone.start()
        process = stage_process(run, stage)
        if moment == "working":
            wait_for_work(clone, process, stage, reference.cpu_seconds[stage] / 2)
        elif moment == "writing":
            wait_for_change(clone, process)
        else:
            while runs(process):
                time.sleep(0.002)
        if run.process.poll() is not None:
            raise SystemExit(f"error: dvc repro ended before it was killed ({stage}, {moment})")
        run.kill()
    return f"killed: {', '.join(MOMENTS)}"


def wait_for_work(clone: Clone, process: psutil.Process, stage: str, seconds: float) -> None:
    """Wait until a stage has used CPU time, or for the state of the first epoch of `train`."""
    state = clone.folder / "models" / clone.dataset / ".resume.npz"
    while runs(process) and not (
        state.exists() if stage == "train" else cpu_seconds(process) >= seconds
    ):
        time.sleep(0.01)
    if not runs(process):
        raise SystemExit(f"error: {stage} ended before it was killed")


def wait_for_change(clone: Clone, process: psutil.Process) -> None:
    """Wait until a file appears or changes in the folders of the stages, or the stage ends."""

    def state() -> set[tuple[str, int, int]]:
        found = set()
        for folder in clone.written_folders():
            for entry in os.scandir(folder) if folder.exists() else ():
                status = entry.stat()
                found.add((entry.path, status.st_mtime_ns, status.st_size))
        return found

    before = state()
    while runs(process) and state() <= before:
        time.sleep(0.002)


def stage_process(run: Repro, stage: str) -> psutil.Process:
    """Wait for the process of a stage in a `dvc repro`."""
    while run.process.poll() is None:
        current, process = current_stage(run)
        if process and current == stage:
            return process
        time.sleep(0.005)
    raise SystemExit(f"error: dvc repro ended before {stage}: {in_words(run.ended())}")


def current_stage(run: Repro) -> tuple[str | None, psutil.Process | None]:
    """The stage that a `dvc repro` runs at this moment, and its process."""
    modules = {f"stages.{stage}": stage for stage in STAGES}
    try:
        for process in psutil.Process(run.process.pid).children(recursive=True):
            for argument in process.cmdline():
                if argument in modules:
                    return modules[argument], process
    except psutil.Error:  # It ended after it was listed.
        pass
    return None, None


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process; 0 after its end."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def full_cache(reference: Reference, clone: Clone, cache: Path) -> str:
    """Fill the cache in each stage in turn; afterwards it has room."""
    used, ends = 0, []
    for stage in STAGES:
        sizes = [
            output["size"]
            for output in reference.clone.outputs(stage)
            if is_cached(reference.clone, output["md5"])
        ]
        if not sizes:
            continue
        resize(cache, used + sum(sizes) // 2)
        ended = clone.repro()
        ends.append(f"{stage}: {in_words(ended)}")
        if not ended.status:
            raise SystemExit(f"error: {stage} did not fill the cache")
        used += sum(sizes)
    resize(cache, 2 * used + 64 * MIB)
    return "; ".join(ends)


def is_cached(clone: Clone, md5: str) -> bool:
    """Whether DVC's cache has a file."""
    return (clone.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).exists()


def resize(mounted: Path, size: int) -> None:
    """Change the size of a tmpfs, in bytes."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(mounted)], check=True)


@contextmanager
def cache_on_tmpfs(clone: Clone) -> Iterator[Path]:
    """Mount a tmpfs and let DVC keep its cache there."""
    mounted = clone.folder.with_name(f"{clone.folder.name}-cache")
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(mounted)], check=True)
    try:
        clone.dvc("cache", "dir", "--local", str(mounted))
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def two_at_once(clone: Clone) -> str:
    """Start a second `dvc repro` in each stage, unless two still run."""
    running, started, ends = [clone.start()], set(), []
    while running:
        stages = {stage for run in running if (stage := current_stage(run)[0])}
        if len(running) == 1 and stages - started:
            started |= stages
            running.append(clone.start())
        ends += [in_words(run.ended()) for run in running if run.process.poll() is not None]
        running = [run for run in running if run.process.poll() is None]
        time.sleep(0.01)
    counts = Counter(ends)
    return "; ".join(f"{count} × {end}" for end, count in counts.items())


def in_words(ended: Ended) -> str:
    """The exit status and the errors."""
    return "; ".join([f"status {ended.status}", *ended.errors])


def measure(dataset: str, provenance: Provenance, result: Path) -> None:
    """Run the cases that `result` lacks, and write it and the page beside it after each."""
    rows = read_rows(result)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"{dataset}: an undisturbed dvc repro", flush=True)
        reference = undisturbed(Clone.make(folder / "reference", dataset))
        for case, disturb in cases(reference).items():
            if any((dataset, case, reference.digest) == (r.dataset, r.case, r.reference) for r in rows):
                continue
            rows = [row for row in rows if (row.dataset, row.case) != (dataset, case)]
            clone = reference.clone.copy(folder / "case")
            clone.remove_from(case.removeprefix(KILLED) if case.startswith(KILLED) else STAGES[0])
            disturbed, rerun = disturb(clone)
            found = clone.digests()
            row = Row(
                dataset,
                case,
                disturbed,
                rerun,
                len(reference.digests),
                " ".join(differences(reference.digests, found)),
                reference.digest,
                **vars(provenance),
            )
            rows.append(row)
            print(*list(vars(row).values())[:6], sep=" | ", flush=True)
            write_results(result, rows, page(rows))
            shutil.rmtree(clone.folder)


KILLED = "kill -9 in "


def cases(reference: Reference) -> dict[str, Callable[[Clone], tuple[str, str]]]:
    """What disturbs a clone, by the name of the case."""

    def kill(stage: str):
        def run(clone):
            return killed(reference, stage, clone), in_words(clone.repro())
        return run

    def other(clone):
        with cache_on_tmpfs(clone):
            return "", in_words(clone.repro())

    def full(clone):
        with cache_on_tmpfs(clone) as cache:
            return full_cache(reference, clone, cache), in_words(clone.repro())

    def two(clone):
        return two_at_once(clone), in_words(clone.repro())

    return {**{KILLED + stage: kill(stage) for stage in STAGES}, OTHER_FILE_SYSTEM: other, FULL_CACHE: full, TWO_AT_ONCE: two}


def differences(expected, found):
    return [name for name in sorted(expected.keys() | found) if expected.get(name) != found.get(name)]


def page(rows):
    return ""


def read_rows(result):
    if not result.exists(): return []
    return [Row(**row) for row in pd.read_csv(result, keep_default_na=False).to_dict("records")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    measure(arguments.dataset, here(arguments.dataset), arguments.result)


if __name__ == "__main__":
    main()
