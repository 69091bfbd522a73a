"""Files appear whole or not at all, wherever the writer stops."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts import Artifacts, write_arrays, write_metrics, written_atomically

ROOT = Path(__file__).parents[2]


def test_paths_of_a_dataset():
    files = Artifacts("fer2013")
    assert files.data == Path("data/fer2013")
    assert files.models == Path("models/fer2013")
    assert files.metrics == Path("metrics/fer2013")
    assert files.plots == Path("metrics/fer2013/plots")


# ---------------------------------------------------------------- written_atomically


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "models" / "new" / "model.keras"
    with written_atomically(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".keras"
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_everything_as_it_was(tmp_path, old, exception):
    path = tmp_path / "model.onnx"
    if old:
        path.write_bytes(old)
    with pytest.raises(exception), written_atomically(path) as temporary:
        temporary.write_bytes(b"half")
        raise exception
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


KILLED = """
import os, signal, sys
from pathlib import Path
from stages.artifacts import written_atomically

with written_atomically(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_leaves_the_old_file_and_the_next_writer_cleans_up(tmp_path):
    path = tmp_path / "train.npz"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (abandoned,) = set(tmp_path.iterdir()) - {path}
    assert abandoned.read_bytes() == b"half"

    hidden = tmp_path / ".resume.npz"
    hidden.write_bytes(b"kept")
    with written_atomically(path) as temporary:
        temporary.write_bytes(b"new")
        # Another file of the same folder, written at the same time by a process that lives.
        with written_atomically(tmp_path / "faces.npz") as other:
            other.write_bytes(b"faces")
    assert path.read_bytes() == b"new"
    assert {file.name for file in tmp_path.iterdir()} == {"train.npz", "faces.npz", ".resume.npz"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_result_is_as_readable_as_any_other_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with written_atomically(tmp_path / "plot.png") as temporary:
            temporary.touch()
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "plot.png").stat().st_mode) == mode


def test_a_link_into_the_cache_is_replaced_and_the_cache_kept(tmp_path):
    cached = tmp_path / "cache"
    cached.write_bytes(b"old")
    path = tmp_path / "model.keras"
    path.symlink_to(cached)
    with written_atomically(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()
    assert cached.read_bytes() == b"old"


# ---------------------------------------------------------------- write_arrays


def test_arrays_come_back(tmp_path):
    arrays = {
        "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "said": np.float32([[0.5, 0.5]]),
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
def test_a_figure_that_is_no_number_is_refused(tmp_path, value):
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
def test_every_metric_comes_back_within_half_a_digit(tmp_path_factory, metrics):
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
