"""Measure what each stage of a dataset costs in time and memory.

    python -m benchmarks.stages fer2013
    python -m benchmarks.stages fer2013 --stages validate balance

Runs the same commands as dvc.yaml, in pipeline order, each in its own process, and writes
`benchmarks/stages_DATASET.csv` and, from it, the table `benchmarks/stages_DATASET.md`. A stage
that is measured again replaces its own row only. Linux only. The outputs of the stages are
rewritten where they lie, so `dvc repro` will want to look at them again afterwards.

- Wall time: from the start of the process to its end, imports included.
- CPU time: user and system, of the process and of the children that it waited for.
- Peak memory: resident memory summed over the process and all its descendants, looked at
  ten times a second. Pages that processes share count once for each of them, so the figure of a
  parallel stage is an upper bound. The kernel's own record of the largest single process
  catches a peak between two looks.
"""

import argparse
import csv
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil

PIPELINE = ("fetch", "validate", "balance", "train", "export", "evaluate")
FOLDER = Path(__file__).parent
SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True)
class Cost:
    """What one process and its children took: seconds, and MiB (2²⁰ bytes) at the peak."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: int


@dataclass(frozen=True)
class Row:
    """One line of the CSV file."""

    stage: str
    wall_seconds: str
    cpu_seconds: str
    peak_mib: str
    machine: str


def measure(command: list[str]) -> tuple[int, Cost]:
    """Run a command to its end; return its exit status (128 + n after signal n) and its cost."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    root = psutil.Process(process.pid)
    peak = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, resident_bytes(root))
        time.sleep(SECONDS_BETWEEN_LOOKS)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    largest_single = usage.ru_maxrss * 1024
    cost = Cost(wall, usage.ru_utime + usage.ru_stime, round(max(peak, largest_single) / 2**20))
    return (process.returncode if process.returncode >= 0 else 128 - process.returncode), cost


def resident_bytes(root: psutil.Process) -> int:
    """Resident memory of a process and all its descendants at this moment."""
    total = 0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # It ended since it was listed.
            continue
    return total


def describe_machine() -> str:
    """CPU, cores, memory, system and Python; nothing that names the host."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.machine()
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 2**30
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        f"{cpu}, {cores} cores, {memory:.0f} GiB of memory, {system}, "
        f"Python {platform.python_version()}"
    )


def merge(rows: list[Row], new: Row) -> list[Row]:
    """Put a row in the place of its stage's old one; the result is in pipeline order."""
    kept = [row for row in rows if row.stage != new.stage]
    return sorted([*kept, new], key=lambda row: PIPELINE.index(row.stage))


def read_rows(path: Path) -> list[Row]:
    """Read the CSV file; no file means no rows yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [Row(**record) for record in csv.DictReader(file)]


def write_rows(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def markdown(dataset: str, rows: list[Row]) -> str:
    """The rows as a page, with one table for each machine they were measured on."""
    parts = [
        f"# What the stages cost on {dataset}",
        f"Made by `python -m benchmarks.stages {dataset}`; `benchmarks/stages.py` says how each "
        "figure is measured.",
    ]
    for machine in dict.fromkeys(row.machine for row in rows):
        table = [
            "| stage | wall time, s | CPU time, s | peak memory, MiB |",
            "|---|---:|---:|---:|",
        ]
        table += [
            f"| {row.stage} | {row.wall_seconds} | {row.cpu_seconds} | {row.peak_mib} |"
            for row in rows
            if row.machine == machine
        ]
        parts += [f"Machine: {machine}.", "\n".join(table)]
    return "\n\n".join(parts) + "\n"


def record(dataset: str, stage: str, cost: Cost, folder: Path = FOLDER) -> None:
    """Merge one stage's cost into the dataset's CSV file and rebuild the page."""
    path = folder / f"stages_{dataset}.csv"
    row = Row(
        stage,
        f"{cost.wall_seconds:.1f}",
        f"{cost.cpu_seconds:.1f}",
        str(cost.peak_mib),
        describe_machine(),
    )
    rows = merge(read_rows(path), row)
    write_rows(path, rows)
    path.with_suffix(".md").write_text(markdown(dataset, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure time and memory of a dataset's stages.")
    parser.add_argument("dataset", help="a block of params.yaml, for instance fer2013")
    parser.add_argument("--stages", nargs="+", choices=PIPELINE, default=PIPELINE)
    arguments = parser.parse_args()
    for stage in PIPELINE:
        if stage not in arguments.stages:
            continue
        status, cost = measure([sys.executable, "-m", f"stages.{stage}", arguments.dataset])
        if status != 0:
            print(f"{stage} failed with status {status}: not recorded", file=sys.stderr)
            sys.exit(status)
        record(arguments.dataset, stage, cost)
        print(
            f"{stage}: {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} s of CPU, "
            f"{cost.peak_mib} MiB"
        )


if __name__ == "__main__":
    main()
