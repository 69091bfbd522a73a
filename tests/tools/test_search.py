"""What the search draws, and how a study goes on; real trials are in tests/pipeline/."""

import os
import socket
from pathlib import Path

import pytest

from stages.errors import UserError
from tools.search import open_study, suggest

ROOT = Path(__file__).parents[2]
optuna = pytest.importorskip("optuna", reason="requirements/tracking.txt is not installed")


def test_the_values_are_in_their_ranges_and_fit_a_symmetric_network(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = open_study(tmp_path / "study.db", "sample", seed=0)
    for _ in range(10):
        values = suggest(study.ask(), "sample")
        assert 0.01 <= values["train.optimizer.sgd.learning_rate"] <= 0.3
        assert 0 <= values["train.network.residual.dropout"] <= 0.5
        assert all(
            width % 2 == 0 and width >= 4 for width in values["train.network.residual.widths"]
        )


def test_a_killed_trial_is_run_again_with_its_values(tmp_path):
    path = tmp_path / "study.db"
    study = open_study(path, "sample", seed=0)
    killed = study.ask()
    killed.set_user_attr("process", f"{socket.gethostname()}:{2**22 + 1}")
    rate = killed.suggest_float("learning_rate", 0.01, 0.3, log=True)
    again = open_study(path, "sample", seed=0)
    assert again.trials[0].state == optuna.trial.TrialState.FAIL
    assert again.ask().suggest_float("learning_rate", 0.01, 0.3, log=True) == rate


def test_a_trial_of_another_search_that_runs_is_left_alone(tmp_path):
    path = tmp_path / "study.db"
    trial = open_study(path, "sample", seed=0).ask()
    trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")
    open_study(path, "sample", seed=0)
    assert open_study(path, "sample", seed=0).trials[0].state == optuna.trial.TrialState.RUNNING


def test_a_study_of_another_dataset_is_an_error(tmp_path):
    open_study(tmp_path / "study.db", "sample", seed=0)
    with pytest.raises(UserError, match="of dataset sample"):
        open_study(tmp_path / "study.db", "fer2013", seed=0)


def test_a_name_that_dvc_would_refuse_is_an_error(tmp_path):
    with pytest.raises(UserError, match="letters, digits"):
        open_study(tmp_path / "my study.db", "sample", seed=0)
