"""The check of the benchmark pages: committed pages pass, each kind of fault is reported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.check_pages import faults
from benchmarks.provenance import EARLIER, Provenance, describe_model, here, opening

ROOT = Path(__file__).parents[2]
RELEASED = Provenance(describe_model("fer2013"), "`0123abc`", "a machine")
OLD = Provenance("fer2013 `0123456789ab`", "`0123abc`", "a machine")


def page(*sources: Provenance) -> str:
    return opening("A page", [("fer2013", source) for source in sources]) + "\n\ntext\n"


def test_the_committed_pages_pass():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.check_pages"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+ benchmark pages name their model, commit and machine", done.stdout)


def test_a_page_of_another_version_says_so_on_its_first_line():
    assert page(RELEASED).startswith("# A page\n")
    assert page(OLD).startswith(f"# A page, {EARLIER}\n")
    assert page(RELEASED, OLD).startswith(f"# A page, {EARLIER}\n")
    for text in (page(RELEASED), page(OLD), page(RELEASED, OLD)):
        assert faults(text) == []


@pytest.mark.parametrize("sources", [(OLD,), (RELEASED, OLD)])
def test_a_page_of_another_version_without_this_line_is_reported(sources):
    (fault,) = faults(page(*sources).replace(f", {EARLIER}", ""))
    assert fault == (
        f"fer2013 `0123456789ab` is not the released model, {RELEASED.model}: measure again, or add"
        " 'of an earlier release' to the first line"
    )


def test_a_page_of_the_released_version_that_claims_to_be_older_is_reported():
    (fault,) = faults(page(RELEASED).replace("# A page", f"# A page, {EARLIER}"))
    assert "remove 'of an earlier release'" in fault


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "| measured",
            "| what",
            "expected a table with the columns measured, model,",
        ),
        (RELEASED.model, "fer2013", "fer2013: expected DATASET `VERSION` of a model"),
        (
            RELEASED.model,
            "fer2013, not released",
            "fer2013, not released is not the released",
        ),
        ("`0123abc`", "main", "fer2013: expected a commit in the column code, got 'main'"),
        ("a machine", "", "fer2013: the column machine is empty"),
    ],
)
def test_a_page_without_version_commit_or_machine_is_reported(old, new, expected):
    assert old in page(RELEASED)
    (fault,) = faults(page(RELEASED).replace(old, new))
    assert fault.startswith(expected)


def test_a_model_without_a_release_is_named_as_such():
    assert describe_model("no-such-dataset") == "no-such-dataset, not released"
    unreleased = Provenance("no-such-dataset, not released", "`0123abc`", "a machine")
    assert page(unreleased).startswith("# A page\n") and faults(page(unreleased)) == []


def test_a_measurement_of_now_names_the_checked_out_commit():
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    source = here("fer2013")
    assert commit.startswith(re.match("`([0-9a-f]{12})`", source.code)[1])
    assert source.model == RELEASED.model
    assert " cores, " in source.machine and "Python 3.11" in source.machine
    assert faults(page(source)) == []
