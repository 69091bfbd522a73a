"""`dvc exp show` in another terminal while an experiment trains."""

import csv
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.test_grid import copied, wait_until

# Waits end with this limit.
pytestmark = pytest.mark.timeout(1800)

# The training ends when the test ends it.
RUN = "dvc exp run --name live --set-param params/sample.yaml:train.epochs=100000"


@pytest.fixture
def repository(built, tmp_path) -> Iterator[Repository]:
    """A clone with a tiny network; what still runs in it afterwards is killed."""
    repository = copied(built, tmp_path / "copy")
    yield repository
    for process in psutil.process_iter(["cwd"]):
        if Path(process.info["cwd"] or "/").is_relative_to(repository.folder):
            process.kill()


def listed(repository: Repository) -> tuple[int, float] | None:
    """Epoch and macro-F1 in the row of the running experiment; None where it has none yet."""
    # DVC fails while it creates the temporary folder of an experiment.
    printed = repository.run("dvc exp show --csv || true")
    for row in csv.DictReader(io.StringIO(printed)):
        # Without experiments, the table has no `State`; without a finished epoch, no `epoch`.
        assert row.get("State") != "Failed", printed
        if (row["Experiment"], row.get("State")) == ("live", "Running") and row.get("epoch"):
            return int(row["epoch"]), float(row["val_macro_f1"])
    return None


@pytest.mark.parametrize("place", ["workspace", "queue"])
def test_the_row_of_a_running_experiment_follows_its_epochs(repository, place):
    if place == "queue":
        repository.run(f"{RUN} --queue && dvc queue start >/dev/null 2>&1")
        process, history_csv = None, ".dvc/tmp/exps/*/models/sample/history.csv"
    else:
        process = subprocess.Popen(
            RUN.split(),
            cwd=repository.folder,
            env=repository.environment(),
            stdout=subprocess.DEVNULL,
        )
        history_csv = "models/sample/history.csv"
    seen = set()

    def two_epochs() -> bool:
        assert process is None or process.poll() is None
        seen.add(listed(repository))
        return len(seen - {None}) == 2

    wait_until(two_epochs)
    (path,) = repository.folder.glob(history_csv)
    scores = pd.read_csv(path).set_index("epoch")["val_macro_f1"]
    for epoch, score in seen - {None}:
        assert score == pytest.approx(scores[epoch], abs=1e-4)
