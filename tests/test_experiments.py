"""The experiments: their file, one tiny run, and the page made of the results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments import compare, settings
from experiments.run import judge
from experiments.settings import load_experiments
from stages import report
from stages.errors import UserError
from stages.fer_csv import EMOTIONS

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """An empty repository with the committed runs."""
    monkeypatch.chdir(tmp_path)
    Path("experiments/results").mkdir(parents=True)
    settings.PARAMETERS.write_text((ROOT / "experiments/params.yaml").read_text())


def change(edit) -> None:
    document = yaml.safe_load(settings.PARAMETERS.read_text())
    edit(document)
    settings.PARAMETERS.write_text(yaml.safe_dump(document))


def test_a_run_is_the_base_with_its_changes():
    experiments = load_experiments()
    base, other = experiments.settings("base"), experiments.settings("balance-weights_balanced")
    assert base == experiments.base
    assert other.train.class_weight == "balanced"
    assert other.train.model_copy(update={"class_weight": "none"}) == base.train
    assert other.balance == base.balance


def test_every_comparison_has_its_runs():
    names = list(load_experiments().runs)
    assert "base" in names
    assert {name.partition("-")[0] for name in names} == {"base", *compare.COMPARISONS}


def test_mistakes_in_the_file_are_named():
    with pytest.raises(UserError, match=r"no run 'bass'; its runs: .*base"):
        load_experiments().settings("bass")
    change(lambda document: document["runs"]["optimizer-adam"]["train"].update(epocks=3))
    with pytest.raises(UserError, match=r"runs\.optimizer-adam\.train\.epocks"):
        load_experiments()
    teachers = {"name": "teachers", "share": 0.5}
    change(lambda document: document["runs"].update(base={"train": {"distillation": teachers}}))
    change(lambda document: document["runs"].update({"optimizer-adam": {}}))
    with pytest.raises(UserError, match=r"runs\.base: .* an experiment has no teachers"):
        load_experiments()
    change(lambda document: document["base"].pop("seeds"))
    with pytest.raises(UserError, match=r"params\.yaml: base\.seeds: "):
        load_experiments()
    settings.PARAMETERS.unlink()
    with pytest.raises(UserError, match="not found; run from the repository's root"):
        load_experiments()


def test_a_run_is_judged_on_public_test_and_resumes(tmp_path):
    rng = np.random.default_rng(0)
    labels = (np.arange(150) % 7).astype(np.uint8)
    # Emotion k is a bright bar at height k.
    images = rng.integers(0, 100, (150, 48, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[6 * label + 2 : 6 * label + 6] += 150
    faces = {
        "images": images,
        "labels": labels,
        "row": np.arange(150, dtype=np.int32) + 2,
        "split": np.repeat([0, 1, 2], 50).astype(np.uint8),
        "copy_in_training": np.zeros(150, bool),
    }
    change(
        lambda document: document["base"]["train"].update(
            network={"name": "residual", "widths": [4, 8], "blocks": 1, "dropout": 0},
            epochs=1,
            weight_average=0,
        )
    )
    tiny = load_experiments().settings("balance-oversample")
    resume = tmp_path / ".resume.npz"
    result = judge(tiny, faces, resume)
    assert set(result) == {
        *("accuracy", "macro_f1", "min_recall", "recall", "parameters", "images", "minutes")
    }
    assert set(result["recall"]) == set(EMOTIONS)
    assert result["images"] == 8 * 7  # 50 Training faces: eight of the first emotion at most
    assert result["minutes"] > 0
    assert not resume.exists()


def write_results(recall_of_fear: dict[str, float]) -> None:
    for name in load_experiments().runs:
        recall = dict.fromkeys(EMOTIONS, 0.5) | {"fear": recall_of_fear.get(name, 0.5)}
        figures = {
            "accuracy": 0.6,
            "macro_f1": 0.55,
            "min_recall": 0.5,
            "recall": recall,
            "parameters": 1234567,
            "images": 28005,
            "minutes": 3.25,
        }
        worse = figures | {"accuracy": 0.58}
        (compare.RESULTS / f"{name}.json").write_text(
            json.dumps({"seed 0": figures, "seed 1": worse})
        )


def test_the_page_holds_the_means_and_half_the_range():
    write_results({"balance-oversample": 0.7})
    compare.main()
    page = Path("experiments/README.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| oversample"))
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert cells[:3] == ["2", "0.590 ± 0.010", "0.550 ± 0.000"]
    assert cells[3 + EMOTIONS.index("fear")] == "0.700"
    assert cells[-3:] == ["1,234,567", "28,005", "3.2"]
    assert page.count("| base ") == 2
    assert Path("experiments/recall.png").stat().st_size > 5000
    table = pd.read_csv("experiments/comparison.csv").set_index("run")
    assert list(table.index) == list(load_experiments().runs)
    assert table.loc["balance-oversample", "recall.fear"] == 0.7
    assert table.loc["base", "accuracy_spread"] == 0.01


def test_the_page_says_in_words_whom_it_helped():
    write_results({"base": 0.6, "balance-oversample": 0.75, "balance-undersample": 0.62})
    compare.main()
    page = Path("experiments/README.md").read_text()
    assert (
        "- `oversample` helped fear +15 and cost none; accuracy +0.0, macro-F1 +0.0.\n"
        "- `undersample` helped no class and cost none; accuracy +0.0, macro-F1 +0.0.\n"
        "- `augment_30_percent` helped no class and cost fear -10;"
    ) in page


def test_the_readme_takes_the_figures_of_balancing():
    write_results({"balance-oversample": 0.7})
    compare.main()
    text = report.with_fresh_tables("<!-- balancing -->\nold\n<!-- end -->\n")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "on PublicTest"
    assert rows[2:5] == ["no balancing", "weights_balanced", "weights_square_root"]
    oversample = next(line for line in text.splitlines() if line.startswith("| oversample"))
    assert oversample.split("|")[3 + 1 + EMOTIONS.index("fear")].strip() == "0.700"


def test_what_is_committed_was_made_of_the_committed_results():
    shutil.copytree(ROOT / "experiments/results", "experiments/results", dirs_exist_ok=True)
    compare.main()
    for name in ("README.md", "comparison.csv"):
        written, committed = Path("experiments", name), ROOT / "experiments" / name
        assert written.read_text() == committed.read_text()


def test_a_run_without_results_is_named(capsys):
    write_results({})
    (compare.RESULTS / "base.json").unlink()
    with pytest.raises(SystemExit, match=r"base\.json: not found; run `dvc --cd experiments repro"):
        compare.main()
