"""The tables and the picture that `dvc plots show` draws."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from stages.dataset.fer2013 import EMOTIONS
from stages.evaluation.plots import (
    confusion_table,
    mistakes_picture,
    per_class_table,
    plot_tables,
    precision_recall_table,
    reliability_table,
    roc_table,
    selective_prediction_table,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def split():
    generator = np.random.default_rng(0)
    labels = np.append(np.arange(7), generator.integers(0, 7, 1000)).astype(np.uint8)
    logits = generator.normal(size=(len(labels), 7)) + 1.5 * np.eye(7)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_confusion_table_has_a_row_per_image_in_order(split):
    labels, probabilities = split
    table = confusion_table(labels, probabilities, EMOTIONS)
    pairs = zip(labels, probabilities.argmax(axis=1), strict=True)
    assert table.to_numpy().tolist() == [[EMOTIONS[a], EMOTIONS[b], a, b] for a, b in pairs]


def test_the_plot_of_the_confusion_sorts_both_axes_by_the_indices(split):
    """Vega would sort them by name, or by first appearance, and the diagonal would break."""
    path = ROOT / ".dvc/plots/confusion_shares.json"
    template = json.loads(path.read_text())
    for axis, name in (("x", "predicted"), ("y", "actual")):
        encoding = template["spec"]["encoding"][axis]
        assert (encoding["field"], encoding["sort"]["field"]) == (name, f"{name}_index")
        assert f"{name}_index" in template["transform"][0]["groupby"]
        assert f"{name}_index" in confusion_table(*split, EMOTIONS)


def test_per_class_table_of_a_case_computed_by_hand():
    labels = np.array([0, 0, 1, 2])
    table = per_class_table(labels, np.eye(3)[[0, 1, 1, 2]], ("a", "b", "c"))
    assert table["emotion"].tolist() == ["a", "b", "c"]
    assert table["recall"].tolist() == [0.5, 1, 1]
    assert table["precision"].tolist() == [1, 0.5, 1]
    assert table["images"].tolist() == [2, 1, 1]


def test_reliability_table_covers_all_images(split):
    table = reliability_table(*split)
    assert table["images"].sum() == len(split[0])
    assert (table["images"] > 0).all()
    assert table["confidence"].is_monotonic_increasing


def test_roc_has_the_area_that_scikit_learn_computes(split):
    labels, probabilities = split
    table = roc_table(labels, probabilities, EMOTIONS)
    assert len(table) == 101
    for k, name in enumerate(EMOTIONS):
        assert table[name].is_monotonic_increasing
        area = np.trapezoid(table[name], table["fpr"])
        assert area == pytest.approx(roc_auc_score(labels == k, probabilities[:, k]), abs=0.01)


def test_precision_recall_falls_and_bounds_the_average_precision(split):
    labels, probabilities = split
    table = precision_recall_table(labels, probabilities, EMOTIONS)
    assert len(table) == 101
    for k, name in enumerate(EMOTIONS):
        assert table[name].is_monotonic_decreasing
        assert table[name].iloc[-1] >= (labels == k).mean()
        average = average_precision_score(labels == k, probabilities[:, k])
        # Interpolated precision is never below the raw one.
        assert average - 0.01 <= table[name].mean() <= average + 0.05


def test_precision_recall_of_a_case_computed_by_hand():
    # By falling score: correct, wrong, correct. So recall 1/2 has precision 1, recall 1 has 2/3.
    labels = np.array([0, 1, 0])
    scores = np.array([0.9, 0.8, 0.7])
    table = precision_recall_table(labels, np.column_stack([scores, 1 - scores]), ("a", "b"))
    assert table["a"][:51].tolist() == [1] * 51
    assert table["a"][51:].tolist() == pytest.approx([2 / 3] * 50)


def test_selective_prediction_falls_from_the_most_confident_half_to_all():
    # The 50 predictions of higher confidence are correct, the others wrong.
    confidence = np.linspace(0.6, 0.99, 100)
    labels = np.repeat([1, 0], 50)
    table = selective_prediction_table(labels, np.column_stack([confidence, 1 - confidence]))
    assert table["coverage"].tolist() == pytest.approx(np.linspace(0.05, 1, 96))
    assert table["accuracy"][:46].tolist() == [1] * 46
    assert table["accuracy"].iloc[-1] == 0.5


def test_every_table_has_the_name_of_its_csv_file(split):
    tables = plot_tables(*split, EMOTIONS)
    dvc = (ROOT / "dvc.yaml").read_text()
    for name, table in tables.items():
        assert f"metrics/${{item.dataset}}/plots/{name}.csv" in dvc
        assert len(table) > 0


def test_curves_of_a_perfect_model_are_flat():
    labels = np.repeat(np.arange(7), 3)
    for table in (roc_table, precision_recall_table):
        curves = table(labels, np.eye(7)[labels], EMOTIONS)[list(EMOTIONS)]
        assert (curves == 1).all(axis=None)


def test_picture_shows_the_most_confident_mistake_and_no_correct_prediction():
    labels = np.zeros(20, dtype=np.uint8)
    probabilities = np.tile([0.9, 0.1], (20, 1))
    probabilities[[4, 9]] = [[0.4, 0.6], [0.01, 0.99]]
    # White faces are invisible on the white page; only the most confident mistake is black.
    images = np.full((20, 48, 48), 255, dtype=np.uint8)
    images[9] = 0
    picture = mistakes_picture(images, labels, probabilities, ("a", "b"), rows=1, columns=1)
    assert picture.dtype == np.uint8
    assert (picture == 0).mean() > 0.2
    images[9], images[4], images[0] = 255, 0, 0
    picture = mistakes_picture(images, labels, probabilities, ("a", "b"), rows=1, columns=1)
    assert (picture == 0).mean() < 0.05


def test_picture_is_the_same_every_time_and_works_without_mistakes(split):
    labels, probabilities = split
    images = np.random.default_rng(1).integers(0, 256, (len(labels), 48, 48), dtype=np.uint8)
    first = mistakes_picture(images, labels, probabilities, EMOTIONS)
    assert np.array_equal(first, mistakes_picture(images, labels, probabilities, EMOTIONS))
    perfect = mistakes_picture(images, labels, np.eye(7)[labels], EMOTIONS)
    assert perfect.shape[0] < first.shape[0]
