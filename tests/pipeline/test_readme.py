"""The commands of README and of the other pages, run in order in a copy of the repository.

A comment before a block, which a reader does not see, says what to do with it:
`<!-- not run: REASON -->`, `<!-- append to FILE -->`, or `<!-- transcript -->`: what it prints.
"""

import csv
import dataclasses
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from stages.dataset.fer2013 import EMOTIONS
from stages.parameters import load_parameters
from stages.training.keras_archive import model_version, save_trainable_weights
from stages.training.networks import build_network
from tests.pipeline.conftest import ROOT, Repository, ran
from tools.readme_tables import with_fresh_tables

FER2013_ROWS = {"Training": 280, "PublicTest": 140, "PrivateTest": 140}
PHOTOS = 2
"""Photos of each emotion."""
FOLDER_FACES = {"train": 12, "val": 5, "test": 5}
"""Faces of each emotion."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    note: str
    """The comment directly before it, or nothing."""
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        return self.language == "sh" and not self.note.startswith("not run: ")


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    fenced = r"^(?:<!-- ([^\n]*) -->\n)?```(\w*)\n(.*?)^```"
    found = re.findall(fenced, page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [Block(*groups) for groups in found]


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIAL = ROOT / "docs/own-data.md"
OTHERS = [
    page for page in PAGES[1:] if page != TUTORIAL and any(block.is_run for block in blocks(page))
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---------------------------------------------------------------- the reader's repository


@pytest.fixture
def clone(built, tmp_path) -> Repository:
    """A copy of what is built, where FER-2013 is small and trains a tiny network for one epoch.

    Beside it lie faces in folders, in its home folder lies a fer2013.csv.
    """
    folder = tmp_path / "copy"
    shutil.copytree(built.folder, folder, symlinks=True)
    repository = dataclasses.replace(built, folder=folder, home=tmp_path / "home")
    repository.home.mkdir()
    sample = folder / "data/sample/raw.csv"
    (repository.home / "fer2013.csv").write_text(first_rows(sample, FER2013_ROWS))
    write_faces(sample, tmp_path / "faces")

    for dataset in ("fer2013", "fer2013-small", "fer2013-fast", "own"):
        path = folder / f"params/{dataset}.yaml"
        parameters = tiny(yaml.safe_load(path.read_text()))
        path.write_text(yaml.safe_dump(parameters, sort_keys=False))
    write_released_weights(folder)
    repository.run("git commit -qam 'a small fer2013'")
    return repository


def tiny(dataset: dict) -> dict:
    """Parameters of a dataset for few rows and for one epoch of a tiny network."""
    if "kaggle" in dataset["fetch"]:
        dataset["fetch"]["kaggle"]["rows"] = FER2013_ROWS
        limits = {"min_split_rows": 100, "max_class_share": 0.5, "min_class_share": 0.0}
        dataset["validate"] |= limits
    dataset["train"]["epochs"] = 1
    dataset["train"]["distillation"]["name"] = "none"
    dataset["train"]["init"]["name"] = "none"
    network = dataset["train"]["network"]
    network[network["name"]]["widths"] = [4, 8]
    dataset["export"] |= {"recall_floor": 0}
    dataset["export"]["int8"]["calibration"] = 64
    dataset["evaluate"] |= {"bootstrap": 100}
    return dataset


def write_released_weights(folder: Path) -> None:
    """Write the weights that the tutorial starts from, of a network as tiny as that of `own`."""
    models = folder / "models/ferplus"
    network = build_network(load_parameters("own", folder / "params").train.network, 40, 8)
    onnx = models / "model.onnx"
    version = hashlib.sha256(onnx.read_bytes()).hexdigest() if onnx.exists() else None
    save_trainable_weights(network, models / "weights.keras", {"model": version})


def first_rows(path: Path, counts: dict[str, int]) -> str:
    """The head of a CSV file as FER-2013, and the first rows of each `Usage`."""
    head, *lines = path.read_text().splitlines()
    kept = [head]
    for usage, count in counts.items():
        kept += [line for line in lines if line.endswith(f",{usage}")][:count]
    return "\n".join([*kept, ""])


def write_faces(raw: Path, folder: Path) -> None:
    """Write Training faces of a CSV file as `SPLIT/EMOTION/NUMBER.png`."""
    lines = [line.split(",") for line in raw.read_text().splitlines()[1:]]
    for label, emotion in enumerate(EMOTIONS):
        pixels = iter(
            p for number, p, usage in lines if (number, usage) == (str(label), "Training")
        )
        for split, count in FOLDER_FACES.items():
            (folder / split / emotion).mkdir(parents=True)
            for number in range(count):
                face = np.array(next(pixels).split(), dtype=np.uint8).reshape(48, 48)
                cv2.imwrite(str(folder / split / emotion / f"{number}.png"), face)


def write_photos(raw: Path, folder: Path) -> None:
    """Write photos with a face each, `EMOTION-NUMBER.jpg`, from PublicTest of a CSV file."""
    folder.mkdir()
    lines = [line.split(",") for line in raw.read_text().splitlines()[1:]]
    for label, emotion in enumerate(EMOTIONS):
        pixels = (p for number, p, usage in lines if (number, usage) == (str(label), "PublicTest"))
        for number in range(PHOTOS):
            face = np.array(next(pixels).split(), dtype=np.uint8).reshape(48, 48)
            photo = np.full((480, 640), 128, np.uint8)
            photo[120:360, 200:440] = cv2.resize(face, (240, 240), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{emotion}-{number}.jpg"), photo)


def sort_faces(tree: Path) -> int:
    """Move each face of these photos into the folder of its emotion, as a person does.

    Returns the number of faces that were in another one.
    """
    moved = 0
    with (tree / "faces.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            right = Path(row["photo"]).name.partition("-")[0]
            (place,) = [
                path for path in tree.glob(f"*/{row['file']}") if path.parent.name != "_48x48"
            ]
            moved += place.parent.name != right
            place.rename(tree / right / row["file"])
    return moved


# ---------------------------------------------------------------- the reader


@dataclass
class Reader:
    """Follows a page from top to bottom: what one block starts, the next ones find running."""

    repository: Repository
    port: int
    server: subprocess.Popen | None = None

    def follow(self, page: Path) -> Iterator[tuple[str, str]]:
        """Run the blocks of a page; yield the commands of each and what they printed."""
        printed = ""
        for block in blocks(self.repository.folder / name_of(page)):
            if block.language == "json":
                assert_same_answer(json.loads(printed), json.loads(block.text))
            elif block.note == "transcript":
                assert_same_text(printed, block.text)
            elif block.note.startswith("append to "):
                with (self.repository.folder / block.note.removeprefix("append to ")).open(
                    "a"
                ) as f:
                    f.write("\n" + block.text)
            elif block.is_run:
                *commands, last = block.text.replace(
                    "127.0.0.1:8000", f"127.0.0.1:{self.port}"
                ).split("\n")[:-1]
                serves = last.endswith("make serve")
                printed = self.repository.run("\n".join(commands if serves else [*commands, last]))
                if serves:
                    self.serve(last)
                yield block.text, printed
            else:
                # A diagram, or commands that test_commands_that_are_not_run_exist looks at.
                assert not block.language or block.note.startswith("not run: "), block

    def serve(self, command: str) -> None:
        """Start a server in place of the one before, and wait until it is ready."""
        self.stop()
        log = self.repository.home / "serve.log"
        with log.open("w") as file:
            self.server = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.repository.folder,
                env={**self.repository.environment(), "UVICORN_PORT": str(self.port)},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        for _ in range(600):
            assert self.server.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz"):
                    return
            except urllib.error.URLError:
                time.sleep(0.1)
        pytest.fail(f"not ready after a minute:\n{log.read_text()}")

    def served(self) -> dict:
        """The answer of `GET /model`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/model") as answer:
            return json.load(answer)

    def stop(self) -> None:
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGTERM)
            self.server.wait()
            self.server = None


