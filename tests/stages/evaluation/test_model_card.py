"""The model card: every figure in it is one of the figures it was given."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.dataset.faces import EMOTIONS
from stages.evaluation.model_card import Measured, model_card
from stages.parameters import load_parameters
from stages.teachers import read_teacher_metrics

ROOT = Path(__file__).parents[3]


def measured(dataset: str) -> Measured:
    """What evaluate committed, read back."""
    metrics = ROOT / "metrics" / dataset
    files = ("validation", "balance", "training", "evaluation", "intervals")
    confusion = pd.read_csv(metrics / "plots/confusion.csv")
    return Measured(
        **{name: json.loads((metrics / f"{name}.json").read_text()) for name in files},
        teachers=read_teacher_metrics(load_parameters(dataset, ROOT / "params.yaml")),
        robustness=pd.read_csv(metrics / "plots/robustness.csv"),
        labels=confusion["actual"].map(EMOTIONS.index).to_numpy(copy=True),
        predicted=confusion["predicted"].map(EMOTIONS.index).to_numpy(copy=True),
    )


@pytest.mark.parametrize("dataset", ["sample", "fer2013", "fer2013-small"])
def test_the_committed_card_is_made_of_the_committed_metrics(dataset):
    parameters = load_parameters(dataset, ROOT / "params.yaml")
    card = model_card(dataset, parameters, measured(dataset))
    assert card == (ROOT / "models" / dataset / "README.md").read_text()


def test_the_card_follows_the_figures():
    parameters = load_parameters("sample", ROOT / "params.yaml")
    figures = measured("sample")
    figures.evaluation["PrivateTest"]["recall"]["fear"] = 0.1234
    figures.intervals["PrivateTest"]["recall.fear"] = [0.0567, 0.2345]
    figures.labels[:], figures.predicted[:] = 2, 5
    card = model_card("sample", parameters, figures)
    assert "0.123 (0.057 – 0.234)" in card
    row = next(line for line in card.splitlines() if line.startswith("| fear ") and "200" in line)
    assert [int(cell) for cell in row.split("|")[2:-1]] == [0, 0, 0, 0, 0, 200, 0]


@pytest.mark.parametrize(
    ("fetch", "said"),
    [
        ({"source": "folder", "path": "faces", "rows": None}, "the folder `faces`"),
        ({"source": "file", "path": "a.csv", "sha256": None, "rows": None}, "The file `a.csv`"),
        ({"source": "kaggle", "handle": "a/b", "rows": None}, "`a/b`"),
    ],
)
def test_the_card_says_where_the_faces_come_from(fetch, said):
    parameters = load_parameters("sample", ROOT / "params.yaml")
    document = parameters.model_dump(by_alias=True) | {"fetch": fetch}
    network = {"name": "resnet50", "weights": "imagenet", "dropout": 0.1}
    document["train"]["network"] = network
    card = model_card("sample", type(parameters).model_validate(document), measured("sample"))
    assert said in card
    assert "began with weights from imagenet" in card


def test_confusion_counts_every_face():
    figures = measured("sample")
    card = model_card("sample", load_parameters("sample", ROOT / "params.yaml"), figures)
    section = card.split("## Confusion")[1].split("## Calibration")[0]
    rows = [line.split("|")[2:-1] for line in section.splitlines() if line.startswith("| ")][1:]
    assert np.array(rows, dtype=int).sum() == figures.evaluation["PrivateTest"]["images"]


def test_a_missed_aim_says_by_how_much():
    parameters = load_parameters("sample", ROOT / "params.yaml")
    document = parameters.model_dump(by_alias=True)
    document["evaluate"]["targets"] = {
        "accuracy": 0.9,
        "macro_f1": 0.75,
        "ece": 0.02,
        "min_recall": 1,
    }
    figures = measured("sample")
    reached = {"accuracy": 0.8124, "macro_f1": 0.8, "ece": 0.05, "min_recall": 1.0}
    figures.evaluation["PrivateTest"] |= reached
    card = model_card("sample", type(parameters).model_validate(document), figures)
    section = card.split("## Aims")[1].split("## Confusion")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| ")][1:]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["accuracy", "0.900", "0.812", "0.088"],
        ["macro-F1", "0.750", "0.800", "–"],
        ["expected calibration error, 15 bins", "0.020", "0.050", "0.030"],
        ["lowest recall of a class", "1.000", "1.000", "–"],
    ]


def test_an_ensemble_counts_the_parameters_of_all_networks():
    alone = load_parameters("sample", ROOT / "params.yaml")
    document = alone.model_dump(by_alias=True)
    first, second = ({"file": f"teachers/{name}.onnx", "sha256": "0" * 12} for name in "ab")
    document["train"] |= {
        "distillation": {"name": "teachers", "share": 0.5, "teachers": [first, second]}
    }
    figures = measured("sample")
    figures.training["parameters"] = 1000
    metrics = {"accuracy": 0.6123, "macro_f1": 0.5}
    figures.teachers["teachers/a.onnx"] = {"parameters": 200} | metrics
    figures.teachers["teachers/b.onnx"] = {"parameters": 30} | metrics
    distilled = model_card("sample", type(alone).model_validate(document), figures)
    document["train"]["distillation"] = None
    document["export"]["ensemble"] = [second]
    ensemble = model_card("sample", type(alone).model_validate(document), figures)
    assert ", 1,000 parameters. In: " in distilled
    assert ", 1,030 parameters in an ensemble of 2 networks" in ensemble
    assert "50% of each target are the mean probabilities of teachers" in distilled
    assert "of each target" not in ensemble
    for card, served in ((distilled, ""), (ensemble, "yes")):
        rows = [re.split(r" *\| *", line)[1:-1] for line in card.splitlines()]
        assert ["a", "200", "0.612", "0.500", ""] in rows
        assert ["b", "30", "0.612", "0.500", served] in rows
