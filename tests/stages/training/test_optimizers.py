"""Every optimizer takes a step, and every schedule has the rate that its formula says."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stages.parameters import Constant, Optimizer, Schedule
from stages.training.optimizers import build_optimizer

SETTINGS = {
    "adam": {"learning_rate": 0.01, "weight_decay": 0.5},
    "adamw": {"learning_rate": 0.01, "weight_decay": 0.5},
    "adamax": {"learning_rate": 0.01, "weight_decay": 0.5},
    "sgd": {"learning_rate": 0.01, "weight_decay": 0.5, "momentum": 0.9, "nesterov": True},
    "rmsprop": {"learning_rate": 0.01, "weight_decay": 0.5, "rho": 0.9},
}


def optimizer(name: str, **changes):
    return TypeAdapter(Optimizer).validate_python({"name": name, **SETTINGS[name], **changes})


def rates(schedule: dict, steps: int, at, peak: float = 0.1) -> list[float]:
    """The rate that the optimizer would use after so many steps."""
    settings = optimizer("sgd", learning_rate=peak)
    built = build_optimizer(settings, TypeAdapter(Schedule).validate_python(schedule), steps)
    built.build([keras.Variable(np.zeros(1))])
    found = []
    for step in at:
        built.iterations.assign(step)
        found.append(float(built.learning_rate))
    return found


def step(name: str, gradient: float, **changes) -> dict[str, float]:
    """Four weights of 1 after one step with the same gradient for each."""
    built = build_optimizer(optimizer(name, **changes), Constant(name="constant"), 10)
    variables = [keras.Variable(np.ones(3), name=n) for n in ("kernel", "bias", "gamma", "beta")]
    built.build(variables)
    built.apply([keras.ops.full((3,), gradient) for _ in variables])
    return {variable.name: float(variable.numpy()[0]) for variable in variables}


# ---------------------------------------------------------------- optimizers


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_goes_against_the_gradient(name):
    for gradient in (1.0, -1.0):
        after = step(name, gradient, weight_decay=0)
        assert all(np.sign(1 - weight) == gradient for weight in after.values())
        assert len(set(after.values())) == 1


@pytest.mark.parametrize("name", SETTINGS)
def test_decay_takes_its_share_of_kernels_alone(name):
    after = step(name, 0.0)
    assert after["kernel"] == pytest.approx(1 - 0.01 * 0.5)
    assert (after["bias"], after["gamma"], after["beta"]) == (1, 1, 1)


def test_sgd_is_nesterov_or_plain():
    assert step("sgd", 1.0, weight_decay=0)["kernel"] == pytest.approx(1 - 0.01 * 1.9)
    plain = step("sgd", 1.0, weight_decay=0, nesterov=False)
    assert plain["kernel"] == pytest.approx(1 - 0.01)


def test_rho_reaches_rmsprop():
    # The first step divides by the root of (1 - rho) · gradient².
    after = step("rmsprop", 1.0, weight_decay=0, rho=0.75)
    assert after["kernel"] == pytest.approx(1 - 0.01 / np.sqrt(0.25), rel=1e-5)


# ---------------------------------------------------------------- schedules


def test_a_constant_rate_stays():
    assert rates({"name": "constant"}, 100, [0, 50, 1000]) == pytest.approx([0.1] * 3)


def test_inverse_time():
    at = [0, 1, 10, 1000]
    expected = [0.1 / (1 + 0.01 * step) for step in at]
    assert rates({"name": "inverse_time", "decay": 0.01}, 100, at) == pytest.approx(expected)


def test_cosine_after_a_warm_up():
    found = rates({"name": "cosine", "warmup": 0.1}, 1000, [0, 50, 100, 550, 1000])
    assert found == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-6)


def test_cosine_without_a_warm_up():
    found = rates({"name": "cosine", "warmup": 0}, 1000, [0, 500, 1000])
    assert found == pytest.approx([0.1, 0.05, 0], abs=1e-6)


def test_one_cycle():
    found = rates({"name": "one_cycle", "warmup": 0.2}, 999, [0, 99, 199, 599, 998])
    assert found == pytest.approx([0.0005, 0.05, 0.1, 0.05, 0.000125], rel=1e-4)


@given(
    name=st.sampled_from(["cosine", "one_cycle"]),
    warmup=st.floats(0, 1),
    steps=st.integers(1, 300),
)
@settings(max_examples=30)
def test_a_cycle_rises_then_falls_between_0_and_its_peak(name, warmup, steps):
    found = np.array(rates({"name": name, "warmup": warmup}, steps, range(0, steps, 7)))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 0.1 + 1e-6).all()
    top = found.argmax()
    assert (np.diff(found[: top + 1]) >= -1e-6).all()
    assert (np.diff(found[top:]) <= 1e-6).all()


# ---------------------------------------------------------------- a rate for each variable


@pytest.mark.parametrize("name", SETTINGS)
def test_a_scaled_variable_moves_as_with_a_smaller_learning_rate(name):
    """Weight decay included; the momentum of two steps too."""

    def two_steps(rate: float, scale: float) -> tuple[np.ndarray, float]:
        variables = [keras.Variable(np.ones(3), name=n) for n in ("kernel", "other")]
        scales = [(variables[0], scale)] if scale != 1 else []
        settings = optimizer(name, learning_rate=rate)
        built = build_optimizer(settings, Constant(name="constant"), 10, scales)
        built.build(variables)
        for _ in range(2):
            built.apply([keras.ops.full((3,), 0.3) for _ in variables], variables)
        assert int(built.iterations) == 2
        return np.array([variable.numpy() for variable in variables]), float(built.learning_rate)

    (scaled, plain), rate = two_steps(0.01, 0.25)
    (slower, _), _ = two_steps(0.0025, 1)
    (_, usual), _ = two_steps(0.01, 1)
    assert scaled == pytest.approx(slower, abs=1e-6)
    assert plain == pytest.approx(usual, abs=1e-6)
    assert np.abs(scaled - plain).min() > 1e-4
    assert rate == pytest.approx(0.01)