@pytest.fixture
def reader(clone, monkeypatch) -> Iterator[Reader]:
    """A reader of a page in the clone."""
    # `make test` would run these tests again: in the clone it collects one file.
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only -q tests/test_architecture.py")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reader = Reader(clone, port)
    yield reader
    reader.stop()


# ---------------------------------------------------------------- the pages


def test_every_command_of_the_readme(reader):
    clone = reader.repository
    datasets = []
    for text, printed in reader.follow(ROOT / "README.md"):
        if "strategy: none" in text:
            assert ran(printed).isdisjoint({"fetch", "validate"})
            assert ran(printed) >= {"balance", "train", "export", "evaluate"}
            assert ran(clone.run("dvc repro")) == set()
            metrics = json.loads(clone.run("dvc metrics diff --json main unbalanced"))
            assert metrics["metrics/sample/headline.json"]["log_loss"]["diff"]
            balance = json.loads(clone.run("git show unbalanced:metrics/sample/balance.json"))
            assert balance["added"] == 0
            changed = json.loads(clone.run("dvc params diff --json main unbalanced"))
            assert changed["params/sample.yaml"] == {
                "balance.strategy": {"old": "augment", "new": "none"}
            }
        if text.endswith("make serve\n"):
            datasets.append(reader.served()["dataset"])
    assert datasets == ["fer2013", "sample", "mine"]
    # The parameter file and the name in `datasets` are all that DVC's tables and plots need.
    shown = clone.run("dvc metrics show && dvc plots show --json")
    assert "metrics/mine/" in shown.partition("{")[0]
    assert "metrics/mine/plots/" in shown.partition("{")[2]
    validation = json.loads((clone.folder / "metrics/mine/validation.json").read_text())
    assert validation["rows"]["read"] == sum(FOLDER_FACES.values()) * len(EMOTIONS)


