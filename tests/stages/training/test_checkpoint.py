"""A training run's state on disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stages.training import checkpoint
from stages.training.checkpoint import State

HISTORY = [{"epoch": 1, "val_loss": 1 / 3, "size": 32}, {"epoch": 2, "val_loss": 1e-17, "size": 48}]

arrays = st.lists(
    hnp.arrays(
        st.sampled_from([np.float32, np.int64, np.uint32, np.int32]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    max_size=12,
)


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(one, other, strict=True)
    )


@given(variables=arrays, average=arrays, best=arrays, own=arrays)
def test_a_state_comes_back_as_it_was(tmp_path_factory, variables, average, best, own):
    path = tmp_path_factory.getbasetemp() / ".resume.npz"
    checkpoint.save(path, "key", State(HISTORY, variables, average, best, own))
    state = checkpoint.load(path, "key")
    assert state.history == HISTORY
    assert same(state.variables, variables)
    assert same(state.average, average)
    assert same(state.best, best)
    assert same(state.own_soft_labels, own)


def test_arrays_keep_their_order_beyond_ten(tmp_path):
    path = tmp_path / ".resume.npz"
    numbered = [np.array(index) for index in range(123)]
    checkpoint.save(path, "key", State([], numbered, [], numbered[::-1], []))
    state = checkpoint.load(path, "key")
    assert [int(array) for array in state.variables] == list(range(123))
    assert [int(array) for array in state.best] == list(range(123))[::-1]


def test_a_state_of_other_data_or_parameters_is_not_taken_up(tmp_path):
    path = tmp_path / ".resume.npz"
    assert checkpoint.load(path, "key") is None
    checkpoint.save(path, "key", State(HISTORY, [], [], [], []))
    assert checkpoint.load(path, "another") is None
    assert checkpoint.load(path, "key").history == HISTORY


def test_a_save_that_fails_keeps_the_state_before(tmp_path):
    path = tmp_path / ".resume.npz"
    checkpoint.save(path, "key", State(HISTORY, [np.ones(3)], [], [], []))
    with pytest.raises(TypeError):
        checkpoint.save(path, "key", State([{"epoch": object()}], [], [], [], []))
    assert same(checkpoint.load(path, "key").variables, [np.ones(3)])
    assert list(tmp_path.iterdir()) == [path]
