"""Measure the command line and the pipeline under abuse and faults, before and after a change.

    python -m benchmarks.abuse_files --before REV

Writes `benchmarks/abuse_files.csv` and, from it, the page `benchmarks/abuse_files.md`; takes about
ten minutes on two cores. Linux only. REV and the last commit are checked out into temporary git
worktrees. Each attack runs in a new folder, each process with at most 6 GB of addresses. Attacks on
the server are in `benchmarks/abuse.py`.
"""

import argparse
import csv
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from benchmarks.hostile_files import NAMES, NO_FILES, gzip_bomb, hostile_parameters, no_files
from benchmarks.provenance import here as provenance
from benchmarks.provenance import opening
from benchmarks.result_files import write_results
from benchmarks.servers import MODEL, REVISION, ROOT, checked_out
from stages.evaluation.markdown_table import markdown_table

RESULT = Path(__file__).with_suffix(".csv")
Measured = Iterator[tuple[str, str, str, str]]
SECONDS = 60
ADDRESSES = 6_000_000_000
LINE, NO_END = "one line", f"no end in {SECONDS} s"
PHOTO = cv2.imencode(".png", np.full((60, 60), 90, np.uint8))[1].tobytes()


@contextmanager
def _new_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def _start(tree: Path, here: Path, *command: str, files: int = -1) -> "subprocess.Popen[str]":
    """Start a Python module of a working tree; its files can have `files` bytes."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (files, files))

    return subprocess.Popen(
        # With -B, the limit leaves no cut-off .pyc file of an installed package.
        [sys.executable, "-B", "-m", *command],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pipesize=4096,
        preexec_fn=limit,
        start_new_session=True,
    )


def _ended(process: "subprocess.Popen[str]") -> tuple[str, str, str]:
    """How a process ended: in words, its output and its errors."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return NO_END, *process.communicate()
    if "Traceback" in err:
        return f"traceback: {err.strip().splitlines()[-1][:60]}", out, err
    return LINE if "error: " in err else f"status {process.returncode}", out, err


def _recognize(tree: Path, here: Path, *arguments: str) -> "subprocess.Popen[str]":
    options = ("--model", str(MODEL), "--faces", "whole")
    return _start(tree, here, "recognizer", *arguments, *options)


def no_regular_files(tree: Path) -> Measured:
    """Pipes, devices and looping links among photos."""
    for name in NO_FILES:
        with _new_folder() as here:
            no_files(here / "in")
            ended, _, _ = _ended(_recognize(tree, here, f"in/{name}"))
        yield f"python -m recognizer in/{name}", "ends with", LINE, ended
    with _new_folder() as here:
        no_files(here / "in")
        (here / "in/good.jpg").write_bytes(PHOTO)
        ended, out, _ = _ended(_recognize(tree, here, "in"))
        seen = "answered" if "good.jpg" in out else ended if ended != LINE else "not answered"
        yield "python -m recognizer in: good.jpg beside them", "good.jpg", "answered", seen
        ended, out, _ = _ended(_recognize(tree, here, "in/**/good.jpg"))
        lines = str(out.count("good.jpg")) if ended != NO_END else ended
        yield "python -m recognizer 'in/**/good.jpg', two looping links", "rows", "1", lines


def two_runs(tree: Path) -> Measured:
    """Two runs that write the same CSV file."""
    names = [f"{number:02}.png" for number in range(40)]
    with _new_folder() as here:
        for name in names:
            (here / name).write_bytes(PHOTO)
        # Nobody reads the JSON lines of the first one: it stops when the pipe is full.
        first = _recognize(tree, here, *names, "--csv", "out.csv", "--json")
        while not (here / "out.csv").exists() or (here / "out.csv").stat().st_size < 1000:
            time.sleep(0.05)
        second, _, _ = _ended(_recognize(tree, here, *names, "--csv", "out.csv"))
        _ended(first)
        attack = "two runs on one --csv, 40 photos"
        yield attack, "the second ends with", LINE, second
        rows = _paths(here / "out.csv")
        yield attack, "rows", "40", str(len(rows))
        _ended(_recognize(tree, here, *names, "--csv", "out.csv"))
        yield attack, "rows after another run", "40", str(len(_paths(here / "out.csv")))
        # The file of two runs of an earlier version.
        content = (here / "out.csv").read_bytes()
        (here / "out.csv").write_bytes(content + content.partition(b"\n")[2])
        _ended(_recognize(tree, here, *names, "--csv", "out.csv"))
        rows = _paths(here / "out.csv")
        yield "a --csv that two runs wrote, then another run", "rows", "40", str(len(rows))


