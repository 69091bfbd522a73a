"""The stage benchmark: what it measures, and how a new row joins the old ones."""

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stages import FOLDER, Cost, Row, describe_machine, measure, merge, record


def row(stage: str, wall: str = "1.0") -> Row:
    return Row(stage, wall, "1.0", "100", "a machine")


def test_a_new_row_replaces_only_its_stage_and_keeps_pipeline_order():
    rows = merge(merge([row("evaluate"), row("fetch")], row("train")), row("fetch", "2.0"))
    assert rows == [row("fetch", "2.0"), row("train"), row("evaluate")]


def test_record_writes_table_and_page(tmp_path):
    record("tiny", "validate", Cost(3.26, 4.0, 512), tmp_path)
    record("tiny", "fetch", Cost(1.0, 0.5, 100), tmp_path)
    record("tiny", "validate", Cost(2.5, 4.0, 256), tmp_path)
    with (tmp_path / "stages_tiny.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["wall_seconds"], row["peak_mib"]) for row in rows] == [
        ("fetch", "1.0", "100"),
        ("validate", "2.5", "256"),
    ]
    page = (tmp_path / "stages_tiny.md").read_text()
    assert "| validate | 2.5 | 4.0 | 256 |" in page
    assert "python -m benchmarks.stages tiny" in page
    assert page.count(describe_machine()) == 1


def test_rows_of_another_machine_stand_in_their_own_table(tmp_path):
    (tmp_path / "stages_tiny.csv").write_text(
        "stage,wall_seconds,cpu_seconds,peak_mib,machine\ntrain,60.0,99.0,900,another machine\n"
    )
    record("tiny", "fetch", Cost(1.0, 0.5, 100), tmp_path)
    page = (tmp_path / "stages_tiny.md").read_text()
    assert page.index(describe_machine()) < page.index("| fetch |") < page.index("another machine")
    assert page.index("another machine") < page.index("| train |")


def test_memory_of_a_short_peak_is_seen():
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


def test_memory_and_work_of_children_count():
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
        [sys.executable, "-m", "benchmarks.stages", "no-such-dataset", "--stages", "fetch"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "fetch failed with status 1" in ended.stderr
    assert not list(FOLDER.glob("stages_no-such-dataset.*"))


@pytest.mark.parametrize(
    ("page", "datasets"),
    [
        ("detection.md", ["fer2013"]),
        ("ferplus.md", ["fer2013"]),
        ("peers.md", ["fer2013", "fer2013-small"]),
    ],
)
def test_the_pages_are_of_the_committed_models(page, datasets):
    for dataset in datasets:
        content = (FOLDER.parent / "models" / dataset / "model.onnx").read_bytes()
        version = hashlib.sha256(content).hexdigest()[:12]
        assert f"`{version}`" in (FOLDER / page).read_text()
