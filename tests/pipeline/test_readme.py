"""Every command of README.md, run in order in a copy of the repository."""

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

import pytest
import yaml

from stages.report import with_fresh_tables


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def newcomer(built, tmp_path):
    """A copy whose fer2013 is small enough for a test: the sample's rows, one epoch, a tiny net."""
    folder = tmp_path / "copy"
    shutil.copytree(built.folder, folder, symlinks=True)
    repository = dataclasses.replace(built, folder=folder, home=tmp_path / "home")
    repository.home.mkdir()
    shutil.copy2(folder / "data/sample/raw.csv", repository.home / "fer2013.csv")

    parameters = (folder / "params.yaml").read_text()
    head, _, _ = parameters.partition("\nfer2013:")
    document = yaml.safe_load(parameters)
    small = document["fer2013"]
    small["fetch"]["rows"] = document["sample"]["fetch"]["rows"]
    small["validate"] |= {"min_split_rows": 100, "max_class_share": 0.5, "min_class_share": 0.0}
    small["train"] |= {"epochs": 2, "distillation": None}
    small["teach"] = []
    small["train"]["network"]["widths"] = [4, 8]
    small["export"] |= {"calibration": 64, "recall_floor": 0, "committee": []}
    block = yaml.safe_dump({"fer2013": small}, sort_keys=False)
    (folder / "params.yaml").write_text(f"{head}\n{block}")
    repository.run("git commit -qam 'a small fer2013'")
    return repository


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
    # `make test` would run this test again; collecting is as far as it goes in here.
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only -q")
    printed = ""
    for language, text in blocks((newcomer.folder / "README.md").read_text()):
        if language == "json":
            assert_same_answer(json.loads(printed), json.loads(text))
        elif language == "sh" and text == "make serve\n":
            serving(text)
        elif language == "sh":
            printed = newcomer.run(text.replace("127.0.0.1:8000", f"127.0.0.1:{free_port}"))
            if "git restore params.yaml" in text:
                # What follows speaks of the committed model, not of the small one just trained.
                newcomer.run("git restore .")
    log = newcomer.run("git log --format=%s unbalanced")
    assert log.startswith("Train the sample without balancing")


def assert_same_answer(answer: dict, printed: dict) -> None:
    """The README's example is this answer; other processors may differ in the last digits."""
    assert answer["model"] == printed["model"]
    assert answer["image"] == printed["image"]
    for face, expected in zip(answer["faces"], printed["faces"], strict=True):
        assert (face["box"], face["emotion"]) == (expected["box"], expected["emotion"])
        assert face["probabilities"] == pytest.approx(expected["probabilities"], abs=0.01)


def test_the_tables_of_the_readme_are_those_of_the_metrics(copy, monkeypatch):
    monkeypatch.chdir(copy.folder)
    text = (copy.folder / "README.md").read_text()
    assert "| on fer2013" in text
    assert with_fresh_tables(text) == text
