"""Optimizers and learning-rate schedules, by name."""

import keras
from keras import ops

from stages import parameters


def build_optimizer(
    optimizer: parameters.Optimizer, schedule: parameters.Schedule, steps: int
) -> keras.optimizers.Optimizer:
    """Build a Keras optimizer whose rate follows the schedule over `steps` steps.

    Weight decay is decoupled (Loshchilov & Hutter 2019): each step takes
    learning_rate · weight_decay of a weight away. It leaves biases and batch
    normalisation alone. A PyTorch SGD with momentum 0.9 and its coupled decay d
    corresponds to about 10 · d here.
    """
    settings = optimizer.model_dump(exclude={"name", "learning_rate"})
    learning_rate = _learning_rate(schedule, optimizer.learning_rate, steps)
    built = _OPTIMIZERS[optimizer.name](learning_rate=learning_rate, **settings)
    built.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return built


_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adamax": keras.optimizers.Adamax,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
}


def _learning_rate(schedule: parameters.Schedule, peak: float, steps: int):
    """A rate, or a Keras schedule from step to rate; `plateau` is steered between epochs."""
    schedules = keras.optimizers.schedules
    match schedule:
        case parameters.Constant() | parameters.Plateau():
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

    def __call__(self, step):
        done = ops.cast(step + 1, "float32") / (self.steps + 1)
        rise = done / max(self.warmup, 1e-9)
        fall = (1 - done) / max(1 - self.warmup, 1e-9)
        return self.peak * ops.clip(ops.minimum(rise, fall), 0.0, 1.0)

    def get_config(self):
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}
