"""Trials of `tools.search` in real experiments: after a kill, and one that is pruned."""

import json
import signal
import subprocess
import sys

import pytest

from tests.pipeline.conftest import Repository
from tests.pipeline.test_grid import copied, wait_until
from tools.search import open_study

optuna = pytest.importorskip("optuna", reason="requirements/tracking.txt is not installed")

# Waits end with this limit.
pytestmark = pytest.mark.timeout(1800)

SEARCH = "-m tools.search sample --trials 1 --set train.epochs=2 --study"


@pytest.fixture(scope="module")
def repository(built, tmp_path_factory) -> Repository:
    return copied(built, tmp_path_factory.mktemp("search") / "copy")


def experiments(repository: Repository, study: str) -> list[str]:
    names = repository.run("dvc exp list --name-only").split()
    return [name for name in names if name.startswith(study)]


def folders(repository: Repository) -> list[str]:
    """Folders in which `dvc exp run --temp` runs."""
    return [path.name for path in (repository.folder / ".dvc/tmp/exps/standalone").glob("tmp*")]


def is_training(repository: Repository) -> bool:
    exps = repository.folder / ".dvc/tmp/exps/standalone"
    return any(exps.glob("tmp*/models/sample/.resume.npz"))


def test_a_killed_search_goes_on_with_the_values_of_the_killed_trial(repository):
    search = subprocess.Popen(
        [sys.executable, *SEARCH.split(), "tmp/killed.db", "--set", "train.epochs=6"],
        cwd=repository.folder,
        env=repository.environment(),
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: is_training(repository) or search.poll() is not None)
    assert search.poll() is None
    search.send_signal(signal.SIGKILL)
    search.wait()

    printed = repository.run(f"python {SEARCH} tmp/killed.db --set train.epochs=6")
    killed, repeated = open_study(repository.folder / "tmp/killed.db", "sample", seed=0).trials
    assert (killed.state.name, repeated.state.name) == ("FAIL", "COMPLETE")
    assert repeated.params == killed.params
    # The training that the killed search had left was stopped.
    assert experiments(repository, "killed") == ["killed-1"]
    assert folders(repository) == []
    reference = repository.run("git for-each-ref --format='%(refname)' 'refs/exps/*/*/killed-1'")
    training = repository.run(f"git show {reference.strip()}:metrics/sample/training.json")
    assert repeated.value == json.loads(training)["val_macro_f1"]
    assert "take it over: dvc exp apply killed-1" in printed
    assert repository.run("git status --porcelain") == ""


def test_a_trial_below_the_median_is_stopped_and_leaves_no_experiment(repository):
    study = open_study(repository.folder / "tmp/pruned.db", "sample", seed=0)
    for _ in range(4):
        study.add_trial(optuna.trial.create_trial(value=1.0, intermediate_values={1: 1.0, 2: 1.0}))
    # Long enough for the search to see it train.
    repository.run(f"python {SEARCH} tmp/pruned.db --set train.epochs=40")
    stopped = study.trials[-1]
    assert stopped.state.name == "PRUNED"
    assert list(stopped.intermediate_values) == [1]
    assert experiments(repository, "pruned") == []
    assert folders(repository) == []
