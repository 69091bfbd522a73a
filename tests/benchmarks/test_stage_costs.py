"""The stage benchmark: what it measures, and how a new row is added to the page."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.provenance import Provenance
from benchmarks.stage_costs import FOLDER, PIPELINE, Cost, measure, page, read, with_row, write

HERE = Provenance("tiny `0123456789ab`", "`0123abc`", "a machine")
ELSEWHERE = Provenance("tiny `0123456789ab`", "`0123abc`", "another machine")


def table(*rows: tuple[str, Cost, Provenance]) -> pd.DataFrame:
    found = pd.DataFrame()
    for row in rows:
        found = with_row(found, *row)
    return found


def test_a_new_row_replaces_only_its_stage_and_keeps_pipeline_order():
    found = table(
        ("evaluate", Cost(1.0, 1.0, 100), HERE),
        ("fetch", Cost(1.0, 1.0, 100), ELSEWHERE),
        ("train", Cost(1.0, 1.0, 100), HERE),
        ("fetch", Cost(2.04, 3.0, 200), HERE),
    )
    assert list(found["stage"]) == ["fetch", "train", "evaluate"]
    assert list(found["wall_seconds"]) == [2.0, 1.0, 1.0]
    assert list(found["peak_mib"]) == [200, 100, 100]
    assert set(found["machine"]) == {"a machine"}


def test_the_page_names_the_stages_of_each_measurement(tmp_path):
    found = table(
        ("fetch", Cost(1.0, 0.5, 100), ELSEWHERE),
        ("validate", Cost(2.5, 4.0, 256), HERE),
        ("balance", Cost(2.0, 2.0, 128), HERE),
    )
    write("tiny", found, tmp_path)
    assert read(tmp_path / "stage_costs_tiny.csv").to_dict("list") == found.to_dict("list")
    text = (tmp_path / "stage_costs_tiny.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["fetch", "tiny `0123456789ab`", "`0123abc`", "another machine"] in rows
    assert ["validate, balance", "tiny `0123456789ab`", "`0123abc`", "a machine"] in rows
    assert ["validate", "2.5", "4.0", "256"] in rows
    assert "python -m benchmarks.stage_costs tiny" in text


@pytest.mark.parametrize("dataset", ["fer2013", "sample"])
def test_the_committed_page_has_the_values_of_its_csv_file(dataset):
    # The first line depends on the model in the working tree.
    made = page(dataset, read(FOLDER / f"stage_costs_{dataset}.csv")).splitlines()
    assert made[1:] == (FOLDER / f"stage_costs_{dataset}.md").read_text().splitlines()[1:]


def test_a_stage_that_the_pipeline_no_longer_has_is_dropped(tmp_path):
    found = table(("fetch", Cost(1.0, 0.5, 100), HERE))
    former = found.assign(stage="former")
    pd.concat([found, former]).to_csv(tmp_path / "stage_costs_tiny.csv", index=False)
    assert list(read(tmp_path / "stage_costs_tiny.csv")["stage"]) == ["fetch"]
    assert PIPELINE[:3] == ("source", "fetch", "validate") and PIPELINE[-1] == "evaluate"


def test_memory_of_a_short_peak_is_measured():
    status, cost = measure([sys.executable, "-c", "bytearray(300 * 2**20)"])
    assert status == 0
    assert cost.peak_mib >= 300


HOLDING = """
import sys
held = bytearray(150 * 2**20)
sum(range(10**7))
print(flush=True)
sys.stdin.read()
"""
TWO_CHILDREN = f"""
import subprocess, sys, time
pipes = {{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}}
children = [subprocess.Popen([sys.executable, "-c", {HOLDING!r}], **pipes) for _ in range(2)]
for child in children:
    child.stdout.readline()
time.sleep(1)
for child in children:
    child.communicate()
"""


def test_memory_and_cpu_time_of_children_count():
    status, cost = measure([sys.executable, "-c", TWO_CHILDREN])
    assert status == 0
    assert cost.peak_mib >= 300
    _, idle = measure([sys.executable, "-c", "pass"])
    assert cost.cpu_seconds > idle.cpu_seconds + 0.1


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_exit_status_is_passed_on(code, expected):
    assert measure([sys.executable, "-c", code])[0] == expected


def test_a_failed_stage_leaves_no_row_and_its_exit_status():
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.stage_costs", "no-such-dataset", "--stages", "fetch"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "fetch failed with status 1" in ended.stderr
    assert not list(FOLDER.glob("stage_costs_no-such-dataset.*"))
