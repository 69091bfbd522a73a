"""The researcher's story of docs/experiments.md: a grid in DVC's queue, with tiny networks."""

import csv
import dataclasses
import io
import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.pipeline.conftest import ROOT, Repository, ran
from tests.pipeline.test_readme import blocks
from tests.pipeline.test_tables import assert_fits, on_a_terminal

# Waits end with this limit.
pytestmark = pytest.mark.timeout(1800)

OPTIMIZER = "params/sample.yaml:train.optimizer.name"
STRATEGY = "params/sample.yaml:balance.strategy"
QUEUE, START, _, SHOW = next(
    block.text for block in blocks(ROOT / "docs/experiments.md") if "--queue" in block.text
).splitlines()


@dataclasses.dataclass(frozen=True)
class Grid:
    """The clone in which the grid ran, and what its killed worker left."""

    repository: Repository
    left: str
    """`dvc queue status` after the kill, when the other experiments had finished."""
    marked: str
    """The same after `dvc queue kill`."""

    def reference(self, name: str) -> str:
        """Git's name of an experiment."""
        command = f"git for-each-ref --format='%(refname)' 'refs/exps/*/*/{name}'"
        return self.repository.run(command).strip()

    def headline(self, name: str) -> dict[str, float]:
        """The DVC metric of an experiment."""
        reference = self.reference(name)
        return json.loads(self.repository.run(f"git show {reference}:metrics/sample/headline.json"))


def table(repository: Repository) -> list[dict[str, str]]:
    """The rows of `dvc exp show` that are experiments."""
    rows = csv.DictReader(io.StringIO(repository.run("dvc exp show --csv --sort-by val_f1")))
    return [row for row in rows if row["rev"] not in ("", "workspace", "main")]


def start_workers(repository: Repository) -> None:
    """Start the queue's workers, which would keep a pipe open until they end."""
    repository.run(f"{START} >/dev/null 2>&1")


def workers(repository: Repository) -> list[psutil.Process]:
    """The running workers of a queue."""
    found = []
    for file in sorted((repository.folder / ".dvc/tmp/exps/celery").glob("dvc-exp-worker-*.json")):
        try:
            worker = psutil.Process(json.loads(file.read_text())["pid"])
            if "queue-worker" in worker.cmdline() and worker.status() != psutil.STATUS_ZOMBIE:
                found.append(worker)
        except psutil.NoSuchProcess:
            continue
    return found


def wait_for(repository: Repository, experiments: int) -> str:
    """Wait until so many experiments have succeeded; return the status of the queue."""

    def finished() -> str | None:
        status = repository.run("dvc queue status")
        assert "Failed" not in status or "again" in status, status
        return status if status.count("Success") == experiments else None

    return wait_until(finished, seconds=5)


def wait_until(condition, seconds: float = 0.1):
    """Wait for the first true value of a function, which is called every so many seconds."""
    while not (value := condition()):
        time.sleep(seconds)
    return value


def worker_that_trains(repository: Repository) -> psutil.Process | None:
    """A worker whose experiment has reached the stage `train`."""
    for worker in workers(repository):
        try:
            if any("stages.train" in child.cmdline() for child in worker.children(recursive=True)):
                return worker
        except psutil.NoSuchProcess:
            continue
    return None


def copied(built: Repository, folder: Path) -> Repository:
    """A clone of the built sample whose `main` trains a tiny network for one epoch."""
    shutil.copytree(built.folder, folder, symlinks=True)
    parameters = folder / "params/sample.yaml"
    text = parameters.read_text()
    for old, new in {
        " residual: {dropout: 0.2, blocks: 1, widths: [16, 32, 64]}": (
            " residual: {dropout: 0.2, blocks: 1, widths: [8, 16]}"
        ),
        "epochs: 8": "epochs: 1",
        # The average of a few steps has learnt nothing that tells two experiments apart.
        "ema_decay: 0.98": "ema_decay: 0",
        "bootstrap: 1000": "bootstrap: 100",
    }.items():
        assert old in text
        text = text.replace(old, new)
    parameters.write_text(text)
    repository = dataclasses.replace(built, folder=folder)
    repository.run("git commit -qam 'a tiny network'")
    return repository


