"""Small sets of faces: how they are drawn, that finished runs are kept, and the page."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import fine_tuning
from benchmarks.check_pages import faults
from benchmarks.fine_tuning import Row, Source, draw, measure, page, read_rows
from benchmarks.provenance import Provenance
from stages.dataset.faces import Faces
from stages.training.initial_weights import read_initial_weights
from stages.training.keras_archive import save_network
from stages.training.networks import build_network
from tests.faces_fixture import random_faces, training_faces
from tests.stages.test_train import gratings, in_file, settings

PROVENANCE = Provenance("release `0123456789ab`", "`0123456789ab`", "a machine")


def test_a_drawn_set_has_each_emotion_and_is_part_of_the_larger_ones():
    labels = np.repeat(np.arange(7), [3, 2, 200, 200, 200, 200, 195])
    faces = training_faces(*random_faces(labels))
    sets = {count: draw(faces, count, 5) for count in (20, 100, 1000)}
    for count, drawn in sets.items():
        assert len(drawn.labels) == len(set(drawn.row.tolist())) == count
        assert np.bincount(drawn.labels, minlength=7).min() == 2
    assert set(sets[20].row) < set(sets[100].row) < set(sets[1000].row)
    assert set(draw(faces, 20, 6).row) != set(sets[20].row)
    # Beyond the first two of each emotion, chance decides.
    assert np.bincount(sets[100].labels)[2:].min() > 9


@pytest.fixture
def source(tmp_path, monkeypatch) -> Source:
    """Weights and parameters of a tiny dataset `release`; `own` trains as tiny a network."""
    own = yaml.safe_load((fine_tuning.RESULT.parents[1] / "params/own.yaml").read_text())
    network = settings().network
    own["train"] |= {
        "network": in_file(network.model_dump()),
        "resolutions": [{"size": 32, "share": 1.0}],
        "precision": "float32",
    }
    monkeypatch.chdir(tmp_path)
    Path("params").mkdir()
    for name in ("own", "release"):
        Path(f"params/{name}.yaml").write_text(yaml.safe_dump(own))
    save_network(build_network(network, 32, 5), Path("model.keras"))
    init = fine_tuning.initial("model.keras")
    read = read_initial_weights(settings().model_copy(update={"init": init}))
    return Source("release", "model.keras", read.sha256[:12])


def test_a_stopped_benchmark_goes_on_with_the_missing_runs(source, tmp_path):
    images, labels = gratings(84, 0)
    split = np.repeat(np.array([0, 1], np.uint8), [56, 28])
    row = np.arange(84, dtype=np.int32)
    faces = Faces(images, labels, split, row, np.zeros(84, bool))
    result = tmp_path / "fine_tuning.csv"
    arguments = (faces, source, PROVENANCE, [21], [0], 1, result)
    measure(*arguments)
    rows = read_rows(result)
    assert [row.way for row in rows] == list(fine_tuning.WAYS)
    assert {(row.faces, row.seed, row.epochs, row.weights) for row in rows} == {
        (21, 0, 1, source.sha256)
    }
    assert all(0 <= row.accuracy <= 1 and row.cpu_minutes > 0 for row in rows)

    # A finished run is not trained again: its row, marked here, stays.
    marked = [dataclasses.replace(rows[0], accuracy=0.123), rows[1]]
    fine_tuning.write_results(result, marked, page(marked))
    measure(*arguments)
    again = read_rows(result)
    assert [row.accuracy for row in again[:2]] == [0.123, rows[1].accuracy]
    assert [row.way for row in again] == list(fine_tuning.WAYS)
    assert "| 21 " in result.with_suffix(".md").read_text()


def test_the_page_has_the_mean_and_the_spread_of_the_last_weights():
    def row(**changes) -> Row:
        usual = Row("fine_tuned", 1000, 0, 40, "new", 0.5, 0.4, 3.0, **vars(PROVENANCE))
        return dataclasses.replace(usual, **changes)

    rows = [
        row(weights="old", accuracy=0.9),
        row(),
        row(seed=1, accuracy=0.7, macro_f1=0.6, cpu_minutes=4.0),
        row(way="scratch"),
    ]
    text = page(rows)
    (line,) = [line for line in text.splitlines() if "fine-tuned " in line and "1,000" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    expected = ["1,000", "fine-tuned", "0.600 (0.500 – 0.700)", "0.500 (0.400 – 0.600)", "3.5", "2"]
    assert cells == expected
    assert "0.9" not in text
    assert faults(text) == []
