"""Interrupted `dvc repro`: what is killed, which files are compared, and the page."""

import dataclasses
import subprocess
import sys

import psutil
import pytest
import yaml

from benchmarks.check_pages import faults
from benchmarks.interrupted_repro import (
    RESULT,
    Row,
    differences,
    digest_of,
    page,
    read_rows,
    write_results,
)
from benchmarks.pipeline_clone import Clone, Ended, Repro, error_lines, in_words, shortened
from stages.parameters import load_parameters, read_yaml

ROW = Row(
    "tiny",
    "kill -9",
    "train",
    "killed twice",
    "status 0",
    3,
    "",
    "0123456789ab",
    "tiny, not released",
    "`0123456789ab`",
    "a machine",
)


@pytest.fixture
def clone(tmp_path) -> Clone:
    """A git repository with dvc.lock and the files of a dataset `tiny`; data/ is ignored."""
    folder = tmp_path / "clone"
    files = {"dvc.lock": "1", "models/tiny/model.onnx": "2", ".gitignore": "/data\n"}
    for name, text in {**files, "data/tiny/raw.csv": "3"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (["init", "-q"], ["add", "--all"], [*identity, "commit", "-qm", "tiny"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return Clone(folder, "tiny", {})


@pytest.mark.parametrize(
    ("name", "text", "different"),
    [
        ("data/tiny/raw.csv", "other", ["data/tiny/raw.csv"]),
        ("data/tiny/raw.csv", None, ["data/tiny/raw.csv"]),
        ("data/tiny/.partial-1.csv", "left", ["data/tiny/.partial-1.csv"]),
        ("dvc.lock", "other", ["dvc.lock", "git status"]),
        ("models/tiny/model.onnx", None, ["git status", "models/tiny/model.onnx"]),
        ("left.txt", "left", ["git status"]),
    ],
)
def test_a_changed_missing_or_additional_file_is_different(clone, name, text, different):
    before = clone.digests()
    assert set(before) == {
        ".gitignore",
        "data/tiny/raw.csv",
        "dvc.lock",
        "git status",
        "models/tiny/model.onnx",
    }
    assert differences(before, clone.digests(), before) == []
    digest = digest_of(clone, before)
    if text is None:
        (clone.folder / name).unlink()
    else:
        (clone.folder / name).write_text(text)
    after = clone.digests()
    assert differences(before, after, before.keys() | after.keys()) == different
    # Files beside those of the pipeline do not make a finished case an old one.
    assert (digest_of(clone, after) == digest) == (name == "left.txt")


def test_a_kill_ends_the_stage_as_well(tmp_path):
    stage = "import time; time.sleep(600)"
    dvc = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stage!r}, 'stages.train'])"
    )
    process = subprocess.Popen([sys.executable, "-c", dvc], start_new_session=True)
    run = Repro(process, tmp_path / "log", tmp_path)
    found = run.wait_for("train")
    assert found.running()
    run.kill()
    assert process.returncode == -9
    assert not found.running()
    assert not psutil.pid_exists(found.process.pid)


def test_a_run_that_ends_before_a_stage_stops_the_benchmark(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"Running\nERROR: failed: {tmp_path}/data is busy\n")
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(SystemExit, match="before train: status 3: ERROR: failed: data is busy"):
        Repro(process, log, tmp_path).wait_for("train")


def test_the_errors_of_a_log_are_its_lines(tmp_path):
    log = f"epoch 1\nerror: {tmp_path}/a.csv: no space\nERROR: failed\nno error: here\n"
    assert error_lines(log, tmp_path) == ("error: a.csv: no space", "ERROR: failed")
    assert in_words(Ended(1, ("error: a", "ERROR: b"))) == "status 1: ERROR: b"
    assert in_words(Ended(0)) == "status 0"
    busy = "ERROR: failed to reproduce 'a': 'b' is busy, it is being blocked by:"
    assert in_words(Ended(255, (busy,))) == "refused: busy"


@pytest.mark.parametrize("dataset", ["sample", "fer2013"])
def test_the_short_parameters_are_valid(dataset, tmp_path, monkeypatch):
    path = RESULT.parents[1] / f"params/{dataset}.yaml"
    document, _ = read_yaml(path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params").mkdir()
    (tmp_path / f"params/{dataset}.yaml").write_text(yaml.safe_dump(shortened(document)))
    assert load_parameters(dataset).train.epochs == 2


def test_the_page_names_what_differs(tmp_path):
    rows = [ROW, dataclasses.replace(ROW, stage="", disturbed="", different="a.csv b.csv")]
    text = page(rows)
    assert faults(text) == []
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["tiny", "kill -9, train", "killed twice", "status 0", "3", "all"] in cells
    assert ["tiny", "kill -9", "–", "status 0", "3", "all but a.csv b.csv"] in cells
    write_results(tmp_path / "rows.csv", rows, text)
    assert read_rows(tmp_path / "rows.csv") == rows


def test_the_committed_page_has_the_values_of_its_csv_file():
    # The first line depends on the model in the working tree.
    made = page(read_rows(RESULT)).splitlines()
    assert made[1:] == RESULT.with_suffix(".md").read_text().splitlines()[1:]
