"""Trainings, evaluations and past commits in a real MLflow server."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from recognizer.classifier import Classifier
from stages.parameters import load_parameters
from stages.tracking import SHOWS_FACES, Tracker, destination, flat
from tests.stages.killed_fixture import killed
from tests.stages.test_train import write_files

ROOT = Path(__file__).parents[2]
mlflow = pytest.importorskip("mlflow", reason="requirements/tracking.txt is not installed")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a running `mlflow server`."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            assert process.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(f"{address}/health"):  # noqa: S310
                    break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        else:
            pytest.fail(f"not ready after two minutes:\n{log.read_text()}")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture
def tracked(server, monkeypatch) -> str:
    """The server's address, in the variable that the commands read."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    return server


def runs_of(address: str, dataset: str) -> list:
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name(dataset)
    return client.search_runs([experiment.experiment_id]) if experiment else []


def command(module: str, *arguments: str, folder: Path, **environment: str) -> str:
    """Run a command of the project; return what it logged."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def committed_results(folder: Path, dataset: str) -> None:
    """The committed parameters and results of the sample, as those of another dataset."""
    for kind in ("models", "metrics"):
        shutil.copytree(ROOT / kind / "sample", folder / kind / dataset)


def parameters() -> dict:
    sample = load_parameters("sample", ROOT / "params")
    return sample.model_dump(mode="json", by_alias=True)


def test_a_training_that_is_killed_and_resumed_is_one_run_with_every_epoch(tmp_path, tracked):
    write_files(tmp_path)
    killed(tmp_path, "stages.train", ".resume", epoch=2)
    assert [run.info.status for run in runs_of(tracked, "tiny")] == ["RUNNING"]
    assert "resuming after epoch 2" in command("stages.train", "tiny", folder=tmp_path)
    (run,) = runs_of(tracked, "tiny")
    assert run.info.status == "FINISHED"
    history = mlflow.MlflowClient(tracked).get_metric_history(run.info.run_id, "val_macro_f1")
    assert sorted(row.step for row in history) == [1, 2, 3]
    training = json.loads((tmp_path / "metrics/tiny/training.json").read_text())
    assert run.data.metrics["training/val_macro_f1"] == training["val_macro_f1"]
    assert run.data.params["train.optimizer.name"] == "sgd"
    assert run.data.params["train.epochs"] == "3"


def test_an_evaluation_joins_the_run_of_its_training(tmp_path, tracked, monkeypatch):
    committed_results(tmp_path, "joined")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_EXP_NAME", "brave-name")
    training = Tracker("joined", destination(os.environ))
    training.start_training(parameters(), "fingerprint", resumes=False)
    training.finish_training()
    Tracker("joined", destination(os.environ)).log_evaluation(parameters())
    (run,) = runs_of(tracked, "joined")

    evaluation = json.loads(Path("metrics/joined/evaluation.json").read_text())
    assert run.data.metrics["PrivateTest/accuracy"] == evaluation["PrivateTest"]["accuracy"]
    expected = {name: str(value) for name, value in flat(parameters(), ".")}
    assert run.data.params == expected
    assert run.data.tags["DVC_EXP_NAME"] == run.info.run_name == "brave-name"
    client = mlflow.MlflowClient(tracked)
    plots = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "plots")}
    assert {"confusion.csv", "balance.png"} <= plots
    assert plots.isdisjoint(SHOWS_FACES)

    # Another export of the same training is another run, for parameters cannot change.
    changed = parameters()
    changed["export"]["recall_floor"] = 0.5
    Tracker("joined", destination(os.environ)).log_evaluation(changed)
    assert len(runs_of(tracked, "joined")) == 2


def test_the_logged_model_predicts_as_the_served_one(tmp_path, tracked, monkeypatch):
    committed_results(tmp_path, "loaded")
    monkeypatch.chdir(tmp_path)
    Tracker("loaded", destination(os.environ)).log_evaluation(parameters())
    (run,) = runs_of(tracked, "loaded")
    mlflow.set_tracking_uri(tracked)
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    (faces,) = model.metadata.signature.inputs.inputs
    assert (faces.name, faces.type, faces.shape) == ("faces", np.dtype("uint8"), (-1, 48, 48))
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    predicted = model.predict({"faces": images})["probabilities"]
    served = Classifier(Path("models/loaded/model.onnx")).predict(images)
    np.testing.assert_allclose(predicted, served, atol=1e-5)


def test_a_past_commit_is_exported_once(tmp_path, tracked):
    log = command("tools.export_mlflow", "sample", "HEAD", folder=ROOT)
    assert "logged to MLflow" in log
    assert "already there" in command("tools.export_mlflow", "sample", "HEAD", folder=ROOT)
    (run,) = runs_of(tracked, "sample")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert run.data.tags["mlflow.source.git.commit"] == head
    assert "val_macro_f1" in run.data.metrics


def test_a_server_that_cannot_be_reached_is_one_warning(tmp_path):
    write_files(tmp_path, epochs=1)
    nowhere = f"http://127.0.0.1:{free_port()}"
    log = command("stages.train", "tiny", folder=tmp_path, MLFLOW_TRACKING_URI=nowhere)
    assert log.count(f"MLflow at {nowhere} failed") == 1
    assert (tmp_path / "metrics/tiny/training.json").exists()


def test_an_export_to_a_server_that_cannot_be_reached_is_one_line():
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-m", "tools.export_mlflow", "sample", "HEAD"],
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_URI": nowhere},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: MLflow at {nowhere} failed: ")
    assert done.stderr.count("\n") == 1 and len(done.stderr) < 500


def test_a_folder_is_that_of_the_repository_and_not_of_the_experiment(tmp_path, monkeypatch):
    committed_results(tmp_path / "experiment", "local")
    monkeypatch.chdir(tmp_path / "experiment")
    environment = {"MLFLOW_TRACKING_URI": "runs", "DVC_ROOT": str(tmp_path)}
    where = destination(environment)
    assert where.uri == str(tmp_path / "runs")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", environment["MLFLOW_ALLOW_FILE_STORE"])
    Tracker("local", where).log_evaluation(parameters())
    (run,) = runs_of(where.uri, "local")
    assert run.data.metrics["PrivateTest/accuracy"] > 0


def test_an_absent_package_is_one_line(monkeypatch, caplog):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert destination({"MLFLOW_TRACKING_URI": "http://localhost"}) is None
    (line,) = caplog.messages
    assert "make .venv/tracking" in line


def test_nothing_is_logged_without_the_variable(caplog):
    assert destination({}) is None
    Tracker("sample", None).log_evaluation({})
    assert caplog.messages == []


def test_plots_that_show_faces_are_those_that_git_ignores():
    ignored = [line.rpartition("/")[2] for line in (ROOT / ".gitignore").read_text().splitlines()]
    assert {name for name in ignored if name.endswith(".png")} == set(SHOWS_FACES)
