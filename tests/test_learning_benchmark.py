"""The learning benchmark: the real train stage by the clock, logs, and the page."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.learning import minutes_to, page, read_curve, read_log, write_page
from stages.errors import UserError
from tests.faces_fixture import write_faces, write_training_set
from tests.stages.killed_fixture import killed

ROOT = Path(__file__).parents[1]
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
def copy(tmp_path):
    """The benchmark and a dataset `tiny` as the stages before training leave it."""
    (tmp_path / "benchmarks").mkdir()
    for name in ("learning.py", "stages.py"):
        shutil.copy2(ROOT / "benchmarks" / name, tmp_path / "benchmarks")
    tiny = yaml.safe_load((ROOT / "params.yaml").read_text())["sample"]
    tiny["train"] |= {"epochs": 2, "batch_size": 28, "distillation": None}
    tiny["train"]["network"] |= {"widths": [4, 8]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"tiny": tiny}))
    images = np.random.default_rng(0).integers(0, 256, (140, 48, 48), np.uint8)
    labels = np.arange(140, dtype=np.uint8) % 7
    data = tmp_path / "data" / "tiny"
    data.mkdir(parents=True)
    write_training_set(data / "train.npz", images[:112], labels[:112])
    split = np.repeat(np.array([0, 1], np.uint8), [112, 28])
    write_faces(data / "faces.npz", images, labels, split)
    return tmp_path


def start(folder: Path, module: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_is_timed_unless_it_goes_on_where_another_stopped(copy):
    killed(copy, "stages.train", ".resume", epoch=1)
    resume = copy / "models" / "tiny" / ".resume.npz"
    assert resume.exists()

    refused = start(copy, "benchmarks.learning", "tiny")
    _, printed = refused.communicate()
    assert refused.returncode == 1
    *_, last = printed.splitlines()
    assert last.startswith("error: stages.train: resuming after epoch ")
    assert "`--restart` trains from the start" in last
    assert "Traceback" not in printed
    assert resume.exists()
    assert not list(copy.glob("benchmarks/learning*.csv"))

    restarted = start(copy, "benchmarks.learning", "tiny", "--restart")
    shown, printed = restarted.communicate()
    assert restarted.returncode == 0, printed
    assert "epoch 2 of 2, 32 px: loss" in printed
    measured = pd.read_csv(copy / "benchmarks" / "learning_tiny.csv")
    history = pd.read_csv(copy / "models" / "tiny" / "history.csv")
    assert list(measured["epoch"]) == list(range(1, 3))
    assert measured["minutes"].is_monotonic_increasing and measured["minutes"].iloc[0] > 0
    assert measured["accuracy"].to_numpy() == pytest.approx(history["val_accuracy"], abs=6e-4)
    assert measured["macro_f1"].to_numpy() == pytest.approx(history["val_macro_f1"], abs=6e-4)
    assert not resume.exists()
    assert shown.strip() == (copy / "benchmarks" / "learning.md").read_text().strip()
    assert "| tiny " in shown
    assert (copy / "benchmarks" / "learning.png").read_bytes().startswith(b"\x89PNG")


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


def test_a_recipe_may_stop_early(log):
    log.write_text(LOG.replace("of 3", "of 80"))
    assert len(read_curve(read_log(log), log, may_stop_early=True)) == 3


def test_the_page_has_one_table_for_each_machine(log, tmp_path):
    here = curve(log)
    one, other = here.assign(machine="one machine"), here.assign(machine="another")
    text = page({"a": one, "b": other, "c": one.assign(accuracy=0.1)})
    (line,) = [line for line in text.splitlines() if line.startswith("| a ")]
    cells = ["a", "0.9", "0.9", "0.9", "–", "0.674", "0.9", "2.0", "3"]
    assert [cell.strip() for cell in line.strip("|").split("|")] == cells
    assert text.index("| a ") < text.index("| c ") < text.index("another") < text.index("| b ")
    assert text.count("one machine") == 1
    one.to_csv(tmp_path / "learning_a.csv", index=False)
    write_page(tmp_path)
    assert (tmp_path / "learning.md").read_text() == page({"a": one})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no-such-dataset"], "error: params.yaml: no dataset 'no-such-dataset'"),
        (["sample", "--log", "nowhere.log"], "error: nowhere.log: not found"),
    ],
)
def test_mistakes_are_one_line(arguments, expected):
    process = start(ROOT, "benchmarks.learning", *arguments)
    _, printed = process.communicate()
    assert process.returncode == 1
    assert printed.startswith(expected) and printed.count("\n") == 1
    assert not list((ROOT / "benchmarks").glob("learning_no-such-dataset.*"))
