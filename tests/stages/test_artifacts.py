"""Paths of a dataset, and the bytes of .npz and metrics files."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts import Artifacts, write_arrays, write_metrics

ROOT = Path(__file__).parents[2]


def test_paths_of_a_dataset():
    files = Artifacts("fer2013")
    assert files.data == Path("data/fer2013")
    assert files.models == Path("models/fer2013")
    assert files.metrics == Path("metrics/fer2013")
    assert files.plots == Path("metrics/fer2013/plots")


# ---------------------------------------------------------------- write_arrays


def test_arrays_are_read_back(tmp_path):
    arrays = {
        "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "probabilities": np.float32([[0.5, 0.5]]),
        "none": np.empty((0, 7), np.float32),
        "number": np.array(7),
    }
    write_arrays(tmp_path / "a.npz", **arrays)
    with np.load(tmp_path / "a.npz") as read:
        assert read.files == list(arrays)
        for name, array in arrays.items():
            assert np.array_equal(read[name], array)
            assert read[name].dtype == array.dtype


def test_the_same_arrays_give_the_same_bytes_under_every_python(tmp_path):
    write_arrays(tmp_path / "a.npz", images=np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    digest = hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest()
    assert digest == "ea3b862ed96486b3915b6418db53827b45833a9b7b0cffa56ea855f8f5438aa6"


# ---------------------------------------------------------------- write_metrics


def test_metrics_are_sorted_and_rounded(tmp_path):
    path = tmp_path / "training.json"
    write_metrics(
        path,
        {
            "b": 2 / 3,
            "a": {"z": [0.123456, 1], "y": np.float64(0.99999)},
            7: True,
            "n": None,
        },
    )
    assert path.read_text().splitlines() == [
        "{",
        '  "7": true,',
        '  "a": {',
        '    "y": 1.0,',
        '    "z": [',
        "      0.1235,",
        "      1",
        "    ]",
        "  },",
        '  "b": 0.6667,',
        '  "n": null',
        "}",
    ]
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float64("nan")])
def test_a_metric_that_is_no_finite_number_is_an_error(tmp_path, value):
    path = tmp_path / "evaluation.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_metrics(path, {"PublicTest": {"accuracy": value}})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


metrics = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), metrics))
def test_every_metric_is_read_back_within_half_a_digit(tmp_path_factory, metrics):
    path = tmp_path_factory.getbasetemp() / "metrics.json"
    write_metrics(path, metrics)

    def same(read, written) -> bool:
        if isinstance(written, dict):
            return read.keys() == written.keys() and all(
                same(read[key], written[key]) for key in written
            )
        if isinstance(written, list):
            return all(same(*pair) for pair in zip(read, written, strict=True))
        if isinstance(written, float):
            return abs(read - written) <= 0.5e-4 + 1e-9
        return read == written

    assert same(json.loads(path.read_text()), metrics)
