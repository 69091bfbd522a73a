"""Optimizers and learning-rate schedules, by name."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from stages import parameters


def build_optimizer(
    optimizer: parameters.Optimizer,
    schedule: parameters.Schedule,
    steps: int,
    scales: Sequence[tuple[Any, float]] = (),
) -> keras.optimizers.Optimizer:
    """Build a Keras optimizer whose rate follows the schedule over `steps` steps.

    Weight decay is decoupled (Loshchilov & Hutter 2019): each step subtracts
    learning_rate · weight_decay · weight. Biases and batch normalisation are
    excluded. The coupled decay d of PyTorch's SGD with momentum 0.9 corresponds
    to about 10 · d here.

    Parameters
    ----------
    optimizer : parameters.Optimizer
    schedule : parameters.Schedule
    steps : int
    scales : sequence of (keras.Variable, float)
        Variables whose learning rate is a multiple of the schedule's, with the factor. Their
        weight decay has the same factor.
    """
    settings = optimizer.model_dump(exclude={"name", "learning_rate"})
    learning_rate = _learning_rate(schedule, optimizer.learning_rate, steps)
    kind = _OPTIMIZERS[optimizer.name]
    if scales:
        kind = type(kind.__name__, (_DiscriminativeRates, kind), {})
    built = kind(learning_rate=learning_rate, **settings)
    if scales:
        built.set_scales(scales)
    built.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return built


_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adamax": keras.optimizers.Adamax,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
}


class _DiscriminativeRates(keras.optimizers.Optimizer):
    """Base of an optimizer that updates variables in groups, each with its own learning rate.

    Keras 3.15 has one learning rate per optimizer (keras-team/keras#21741).
    """

    _scale = 1.0
    """Of the group that is updated."""

    def set_scales(self, scales: Sequence[tuple[Any, float]]) -> None:
        self._scale_of = {self._var_key(variable): scale for variable, scale in scales}

    @property
    def learning_rate(self) -> Any:
        rate = super().learning_rate
        return rate if self._scale == 1.0 else rate * self._scale

    def _backend_apply_gradients(self, grads: Sequence[Any], trainable_variables: Any) -> None:
        groups: dict[float, list[tuple[Any, Any]]] = {}
        for pair in zip(grads, trainable_variables, strict=True):
            scale = self._scale_of.get(self._var_key(pair[1]), 1.0)
            groups.setdefault(scale, []).append(pair)
        for scale, pairs in groups.items():
            self._scale = scale
            super()._backend_apply_gradients(*map(list, zip(*pairs, strict=True)))
        self._scale = 1.0


def _learning_rate(schedule: parameters.Schedule, peak: float, steps: int) -> Any:
    """A constant rate, or a Keras schedule from step to rate."""
    schedules = keras.optimizers.schedules
    match schedule:
        case parameters.Constant():
            return peak
        case parameters.InverseTime():
            return schedules.InverseTimeDecay(peak, decay_steps=1, decay_rate=schedule.decay)
        case parameters.Cosine():
            warmup = round(schedule.warmup * steps)
            return schedules.CosineDecay(
                initial_learning_rate=0.0 if warmup else peak,
                decay_steps=max(1, steps - warmup),
                warmup_target=peak if warmup else None,
                warmup_steps=warmup,
            )
        case parameters.OneCycle():
            return OneCycle(peak, schedule.warmup, steps)


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 to `peak` over the first `warmup` share of `steps`, then linear to 0."""

    def __init__(self, peak: float, warmup: float, steps: int):
        self.peak, self.warmup, self.steps = peak, warmup, steps

    def __call__(self, step: Any) -> Any:
        done = ops.cast(step + 1, "float32") / (self.steps + 1)
        rise = done / max(self.warmup, 1e-9)
        fall = (1 - done) / max(1 - self.warmup, 1e-9)
        return self.peak * ops.clip(ops.minimum(rise, fall), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}
