"""The experiments: their file, one tiny run, and the page made of the results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments import compare, settings
from experiments.run import measure, with_duplicates
from experiments.settings import load_experiments
from stages.artifacts import Artifacts
from stages.dataset.faces import Faces
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from tools import readme_tables

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """An empty repository with the committed runs."""
    monkeypatch.chdir(tmp_path)
    Path("experiments/results").mkdir(parents=True)
    settings.PARAMETERS.write_text((ROOT / "experiments/params.yaml").read_text())
    Path("metrics/fer2013").mkdir(parents=True)
    shutil.copy(ROOT / "metrics/fer2013/evaluation.json", "metrics/fer2013")


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
    with pytest.raises(UserError, match=r"optimizer-adam\.train\.epocks: unknown key"):
        load_experiments()
    change(lambda document: document["runs"].update({"optimizer-adam": {}}))
    with pytest.raises(UserError, match=r"no teacher 'wide'; its teachers: .*residual_wide"):
        load_experiments().teacher("wide")
    change(lambda document: document["base"].pop("seeds"))
    with pytest.raises(UserError, match=r"params\.yaml:\d+: base\.seeds: missing"):
        load_experiments()
    settings.PARAMETERS.unlink()
    with pytest.raises(UserError, match="not found; run from the repository's root"):
        load_experiments()


def test_a_run_is_measured_on_public_test_and_resumes(tmp_path):
    rng = np.random.default_rng(0)
    labels = (np.arange(150) % 7).astype(np.uint8)
    # Emotion k is a bright bar at height k.
    images = rng.integers(0, 100, (150, 48, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[6 * label + 2 : 6 * label + 6] += 150
    faces = Faces(
        images=images,
        labels=labels,
        split=np.repeat([0, 1, 2], 50).astype(np.uint8),
        row=np.arange(150, dtype=np.int32) + 2,
        # The first ten of PublicTest.
        copy_in_training=np.isin(np.arange(150), range(50, 60)),
    )
    small = {"widths": [4, 8], "blocks": 1, "dropout": 0}
    change(lambda document: document["base"]["train"]["network"].update(residual=small))
    change(lambda document: document["base"]["train"].update(epochs=1, ema_decay=0))
    tiny = load_experiments().settings("balance-oversample")
    resume = tmp_path / ".resume.npz"
    result = measure(tiny, faces, resume)
    assert set(result) == {
        *("accuracy", "accuracy_deduplicated", "accuracy_duplicates", "macro_f1", "min_recall"),
        *("recall", "parameters", "images", "minutes"),
    }
    whole = 0.2 * result["accuracy_duplicates"] + 0.8 * result["accuracy_deduplicated"]
    assert result["accuracy"] == pytest.approx(whole)
    assert set(result["recall"]) == set(EMOTIONS)
    assert result["images"] == 8 * 7  # 50 Training faces: eight of the first emotion at most
    assert result["minutes"] > 0
    assert not resume.exists()


def test_duplicates_can_be_kept_in_training(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 48, 48), dtype=np.uint8)
    # Line 3 is line 5 with another label; line 2 was rejected for another reason.
    usage = [("0", images[0], "Training"), ("6", images[1], "Training")]
    usage += [("2", images[2], "Training"), ("4", images[1], "PublicTest")]
    files = Artifacts("tiny")
    files.data.mkdir(parents=True)
    lines = [f"{label},{' '.join(map(str, image.ravel()))},{use}" for label, image, use in usage]
    (files.data / "raw.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]))
    (files.data / "quarantine.csv").write_text(
        "row,check,observed\n2,flat,0\n3,copy_of_test_image,5\n"
    )
    faces = Faces(
        images=images[[2, 1]],
        labels=np.array([2, 4], np.uint8),
        split=np.array([0, 1], np.uint8),
        row=np.array([4, 5], np.int32),
        copy_in_training=np.array([False, True]),
    )
    found = with_duplicates(faces, files)
    names = ("images", "labels", "split", "row", "copy_in_training")
    assert [getattr(found, name).dtype for name in names] == [
        getattr(faces, name).dtype for name in names
    ]
    np.testing.assert_array_equal(found.images, images[[2, 1, 1]])
    assert found.labels.tolist() == [2, 4, 6]
    assert found.split.tolist() == [0, 1, 0]
    assert found.row.tolist() == [4, 5, 3]
    assert found.copy_in_training.tolist() == [False, True, False]


def write_results(recall_of_fear: dict[str, float]) -> None:
    for name in load_experiments().runs:
        recall = dict.fromkeys(EMOTIONS, 0.5) | {"fear": recall_of_fear.get(name, 0.5)}
        metrics = {
            "accuracy": 0.6,
            "accuracy_deduplicated": 0.59,
            "accuracy_duplicates": 0.9 if name == "duplicates-kept" else 0.7,
            "macro_f1": 0.55,
            "min_recall": 0.5,
            "recall": recall,
            "parameters": 1234567,
            "images": 28005,
            "minutes": 3.25,
        }
        worse = metrics | {"accuracy": 0.58}
        (compare.RESULTS / f"{name}.json").write_text(
            json.dumps({"seed 0": metrics, "seed 1": worse})
        )


def test_the_page_holds_the_means_and_half_the_range():
    write_results({"balance-oversample": 0.7})
    compare.main()
    page = Path("experiments/README.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| oversample"))
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert cells[:3] == ["2", "0.590 ± 0.010", "0.550 ± 0.000"]
    assert cells[5 + EMOTIONS.index("fear")] == "0.700"
    assert cells[-3:] == ["1,234,567", "28,005", "3.2"]
    assert page.count("| base ") == 2
    assert Path("experiments/recall.png").stat().st_size > 5000
    table = pd.read_csv("experiments/comparison.csv").set_index("run")
    assert list(table.index) == list(load_experiments().runs)
    assert table.loc["balance-oversample", "recall.fear"] == 0.7
    assert table.loc["base", "accuracy_spread"] == 0.01


def test_the_page_lists_gains_and_losses():
    write_results({"base": 0.6, "balance-oversample": 0.75, "balance-undersample": 0.62})
    compare.main()
    page = Path("experiments/README.md").read_text()
    assert (
        "- `oversample`: gains fear +15; losses none; accuracy +0.0, macro-F1 +0.0.\n"
        "- `undersample`: gains none; losses none; accuracy +0.0, macro-F1 +0.0.\n"
        "- `augment_30_percent`: gains none; losses fear -10;"
    ) in page


def test_the_page_says_what_duplicates_change():
    write_results({})
    # A tenth of the images are duplicates.
    for name, duplicates, others in (
        ("duplicates-kept", 0.9, 0.6),
        ("duplicates-removed", 0.7, 0.59),
    ):
        path = compare.RESULTS / f"{name}.json"
        measured = {"accuracy": 0.9 * others + 0.1 * duplicates, "accuracy_deduplicated": others}
        metrics = json.loads(path.read_text())["seed 0"] | measured
        path.write_text(json.dumps({"seed 0": metrics}))
    compare.main()
    page = Path("experiments/README.md").read_text()
    assert (
        "Keeping the duplicates changes the accuracy by +2.9 points: by +20.0 on the duplicates "
        "and by +1.0 on all other images, which have no copy in Training"
    ) in page
    kept = next(line for line in page.splitlines() if line.startswith("| kept"))
    assert [cell.strip() for cell in kept.split("|")[5:7]] == ["0.600", "0.900"]


def test_the_readme_takes_the_metrics_of_balancing():
    write_results({"balance-oversample": 0.7})
    compare.main()
    text = readme_tables.with_fresh_tables("<!-- balancing -->\nold\n<!-- end -->\n")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "on PublicTest"
    assert rows[2:5] == ["no balancing", "weights_balanced", "weights_square_root"]
    oversample = next(line for line in text.splitlines() if line.startswith("| oversample"))
    assert oversample.split("|")[3 + 1 + EMOTIONS.index("fear")].strip() == "0.700"


def test_the_readme_takes_the_metrics_of_duplicates():
    write_results({})
    compare.main()
    text = readme_tables.with_fresh_tables("<!-- duplicates -->\nold\n<!-- end -->\n")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["on PublicTest", "accuracy", "of the duplicates", "of the other images"]
    assert rows[2:] == [
        ["duplicates removed", "0.590", "0.700", "0.590"],
        ["duplicates kept", "0.590", "0.900", "0.590"],
    ]


def test_the_page_says_which_claims_hold():
    write_results({})
    for name, accuracy in (
        ("claim-five_block_duplicates_kept", 0.683),
        ("claim-five_block_duplicates_removed", 0.681),
        ("network-five_layer", 0.304),
        ("optimizer-adam_high_rate", 0.618),
        ("optimizer-adamax_low_rate", 0.627),
    ):
        path = compare.RESULTS / f"{name}.json"
        metrics = json.loads(path.read_text())["seed 0"] | {"accuracy": accuracy}
        path.write_text(json.dumps({"seed 0": metrics}))
    compare.main()
    page = Path("experiments/README.md").read_text()
    rows = [line for line in page.splitlines() if line.endswith("hold |") or "holds |" in line]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [(row[1], row[2], row[4]) for row in cells] == [
        ("0.69", "0.683", "holds"),
        ("0.69", "0.681", "does not hold"),
        ("0.313", "0.304", "does not hold"),
        ("–", "adamax 0.627, adam 0.618, rmsprop 0.590, sgd 0.590", "holds"),
    ]


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