def _paths(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def hostile_names(tree: Path) -> Measured:
    """File names that control a terminal or are formulas."""
    with _new_folder() as here:
        for name in NAMES.values():
            (here / name).write_bytes(PHOTO)
            (here / f"{name}.gif").write_bytes(b"no picture")
        _, out, err = _ended(_recognize(tree, here, "."))
        found = len(re.findall("[\x00-\x09\x0b-\x1f\u202e]", out + err))
        yield "file names with control characters", "of them printed", "0", str(found)
        _ended(_recognize(tree, here, ".", "--csv", "out.csv"))
        cells = re.findall(r'^"?[=+@\t-]', (here / "out.csv").read_text(), re.MULTILINE)
        yield "file names that are formulas", "cells that are one", "0", str(len(cells))


def _stage(tree: Path, change: Callable[[str], str], stage: str, files: int = -1) -> str:
    with _new_folder() as here:
        shutil.copytree(ROOT / "params", here / "params")
        text = (ROOT / "params/sample.yaml").read_text()
        changed = change(text).encode(errors="surrogateescape")
        (here / "params/sample.yaml").write_bytes(changed)
        return _ended(_start(tree, here, f"stages.{stage}", "sample", files=files))[0]


def hostile_sources(tree: Path) -> Measured:
    """Parameters, a bomb, and a folder with what is no file."""
    for attack in hostile_parameters((ROOT / "params/sample.yaml").read_text()):
        ended = _stage(tree, lambda text, attack=attack: hostile_parameters(text)[attack], "source")  # type: ignore[misc]
        yield f"parameters with {attack}", "the stage ends with", LINE, ended
    with _new_folder() as here:
        path = gzip_bomb(here / "bomb.csv.gz", megabytes=4200)
        ended = _stage(tree, lambda text: _from(text, "file", path), "fetch")
        attack = "a gzip of 4 MB with a line of 4.2 GB"
        yield attack, "fetch ends with", LINE, ended
        root = here / "faces"
        for emotion in ("happy", "sad"):
            no_files(root / emotion)
            for number in range(9):
                (root / emotion / f"{number}.png").write_bytes(PHOTO)
        ended = _stage(tree, lambda text: _from(text, "folder", root), "fetch")
        yield "a folder dataset with pipes, devices and loops", "fetch ends with", "status 0", ended


def _from(text: str, kind: str, path: Path) -> str:
    document = yaml.safe_load(text)
    document["fetch"]["source"] = kind
    document["fetch"][kind]["path"] = str(path)
    return yaml.safe_dump(document)


def dataset_names(tree: Path) -> Measured:
    """Names of datasets that are commands or paths."""
    with _new_folder() as here:
        clone = here / "clone"
        subprocess.run(["git", "clone", "--quiet", tree, clone], check=True)
        for name in ("x; touch PWNED", "x'; touch PWNED; '", "$(touch PWNED)"):
            shutil.copy(clone / "params/sample.yaml", clone / "params" / f"{name}.yaml")
            (clone / "params.yaml").write_text(yaml.safe_dump({"datasets": [name]}))
            _ended(_start(clone, clone, "dvc", "repro"))
            did = "ran" if (clone / "PWNED").exists() else "did not run"
            (clone / "PWNED").unlink(missing_ok=True)
            yield f'`datasets: ["{name}"]`, dvc repro', "the command", "did not run", did
        (clone / "source.json").write_text("{}")
        shutil.copy(clone / "params/sample.yaml", clone / "params/...yaml")
        (clone / "params.yaml").write_text('datasets: [".."]\n')
        _ended(_start(clone, clone, "dvc", "repro"))
        source = clone / "source.json"
        kept = "kept" if source.exists() and source.read_text() == "{}" else "lost"
        yield '`datasets: [".."]`, dvc repro', "a file source.json above data/", "kept", kept


def faults(tree: Path) -> Measured:
    """A disk that takes no more bytes."""
    ended = _stage(tree, lambda text: text, "fetch", files=100_000)
    yield "a full data disk", "fetch ends with", LINE, ended


ATTACKS = (no_regular_files, two_runs, hostile_names, dataset_names, hostile_sources, faults)


@dataclass(frozen=True)
class Row:
    """One measured value."""

    attack: str
    measure: str
    goal: str
    before: str
    now: str


def page(rows: list[Row], before: str) -> str:
    """The page, from the measured values."""
    table = [(row.attack, row.measure, row.goal, row.before, row.now) for row in rows]
    headers = ("attack", "measure", "goal", before, "now")
    return (
        "\n\n".join(
            [
                opening(
                    "The command line and the pipeline under abuse",
                    [("fer2013", provenance("fer2013"))],
                ),
                f"    python -m benchmarks.abuse_files --before {before.removeprefix(REVISION)}",
                "The inputs are in `benchmarks/hostile_files.py`; the tests read the same ones"
                " (`test_hostile_files.py` of `tests/recognizer/cli` and `tests/stages/dataset`)."
                " `one line` is an error of one line and exit status 1.",
                "`dvc repro` after `kill -9`, with a full cache and beside another `dvc repro`:"
                " `interrupted_repro.md`.",
                markdown_table(headers, table, text_columns=len(headers)),
            ]
        )
        + "\n"
    )


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", required=True, metavar="REV", help="the commit to compare")
    arguments = parser.parse_args()
    rows = []
    with (
        _new_folder() as temporary,
        checked_out(arguments.before, temporary / "before") as before,
        checked_out("HEAD", temporary / "now"),
    ):
        for attack in ATTACKS:
            both = zip(attack(temporary / "before"), attack(temporary / "now"), strict=True)
            for old, new in both:
                rows.append(Row(*old, new[3]))
                print(*vars(rows[-1]).values(), sep=" | ", flush=True)
    write_results(RESULT, rows, page(rows, before))


if __name__ == "__main__":
    main()
