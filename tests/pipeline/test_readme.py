"""The commands of README.md, run in order in a copy of the repository, and its tables."""

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from stages.report import with_fresh_tables
from tests.pipeline.conftest import ran


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def newcomer(built, tmp_path):
    """A copy of what is built, in which fer2013 has few rows and a tiny network for one epoch."""
    folder = tmp_path / "copy"
    shutil.copytree(built.folder, folder, symlinks=True)
    repository = dataclasses.replace(built, folder=folder, home=tmp_path / "home")
    repository.home.mkdir()
    rows = {"Training": 280, "PublicTest": 140, "PrivateTest": 140}
    (repository.home / "fer2013.csv").write_text(first_rows(folder / "data/sample/raw.csv", rows))

    parameters = (folder / "params.yaml").read_text()
    head, _, _ = parameters.partition("\nfer2013:")
    document = yaml.safe_load(parameters)
    small = document["fer2013"]
    small["fetch"]["rows"] = rows
    small["validate"] |= {"min_split_rows": 100, "max_class_share": 0.5, "min_class_share": 0.0}
    small["train"] |= {"epochs": 1, "distillation": None}
    small["train"]["network"]["widths"] = [4, 8]
    small["export"] |= {"calibration": 64, "recall_floor": 0, "ensemble": []}
    small["evaluate"] |= {"bootstrap": 100}
    block = yaml.safe_dump({"fer2013": small}, sort_keys=False)
    (folder / "params.yaml").write_text(f"{head}\n{block}")
    repository.run("git commit -qam 'a small fer2013'")
    return repository


def first_rows(path: Path, counts: dict[str, int]) -> str:
    """The head of a CSV file as FER-2013, and the first rows of each `Usage`."""
    head, *lines = path.read_text().splitlines()
    kept = [head]
    for usage, count in counts.items():
        kept += [line for line in lines if line.endswith(f",{usage}")][:count]
    return "\n".join([*kept, ""])


@pytest.fixture
def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def serving(newcomer, free_port):
    """Starts a command that serves on the free port, waits until it is ready, and ends it."""
    started = []

    def start(command: str) -> None:
        environment = {**newcomer.environment(), "UVICORN_PORT": str(free_port)}
        with (newcomer.home / "serve.log").open("w") as log:
            server = subprocess.Popen(
                ["bash", "-c", command],
                cwd=newcomer.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(server)
        for _ in range(600):
            assert server.poll() is None, (newcomer.home / "serve.log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/readyz"):
                    return
            except urllib.error.URLError:
                time.sleep(0.1)
        pytest.fail("not ready after a minute:\n" + (newcomer.home / "serve.log").read_text())

    yield start
    for server in started:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def test_every_command_of_the_readme(newcomer, serving, free_port, monkeypatch):
    # `make test` would run this test again: in here it collects one file.
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only -q tests/test_architecture.py")
    printed = ""
    for language, text in blocks((newcomer.folder / "README.md").read_text()):
        if language == "json":
            assert_same_answer(json.loads(printed), json.loads(text))
        elif language == "sh" and text == "make serve\n":
            serving(text)
        elif language == "sh":
            printed = newcomer.run(text.replace("127.0.0.1:8000", f"127.0.0.1:{free_port}"))
            if "git restore params.yaml" in text:
                # The next blocks show answers of the committed model, not of the tiny one.
                newcomer.run("git restore .")
            if "strategy: none" in text:
                assert ran(printed).isdisjoint({"fetch", "validate"})
                assert ran(printed) >= {"balance", "train", "export", "evaluate"}
    log = newcomer.run("git log --format=%s unbalanced")
    assert log.startswith("Train the sample without balancing")
    metrics = json.loads(newcomer.run("dvc metrics diff --json main unbalanced"))
    assert metrics["metrics/sample/balance.json"]["added"]["new"] == 0
    assert metrics["metrics/sample/evaluation.json"]["PrivateTest.log_loss"]["diff"] != 0
    parameters = json.loads(newcomer.run("dvc params diff --json main unbalanced"))
    assert parameters["params.yaml"] == {
        "sample.balance.strategy": {"old": "augment", "new": "none"}
    }


def assert_same_answer(answer, printed) -> None:
    """The README shows this answer; its numbers differ a little on other processors."""
    if isinstance(printed, dict):
        assert answer.keys() == printed.keys()
        for key, value in printed.items():
            assert_same_answer(answer[key], value)
    elif isinstance(printed, list):
        assert len(answer) == len(printed)
        for pair in zip(answer, printed, strict=True):
            assert_same_answer(*pair)
    elif isinstance(printed, float) or (isinstance(printed, int) and not isinstance(printed, bool)):
        # Probabilities, and places in pixels.
        assert answer == pytest.approx(printed, rel=0.02, abs=0.01)
    else:
        assert answer == printed


def test_the_tables_of_the_readme_are_those_of_the_committed_metrics(committed, monkeypatch):
    monkeypatch.chdir(committed.folder)
    text = (committed.folder / "README.md").read_text()
    assert "| on fer2013" in text
    assert with_fresh_tables(text) == text
