"""The benchmark of training time: the real train stage, logs, and the page."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.provenance import Provenance
from benchmarks.time_to_accuracy import (
    FOLDER,
    minutes_to,
    page,
    read_curve,
    read_curves,
    read_log,
    train,
    write_curve,
    write_page,
)
from stages.errors import UserError
from tests.faces_fixture import write_faces, write_training_set

ROOT = Path(__file__).parents[2]
LOG = """\
1795186794 what TensorFlow says first
1795186822 epoch 1 of 3, 32 px: loss 1.892, accuracy 0.257; PublicTest 0.402, macro-F1 0.315
1795186845.5 epoch 2 of 3, 32 px: loss 1.574, accuracy 0.414; PublicTest 0.674, macro-F1 0.396
1795186914 epoch 3 of 3, 40 px: loss 1.441, accuracy 0.476; PublicTest 0.651, macro-F1 0.441
"""


def curve(log: Path) -> pd.DataFrame:
    return read_curve(read_log(log), log)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "train.log"
    path.write_text(LOG)
    return path


@pytest.fixture
def repository(tmp_path):
    """The code, and a dataset `tiny` with the inputs of training."""
    for name in ("stages", "recognizer", "experiments"):
        (tmp_path / name).symlink_to(ROOT / name)
    tiny = yaml.safe_load((ROOT / "params/sample.yaml").read_text())
    tiny["train"] |= {"epochs": 2, "batch_size": 28}
    tiny["train"]["network"]["residual"] |= {"widths": [4, 8]}
    (tmp_path / "params").mkdir()
    (tmp_path / "params/tiny.yaml").write_text(yaml.safe_dump(tiny))
    images = np.random.default_rng(0).integers(0, 256, (140, 48, 48), np.uint8)
    labels = np.arange(140, dtype=np.uint8) % 7
    data = tmp_path / "data" / "tiny"
    data.mkdir(parents=True)
    write_training_set(data / "train.npz", images[:112], labels[:112])
    split = np.repeat(np.array([0, 1], np.uint8), [112, 28])
    write_faces(data / "faces.npz", images, labels, split)
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "metrics" / "tiny").mkdir(parents=True)
    return tmp_path


def test_a_run_is_timed_and_leaves_the_repository_as_it_was(repository, capsys):
    before = sorted(repository.rglob("*"))
    found = read_curve(train("tiny", repository), "stages.train")
    assert list(found["epoch"]) == [1, 2]
    assert found["minutes"].is_monotonic_increasing and found["minutes"].iloc[0] > 0
    assert found["accuracy"].between(0, 1).all() and found["macro_f1"].between(0, 1).all()
    assert "epoch 2 of 2, 32 px: loss" in capsys.readouterr().err
    assert sorted(repository.rglob("*")) == before


def test_a_failed_run_is_not_recorded(repository):
    (repository / "params" / "tiny.yaml").write_text("train: {}")
    with pytest.raises(UserError, match=r"stages\.train ended with status 1: nothing is recorded"):
        read_curve(train("tiny", repository), "stages.train")


def test_a_log_with_the_seconds_before_its_lines(log):
    found = curve(log)
    assert list(found["epoch"]) == [1, 2, 3]
    assert list(found["size"]) == [32, 32, 40]
    assert list(found["minutes"]) == pytest.approx([28 / 60, 51.5 / 60, 2])
    assert list(found["accuracy"]) == [0.402, 0.674, 0.651]
    assert list(found["macro_f1"]) == [0.315, 0.396, 0.441]
    assert minutes_to(found, 0.65) == minutes_to(found, 0.67) == pytest.approx(51.5 / 60)
    assert minutes_to(found, 0.69) is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1795186914 epoch 3", "1795186914 nothing", "ends with epoch 2 of 3"),
        ("epoch 2 of 3, 32", "epoch 3 of 3, 32", "epoch 3 comes after epoch 1"),
        ("what TensorFlow says", "resuming after epoch 7 of 9", "resuming after epoch 7 of 9"),
        ("epoch ", "step ", "no epoch"),
        ("1795186845.5 ", "", "line 3: expected a Unix second"),
    ],
)
def test_a_log_of_anything_else_than_one_whole_run_is_refused(log, old, new, expected):
    log.write_text(LOG.replace(old, new))
    with pytest.raises(UserError, match=rf"train\.log.*{expected}"):
        curve(log)


def test_training_may_stop_early(log):
    log.write_text(LOG.replace("of 3", "of 80"))
    assert len(read_curve(read_log(log), log, may_stop_early=True)) == 3


def test_the_page_names_the_provenance_of_each_curve(log, tmp_path):
    never = curve(log).assign(accuracy=0.1)
    for name, measured, machine in (("a", curve(log), "one machine"), ("b", never, "another")):
        source = Provenance(f"{name}, not released", "`0123abc`", machine)
        write_curve(measured, source, tmp_path / f"time_to_accuracy_{name}.csv")
    write_page(tmp_path)
    text = (tmp_path / "time_to_accuracy.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["a", "a, not released", "`0123abc`", "one machine"] in rows
    assert ["b", "b, not released", "`0123abc`", "another"] in rows
    assert ["a", "0.9", "0.9", "0.9", "–", "0.674", "0.9", "2.0", "3"] in rows
    assert ["b", "–", "–", "–", "–", "0.100", "0.5", "2.0", "3"] in rows
    assert (tmp_path / "time_to_accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_the_committed_page_has_the_values_of_its_csv_files():
    # The first line depends on the models in the working tree.
    made = page(read_curves(FOLDER)).splitlines()
    assert made[1:] == (FOLDER / "time_to_accuracy.md").read_text().splitlines()[1:]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no-such-dataset"], "error: params/no-such-dataset.yaml: not found"),
        (["sample", "--log", "nowhere.log"], "error: nowhere.log: not found"),
    ],
)
def test_mistakes_are_one_line(arguments, expected):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.time_to_accuracy", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(expected) and done.stderr.count("\n") == 1
    assert not list((ROOT / "benchmarks").glob("time_to_accuracy_no-such-dataset.*"))
