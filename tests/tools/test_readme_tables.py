"""README's tables, and what `make repro` prints at its end, from the committed results."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stages.errors import UserError
from tools.readme_tables import TABLES, agreement_table, with_fresh_tables

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path):
    """Links to the committed results, and a README.md and docs/ to write."""
    for name in ("benchmarks", "experiments", "metrics", "models", "params.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "README.md").write_text(
        "# Title\n\n<!-- comparison -->\nold\n<!-- end -->\n\ntext\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text("<!-- metrics sample -->\nold\n<!-- end -->\n")
    return tmp_path


def run(folder: Path, module: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", module],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_the_tables_of_readme_and_docs_are_rewritten(repository):
    done = run(repository, "tools.readme_tables")
    assert done.returncode == 0, done.stderr
    readme = (repository / "README.md").read_text()
    assert readme.startswith("# Title\n\n<!-- comparison -->\n\n| on PrivateTest ")
    assert readme.endswith(" (PublicTest).\n\n<!-- end -->\n\ntext\n")
    assert "| fer2013 " in readme and "old" not in readme
    results = (repository / "docs" / "results.md").read_text()
    assert "| accuracy without train–test duplicates" in results and "old" not in results
    done = run(repository, "tools.readme_tables")
    assert (repository / "README.md").read_text() == readme


@pytest.mark.parametrize(
    "mark",
    [
        "metrics fer2013",
        "models fer2013 fer2013-small ferplus",
        "agreement ferplus fer2013 fer2013-small",
        "unsure fer2013",
        "comparison",
        "detection",
    ],
)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(mark, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = with_fresh_tables(f"<!-- {mark} -->\n<!-- end -->")
    rows = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 3 and len(set(rows)) == 1


def test_an_unknown_mark_is_an_error():
    known = ", ".join(TABLES)
    text = "<!-- unknown -->\n| old |\n<!-- end -->\n"
    with pytest.raises(UserError, match=re.escape(f"0 marks before one; expected one of: {known}")):
        with_fresh_tables(text)
    # A mark without an end does not swallow the next one.
    with pytest.raises(UserError, match="2 times <!-- end -->, but 1 marks"):
        with_fresh_tables("<!-- comparison -->\n\n" + text + "<!-- detection -->\n\n<!-- end -->\n")


def test_agreement_is_the_share_of_the_other_labels_that_a_model_predicts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = {
        "votes": ["PublicTest,2,sad,sad", "PrivateTest,3,sad,happy", "PrivateTest,4,happy,happy"],
        "faces": ["PrivateTest,4,sad,happy", "PrivateTest,5,sad,sad", "PrivateTest,3,angry,sad"],
    }
    for dataset, rows in tables.items():
        (tmp_path / "metrics" / dataset).mkdir(parents=True)
        (tmp_path / "metrics" / dataset / "predictions.csv").write_text(
            "\n".join(["split,row,label,predicted", *rows])
        )
    lines = agreement_table("votes", ["faces"]).splitlines()
    assert lines[0].split("|")[1].strip() == "on 2 faces of PrivateTest"
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert cells == [["votes", "0.500", "0.500"], ["faces", "1.000", "1.000"]]


def test_missing_metrics_are_one_line(repository):
    (repository / "README.md").write_text("<!-- metrics no-such -->\n<!-- end -->\n")
    done = run(repository, "tools.readme_tables")
    assert done.returncode == 1
    assert done.stderr == (
        "error: README.md: metrics/no-such/evaluation.json: not found;"
        " run dvc repro with no-such in datasets first\n"
    )


def test_the_report_prints_the_metrics_of_the_listed_datasets(repository):
    (repository / "params.yaml").unlink()
    (repository / "params.yaml").write_text("datasets: [fer2013, sample]\n")
    done = run(repository, "tools.report")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("| on fer2013 ") < done.stdout.index("| on sample ")
    assert "model: models/sample/model.onnx" in done.stdout
