"""The report of a pull request, of two real commits."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tools.compare import mcnemar

ROOT = Path(__file__).parents[2]
IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
LABELS = ["angry", "happy"] * 50


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True)


def compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tools.compare", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


def write(folder: Path, accuracy: float, wrong: set[int], learning_rate: float) -> None:
    """Commit results of a dataset `tiny` where the faces `wrong` are predicted wrong."""
    metrics = folder / "metrics/tiny"
    (metrics / "plots").mkdir(parents=True, exist_ok=True)
    names = ("accuracy", "macro_f1", "balanced_accuracy", "min_recall", "log_loss", "ece")
    recall = {"angry": accuracy, "happy": accuracy}
    evaluation = {**dict.fromkeys(names, accuracy), "recall": recall}
    spread = [accuracy - 0.05, accuracy + 0.05]
    intervals = dict.fromkeys([*names, "recall.angry", "recall.happy"], spread)
    (metrics / "evaluation.json").write_text(json.dumps({"PrivateTest": evaluation}))
    (metrics / "intervals.json").write_text(json.dumps({"PrivateTest": intervals}))
    predicted = [
        ("sad" if number in wrong else label) if number < 100 else label
        for number, label in enumerate(LABELS)
    ]
    table = pd.DataFrame({"split": "PrivateTest", "row": range(100), "label": LABELS})
    table["predicted"], table["confidence"] = predicted, 0.9
    table.to_csv(metrics / "predictions.csv", index=False)
    (metrics / "plots/recall.csv").write_text(f"recall\n{accuracy}\n")
    (folder / "params.yaml").write_text(f"tiny: {{train: {{rate: {learning_rate}, seed: 1}}}}\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--message", "Train")


@pytest.fixture
def repository(tmp_path):
    """main predicts 20 faces wrong, the branch `better` 5 of them and one other."""
    git(tmp_path, "init", "--initial-branch", "main")
    write(tmp_path, 0.80, set(range(20)), 0.1)
    git(tmp_path, "switch", "--create", "better")
    write(tmp_path, 0.94, {0, 1, 2, 3, 4, 99}, 0.05)
    return tmp_path


def test_the_report_of_a_better_model(repository):
    done = compare(repository, "main", "better", "--url", "https://example.org/o/r")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    rows = {row[1]: row[2:-1] for row in cells if len(row) > 2}
    assert rows["`params.yaml`"] == ["`tiny.train.rate`", "`0.1`", "`0.05`"]
    assert "seed" not in text
    expected = ["0.8000 (0.750 … 0.850)", "0.9400 (0.890 … 0.990)", "+0.1400", "yes"]
    assert rows["accuracy"] == rows["happy"] == expected
    # 15 faces are won, one is lost: p = 2 · (1 + 16) / 2^16.
    assert "100 paired predictions: 1 faces are right in `main` only, 15 in `better` only" in text
    assert "p = 0.00052. The difference in accuracy is significant" in text
    head = subprocess.run(
        ["git", "rev-parse", "better"], cwd=repository, capture_output=True, text=True
    ).stdout.strip()
    link = f"[recall.csv](https://example.org/o/r/blob/{head}/metrics/tiny/plots/recall.csv)"
    assert link in text


def test_a_small_difference_does_not_exceed_the_intervals(repository):
    git(repository, "switch", "main")
    write(repository, 0.81, set(range(19)), 0.1)
    text = compare(repository, "main~1", "main").stdout
    assert "No parameter differs." in text
    assert "| yes" not in text.replace("  ", "")
    assert "p = 1. The difference in accuracy is not significant" in text


def test_equal_results_are_named_in_one_line(repository):
    text = compare(repository, "main", "main").stdout
    assert text.endswith("Same results in both revisions: tiny.\n") and "McNemar" not in text


def test_other_faces_are_not_paired(repository):
    path = repository / "metrics/tiny/predictions.csv"
    path.write_text(path.read_text().replace("\nPrivateTest,0,angry", "\nPrivateTest,0,fear"))
    git(repository, "commit", "--all", "--message", "Relabel a face")
    text = compare(repository, "main", "better").stdout
    assert "No McNemar's test: the faces or labels of PrivateTest differ" in text


def test_an_unknown_revision_is_one_line(repository):
    done = compare(repository, "main", "nowhere")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: nowhere: no such commit") and done.stderr.count("\n") == 1


def test_mcnemar_without_any_difference():
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 10) == pytest.approx(2 / 2**10)


@pytest.mark.parametrize("dataset", ["sample", "fer2013", "fer2013-small", "ferplus"])
def test_committed_predictions_are_those_of_the_confusion(dataset):
    table = pd.read_csv(ROOT / f"metrics/{dataset}/predictions.csv")
    private = table.query("split == 'PrivateTest'")
    confusion = pd.read_csv(ROOT / f"metrics/{dataset}/plots/confusion.csv")
    assert private["label"].tolist() == confusion["actual"].tolist()
    assert private["predicted"].tolist() == confusion["predicted"].tolist()
    assert set(table["split"]) == {"PublicTest", "PrivateTest"}
    assert list(table) == ["split", "row", "label", "predicted", "confidence"]
