"""Measure the time and memory of each stage of a dataset.

    python -m benchmarks.stage_costs fer2013
    python -m benchmarks.stage_costs fer2013 --stages validate balance

Runs the commands of dvc.yaml in pipeline order, each in its own process, in a temporary copy of the
dataset's files: the files in data/, models/ and metrics/ stay as they are. Writes
`benchmarks/stage_costs_DATASET.csv` and, from it, the page `benchmarks/stage_costs_DATASET.md`. A
stage that is measured again replaces its own row only. Linux only.

- Wall time: from the start of the process to its end, imports included.
- CPU time: user and system, of the process and of the children that it waited for.
- Peak memory: resident memory of the process and all its descendants, sampled ten times a second.
  Pages that processes share count once for each process, so the value of a parallel stage is an
  upper bound. The kernel's record of the largest process covers peaks between two samples.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import yaml

from benchmarks.provenance import ROOT, Provenance, here, opening
from benchmarks.working_copy import working_copy
from recognizer.atomic_file import written_atomically
from stages.evaluation.markdown_table import markdown_table

PIPELINE = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
FOLDER = Path(__file__).parent
SECONDS_BETWEEN_SAMPLES = 0.1


@dataclass(frozen=True)
class Cost:
    """What one process and its children took: seconds, and MiB (2²⁰ bytes) at the peak."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: int


def measure(command: list[str], folder: Path = ROOT) -> tuple[int, Cost]:
    """Run a command to its end; return its exit status (128 + n after signal n) and its cost."""
    environment = os.environ.copy()
    if csv := environment.get("FER2013_CSV"):
        environment["FER2013_CSV"] = str(Path(csv).absolute())
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment)
    root = psutil.Process(process.pid)
    peak = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, resident_bytes(root))
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    largest_process = usage.ru_maxrss * 1024
    cost = Cost(wall, usage.ru_utime + usage.ru_stime, round(max(peak, largest_process) / 2**20))
    return (process.returncode if process.returncode >= 0 else 128 - process.returncode), cost


def resident_bytes(root: psutil.Process) -> int:
    """Resident memory of a process and all its descendants at this moment."""
    total = 0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # It ended after it was listed.
            continue
    return total


def with_row(table: pd.DataFrame, stage: str, cost: Cost, source: Provenance) -> pd.DataFrame:
    """Add or replace a stage's row; the rows are in pipeline order."""
    row = {
        "stage": stage,
        "wall_seconds": round(cost.wall_seconds, 1),
        "cpu_seconds": round(cost.cpu_seconds, 1),
        "peak_mib": cost.peak_mib,
        **vars(source),
    }
    kept = table.to_dict("records") if len(table) else []
    rows = [*(other for other in kept if other["stage"] != stage), row]
    return pd.DataFrame(rows).sort_values("stage", key=lambda names: names.map(PIPELINE.index))


def page(dataset: str, table: pd.DataFrame) -> str:
    """Format the table of all stages; the first block names the stages of each measurement."""
    sources = table.groupby(["model", "code", "machine"], sort=False)["stage"].agg(", ".join)
    costs = table[["stage", "wall_seconds", "cpu_seconds", "peak_mib"]].astype(str)
    parts = [
        opening(
            f"Time and memory of the stages on {dataset}",
            [(stages, Provenance(*source)) for source, stages in sources.items()],
        ),
        f"Made by `python -m benchmarks.stage_costs {dataset}`; `benchmarks/stage_costs.py`"
        " describes the columns.",
        markdown_table(
            ["stage", "wall time, s", "CPU time, s", "peak memory, MiB"], costs.to_numpy()
        ),
    ]
    return "\n\n".join(parts) + "\n"


def read(path: Path) -> pd.DataFrame:
    """Read the CSV file without the rows of stages that dvc.yaml no longer has."""
    if not path.exists():
        return pd.DataFrame()
    table = pd.read_csv(path)
    return table[table["stage"].isin(PIPELINE)]


def write(dataset: str, table: pd.DataFrame, folder: Path = FOLDER) -> None:
    """Write the CSV file and the page."""
    path = folder / f"stage_costs_{dataset}.csv"
    with written_atomically(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    with written_atomically(path.with_suffix(".md")) as temporary:
        temporary.write_text(page(dataset, table))


def main() -> None:
    """Measure the stages; write the result after each of them."""
    parser = argparse.ArgumentParser(description="Measure time and memory of a dataset's stages.")
    parser.add_argument("dataset", help="the name of a file of params/, for instance fer2013")
    parser.add_argument("--stages", nargs="+", choices=PIPELINE, default=PIPELINE)
    arguments = parser.parse_args()
    dataset, source = arguments.dataset, here(arguments.dataset)
    with working_copy(dataset) as folder:
        for stage in PIPELINE:
            if stage not in arguments.stages:
                continue
            status, cost = measure([sys.executable, "-m", f"stages.{stage}", dataset], folder)
            if status != 0:
                print(f"{stage} failed with status {status}: not recorded", file=sys.stderr)
                sys.exit(status)
            table = read(FOLDER / f"stage_costs_{dataset}.csv")
            write(dataset, with_row(table, stage, cost, source))
            print(
                f"{stage}: {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} s of CPU, "
                f"{cost.peak_mib} MiB"
            )


if __name__ == "__main__":
    main()