@pytest.fixture(scope="module")
def grid(built, tmp_path_factory) -> Grid:
    """The grid of the page in two workers, of which one is killed while it trains."""
    repository = copied(built, tmp_path_factory.mktemp("grid") / "copy")
    repository.run(QUEUE)
    start_workers(repository)
    worker = wait_until(lambda: worker_that_trains(repository))
    os.killpg(os.getpgid(worker.pid), signal.SIGKILL)
    start_workers(repository)
    left = wait_for(repository, 7)
    killed = next(row for row in table(repository) if row["State"] == "Running")
    repository.run(f"dvc queue kill {killed['Experiment']}")
    marked = repository.run("dvc queue status")
    repository.run(
        f"dvc exp run --queue --name again --set-param {OPTIMIZER}={killed['train.optimizer.name']}"
        f" --set-param {STRATEGY}={killed['balance.strategy']}"
    )
    start_workers(repository)
    wait_for(repository, 8)
    return Grid(repository, left, marked)


def test_a_killed_worker_costs_its_own_experiment_only(grid):
    assert (grid.left.count("Success"), grid.left.count("Running")) == (7, 1)
    assert (grid.marked.count("Success"), grid.marked.count("Failed")) == (7, 1)
    finished = [row for row in table(grid.repository) if row["State"] == "Success"]
    settings = {(row["train.optimizer.name"], row["balance.strategy"]) for row in finished}
    assert len(settings) == len(finished) == 8


def test_the_table_fits_a_terminal_with_the_best_first(grid):
    text = on_a_terminal(grid.repository, SHOW)
    assert_fits(text)
    rows = [row for row in table(grid.repository) if row["State"] == "Success"]
    names = sorted((row["Experiment"] for row in rows), key=lambda name: text.index(f"[{name}]"))
    scores = [grid.headline(name)["val_f1"] for name in names]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1


def test_two_parallel_runs_give_the_same_bytes_as_two_serial_ones(grid, built, tmp_path):
    # Its cache has none of the grid's results.
    serial = Grid(copied(built, tmp_path / "serial"), "", "")
    rows = {
        (row["train.optimizer.name"], row["balance.strategy"]): row["Experiment"]
        for row in table(grid.repository)
        if row["State"] == "Success"
    }
    for optimizer, strategy in (("adam", "none"), ("sgd", "augment")):
        name = f"{optimizer}-{strategy}"
        serial.repository.run(
            f"dvc exp run --temp --name {name} --set-param {OPTIMIZER}={optimizer}"
            f" --set-param {STRATEGY}={strategy}"
        )
        alone, queued = (
            where.repository.run(f"git ls-tree -r {where.reference(experiment)}").splitlines()
            for where, experiment in ((serial, name), (grid, rows[optimizer, strategy]))
        )
        # Everything: the model, the metrics, and dvc.lock with the digests of what is not in git.
        assert set(alone) ^ set(queued) == set()


def test_the_best_is_applied_compared_and_made_a_branch(grid):
    repository = grid.repository
    rows = [row for row in table(repository) if row["State"] == "Success"]
    best = max(rows, key=lambda row: float(row["val_f1"]))["Experiment"]
    repository.run(f"dvc exp apply {best}")
    applied = json.loads((repository.folder / "metrics/sample/headline.json").read_text())
    assert applied == grid.headline(best)
    assert ran(repository.run("dvc repro")) == set()
    assert "val_f1" in repository.run("dvc metrics diff main")
    repository.run(f"dvc exp branch {best} better")
    branch = repository.run("git show better:metrics/sample/headline.json")
    assert json.loads(branch) == applied
