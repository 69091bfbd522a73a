"""The model card shows the metrics and parameters that it is given."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from stages.evaluate import read_metrics
from stages.evaluation.model_card import model_card
from stages.parameters import load_parameters

ROOT = Path(__file__).parents[3]


def rows_of(card: str, section: str) -> list[list[str]]:
    """Cells of the last table of a section, without its header."""
    lines = card.split(f"## {section}\n")[1].split("\n## ")[0].rstrip().splitlines()
    rows = [re.split(r" *\| *", line)[1:-1] for line in lines if line.startswith("| ")]
    return rows[1:]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("dataset", ["sample", "fer2013", "fer2013-small", "ferplus"])
def test_the_committed_card_is_made_of_the_committed_metrics(dataset):
    parameters = load_parameters(dataset)
    card = model_card(dataset, parameters, read_metrics(dataset, parameters))
    assert card.count("\n") < 120
    assert card == Path("models", dataset, "README.md").read_text()


def test_the_card_follows_the_metrics():
    parameters = load_parameters("sample")
    metrics = read_metrics("sample", parameters)
    metrics.evaluation["PrivateTest"]["recall"]["fear"] = 0.1234
    metrics.intervals["PrivateTest"]["recall.fear"] = [0.0567, 0.2345]
    metrics.labels[:], metrics.predicted[:] = 2, 5
    label, recall, _, *predicted = rows_of(model_card("sample", parameters, metrics), "Classes")[2]
    assert (label, recall) == ("fear", "0.123 (0.057 – 0.234)")
    assert predicted == ["0", "0", "0", "0", "0", "200", "0"]


APPLICATION = {
    "name": "application",
    "model": "ResNet50V2",
    "weights": "imagenet",
    "input_size": 96,
    "dropout": 0.1,
    "frozen_epochs": 1,
}


@pytest.mark.parametrize(
    ("fetch", "origin"),
    [
        ({"source": "folder", "path": "faces", "rows": None}, "the folder `faces`"),
        ({"source": "file", "path": "a.csv", "sha256": None, "rows": None}, "The file `a.csv`"),
        ({"source": "kaggle", "handle": "a/b", "rows": None}, "`a/b`"),
    ],
)
def test_the_card_names_the_origin_of_the_faces(fetch, origin):
    parameters = load_parameters("sample")
    metrics = read_metrics("sample", parameters)
    document = parameters.model_dump(by_alias=True) | {"fetch": fetch}
    document["train"]["network"] = APPLICATION
    card = model_card("sample", type(parameters).model_validate(document), metrics)
    assert origin in card
    assert "weights pretrained on imagenet" in card
    assert "network `ResNet50V2`" in card


def test_the_card_names_the_weights_that_the_training_started_from():
    parameters = load_parameters("sample")
    metrics = read_metrics("sample", parameters)
    assert "no pretrained weights" in model_card("sample", parameters, metrics)
    document = parameters.model_dump(by_alias=True)
    document["train"]["init"] = {
        "name": "weights",
        "from": "fer2013",
        "freeze": 2,
        "frozen_epochs": 0,
        "learning_rate_scale": 0.1,
    }
    metrics.training["initial_weights"] = {
        "file": "models/fer2013/weights.keras",
        "sha256": "0123456789abcdef",
    }
    card = model_card("sample", type(parameters).model_validate(document), metrics)
    assert (
        "Training started from the weights of `models/fer2013/weights.keras` (SHA-256 "
        "`0123456789ab`) with a new head; the first 2 groups of layers kept theirs." in card
    )
    assert "no pretrained weights" not in card
    assert "was pretrained on" not in card
    document["train"]["init"] |= {"freeze": 0, "keep_head": True}
    taught = replace(metrics, pretrained_on="faces")
    card = model_card("sample", type(parameters).model_validate(document), taught)
    assert "with their head. A network that taught them was pretrained on faces." in card


def test_the_card_says_which_splits_were_drawn():
    parameters = load_parameters("sample")
    metrics = read_metrics("sample", parameters)
    folder = {"source": "folder", "path": "faces", "draw": {"seed": 4, "person": "x"}}
    document = parameters.model_dump(by_alias=True) | {"fetch": folder}
    changed = type(parameters).model_validate(document)
    assert "drawn" not in model_card("sample", changed, metrics)
    metrics.validation["drawn"] = {"PrivateTest": 0, "PublicTest": 1234}
    card = model_card("sample", changed, metrics)
    assert (
        "1,234 of PublicTest were drawn from its other images, stratified by emotion and grouped "
        "by person, with seed 4." in card
    )


def test_the_card_of_ferplus_says_what_the_labels_are():
    parameters = load_parameters("ferplus")
    card = model_card("ferplus", parameters, read_metrics("sample", load_parameters("sample")))
    assert "the labels of FER+ (Barsoum et al. 2016)" in card
    assert "In Training, the targets are the shares of the votes." in card


def test_the_confusion_matrix_counts_every_face():
    parameters = load_parameters("sample")
    metrics = read_metrics("sample", parameters)
    rows = rows_of(model_card("sample", parameters, metrics), "Classes")
    counts = [int(cell) for row in rows for cell in row[3:]]
    assert sum(counts) == metrics.evaluation["PrivateTest"]["images"]


def test_targets_stand_beside_the_metrics_with_what_is_missing():
    parameters = load_parameters("sample")
    document = parameters.model_dump(by_alias=True)
    document["evaluate"]["targets"] = {
        "accuracy": 0.9,
        "macro_f1": 0.75,
        "ece": 0.02,
        "min_recall": 1,
    }
    metrics = read_metrics("sample", parameters)
    reached = {"accuracy": 0.8124, "macro_f1": 0.8, "ece": 0.05, "min_recall": 1.0}
    metrics.evaluation["PrivateTest"] |= reached
    card = model_card("sample", type(parameters).model_validate(document), metrics)
    assert {row[0]: row[3:] for row in rows_of(card, "Metrics") if any(row[3:])} == {
        "accuracy": ["0.900", "0.088"],
        "macro-F1": ["0.750", "–"],
        "lowest recall of a class": ["1.000", "–"],
        "expected calibration error, 15 bins": ["0.020", "0.030"],
    }


def test_calibration_and_quantization_are_compared_with_the_served_file():
    parameters = load_parameters("sample")
    metrics = read_metrics("sample", parameters)
    private = metrics.evaluation["PrivateTest"]
    private["uncalibrated"]["ece"], private["ece"] = 0.5, 0.25
    private["float32"]["bytes"], metrics.evaluation["model"]["bytes"] = 8_000_000, 2_000_000
    rows = rows_of(model_card("sample", parameters, metrics), "Calibration and quantization")
    assert ["expected calibration error, 15 bins", "0.5000", "", "0.2500"] in rows
    assert rows[-1] == ["size", "", "8.00 MB", "2.00 MB"]
    for split in ("PublicTest", "PrivateTest"):
        del metrics.evaluation[split]["float32"]
    rows = rows_of(model_card("sample", parameters, metrics), "Calibration and quantization")
    assert rows[-1] == ["size", "", "2.00 MB"]


def test_the_card_names_the_teachers_and_the_votes():
    alone = load_parameters("sample")
    document = alone.model_dump(by_alias=True)
    first, second = ({"file": f"teachers/{name}.onnx", "sha256": "0" * 12} for name in "ab")
    document["train"]["distillation"] = {
        "name": "teachers_on_views",
        "share": 0.5,
        "views": 9,
        "seed": 0,
        "teachers": [first, second],
        "votes": {"share": 0.6, "sha256": "0" * 12},
    }
    metrics = read_metrics("sample", alone)
    reached = {"accuracy": 0.6123, "macro_f1": 0.5}
    metrics.teachers["teachers/a.onnx"] = {"parameters": 200} | reached
    metrics.teachers["teachers/b.onnx"] = {"parameters": 30} | reached
    card = model_card("sample", type(alone).model_validate(document), metrics)
    assert "50% of each target is the teachers' prediction for the augmented face, in 9" in card
    assert "votes: 30% of each target is the label as" in card
    assert rows_of(card, "Recipe") == [
        ["a", "200", "0.612", "0.500"],
        ["b", "30", "0.612", "0.500"],
    ]
    document["train"]["distillation"] |= {"name": "teachers"}
    del document["train"]["distillation"]["views"]
    del document["train"]["distillation"]["seed"]
    del document["train"]["distillation"]["votes"]
    card = model_card("sample", type(alone).model_validate(document), metrics)
    assert "50% of each target is the teachers' prediction\n" in card