def test_the_tutorial_of_own_faces(reader):
    """Between two of its blocks, a person sorts the faces into the right folders."""
    clone = reader.repository
    metrics, training = clone.folder / "metrics/mine", clone.folder.parent / "faces/train"
    model = clone.folder / "models/mine/model.onnx"
    write_photos(clone.folder / "data/sample/raw.csv", clone.folder.parent / "photos")
    moved, before = 0, {}
    for text, printed in reader.follow(TUTORIAL):
        if text.endswith("make serve\n"):
            assert len(text.splitlines()) == 5
            assert reader.served()["dataset"] == "mine"
            started = json.loads((metrics / "training.json").read_text())["initial_weights"]
            assert started["file"] == "models/ferplus/weights.keras"
        if "tools.trainable_weights" in text:
            weights = model.with_name("weights.keras")
            assert model_version(weights) == hashlib.sha256(model.read_bytes()).hexdigest()
        if "--crops" in text:
            before = json.loads((metrics / "validation.json").read_text())
            moved = sort_faces(training)
            assert moved > 0
            again = clone.run(text)
            assert sort_faces(training) == 0, again
        if "dvc metrics diff" in text:
            assert ran(printed) == {"fetch", "validate", "balance", "train", "export", "evaluate"}
            assert re.search(r"^metrics/mine/headline.json +\w+ +[\d.]+ ", printed, re.MULTILINE)
    after = json.loads((metrics / "validation.json").read_text())
    assert after["corrected"] == {"Training": moved, "PublicTest": 0, "PrivateTest": 0}
    assert after["rows"]["read"] == before["rows"]["read"] + PHOTOS * len(EMOTIONS)
    for split in ("PublicTest", "PrivateTest"):
        assert after["kept"][split] == before["kept"][split]
    card = (clone.folder / "models/mine/README.md").read_text()
    assert (
        f"corrected the predicted emotion of {moved} faces of Training; each has the weight 3"
        in card
    )


@pytest.mark.parametrize("page", OTHERS, ids=name_of)
def test_every_command_of_a_page(reader, page):
    for _ in reader.follow(page):
        pass


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_are_not_run_exist(page):
    for block in blocks(page):
        if named := re.fullmatch("not run: (tests/.*py) runs it.*", block.note):
            assert page.name in (ROOT / named[1]).read_text(), "the test does not read the page"
        elif block.note.startswith("not run: "):
            assert block.language == "sh"
            for line in block.text.splitlines():
                assert_exists(line)


def assert_exists(command: str) -> None:
    """Fail where a command names a module, an option, a target or a stage that is not there."""
    words = shlex.split(command)
    # `NAME=value` before a command is an environment variable.
    first = next(place for place, word in enumerate(words) if "=" not in word)
    match words[first:]:
        case ["python", "-m", module, *arguments]:
            assert importlib.util.find_spec(module), command
            options = [word for word in arguments if word.startswith("--")]
            usage = subprocess.run(
                [sys.executable, "-m", module, "--help"],
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            assert [option for option in options if option not in usage] == [], command
        case ["make", *targets]:
            makefile = (ROOT / "Makefile").read_text()
            for target in (word for word in targets if "=" not in word):
                if room := re.fullmatch(r"\.venv/(\w+)", target):
                    assert (ROOT / f"requirements/{room[1]}.txt").exists(), command
                    continue
                assert re.search(rf"^{re.escape(target)}:", makefile, flags=re.MULTILINE), command
        case ["dvc", "--cd", folder, "repro", *stages]:
            assert set(stages) <= set(
                yaml.safe_load((ROOT / folder / "dvc.yaml").read_text())["stages"]
            )
        case ["dvc", "exp" | "queue" | "metrics", _, *_] | ["mlflow", "server", *_]:
            name, *words = shlex.split(command)
            usage = subprocess.run(
                [str(Path(sys.prefix, "bin", name)), *words[: 2 if name == "dvc" else 1], "--help"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            options = [word for word in words if word.startswith("--")]
            assert [option for option in options if option not in usage] == [], command
        case ["dvc", "repro"]:
            pass
        case ["export", assignment]:
            assert re.match(r"[A-Z_]+=", assignment), command
        case ["docker", "build", *_] | ["docker", "run", *_]:
            assert (ROOT / "Dockerfile").exists()
        case ["docker", "compose", *_]:
            assert (ROOT / "compose.yaml").exists()
        case _:
            pytest.fail(f"cannot tell whether this command would work: {command}")


def assert_same_text(answer: str, printed: str) -> None:
    """A page shows this output; its numbers differ a little on other processors."""
    texts = [re.sub(r"\d+(\.\d+)?", "0", text).split() for text in (answer, printed)]
    assert texts[0] == texts[1]
    numbers = (re.findall(r"\d+(?:\.\d+)?", text) for text in (answer, printed))
    for found, shown in zip(*numbers, strict=True):
        tolerance = 0.02 if "." in shown else 2  # pixels, and percents
        assert float(found) == pytest.approx(float(shown), rel=0.02, abs=tolerance)


def assert_same_answer(answer, printed) -> None:
    """README shows this answer; its numbers differ a little on other processors."""
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


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_tables_of_a_page_are_those_of_the_committed_metrics(committed, monkeypatch, page):
    monkeypatch.chdir(committed.folder)
    text = Path(name_of(page)).read_text()
    assert with_fresh_tables(text) == text
