"""The shell around every stage, as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

STAGE = """
import logging
import sys

from stages.errors import UserError
from stages.command_line import run


def main(dataset, parameters):
    logging.getLogger(__name__).info("epochs %d", parameters.train.epochs)
    logging.getLogger("stages.dataset.sources").info("from the sample")
    logging.getLogger("a_library").info("nobody asked")
    logging.getLogger("a_library").warning("take care")
    if dataset == "fer2013":
        raise UserError("data/fer2013/raw.csv, row 3: expected 2304 pixels, found 7; mend it")
    if parameters.evaluate.seed == 1:
        raise KeyError("a bug")


run(main, "A stage of its own.")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "stage.py", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def change(folder: Path, section: str, key: str, value) -> None:
    path = folder / "params.yaml"
    document = yaml.safe_load(path.read_text())
    document["sample"][section][key] = value
    path.write_text(yaml.safe_dump(document))


def test_a_stage_gets_its_parameters_and_says_its_own_lines(folder):
    change(folder, "train", "epochs", 77)
    done = run(folder, "sample")
    assert done.returncode == 0
    assert done.stderr == "epochs 77\nfrom the sample\ntake care\n"
    assert done.stdout == ""


def test_a_mistake_is_one_line_and_exit_status_1(folder):
    done = run(folder, "fer2013")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: data/fer2013/raw.csv, row 3: expected 2304 pixels, found 7; mend it"
    )
    assert "Traceback" not in done.stderr


def test_a_mistake_in_params_yaml_is_one_line_and_exit_status_1(folder):
    change(folder, "train", "epoch", 3)
    done = run(folder, "sample")
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml: sample.train.epoch: unknown key\n"


def test_a_bug_keeps_its_traceback(folder):
    change(folder, "evaluate", "seed", 1)
    done = run(folder, "sample")
    assert done.returncode == 1
    assert done.stderr.startswith("epochs")
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("KeyError: 'a bug'\n")


def test_a_dataset_must_be_named(folder):
    done = run(folder)
    assert done.returncode == 2
    assert "the following arguments are required: dataset" in done.stderr
    assert "A stage of its own." in run(folder, "--help").stdout
