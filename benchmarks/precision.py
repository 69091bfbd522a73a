"""Measure a training step in each precision: `python -m benchmarks.precision`.

Takes the same steps with the network of fer2013 and that of fer2013-small in params.yaml, in every
precision by turns, so that a machine that gets slower does so for all, and writes the medians to
`benchmarks/precision.md`.
"""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from tabulate import tabulate

from benchmarks.stages import describe_machine
from stages.dataset.faces import EMOTIONS
from stages.parameters import Train, load_parameters
from stages.training import losses, optimizers
from stages.training.trainer import build_for_training, make_repeatable

DATASETS = ("fer2013", "fer2013-small")
PRECISIONS = ("float32", "mixed_bfloat16", "fused_bfloat16")
ROUNDS, STEPS = 5, 6


def stepper(settings: Train, precision: str) -> Callable[[], None]:
    """What takes one step at the size that is trained last, on noise."""
    keras.utils.set_random_seed(0)
    size, batch = settings.resolutions[-1].size, settings.batch_size
    network = build_for_training(precision, settings.network, size, len(EMOTIONS))
    network.compile(
        optimizers.build_optimizer(settings.optimizer, settings.schedule, 1000),
        losses.build_loss(settings.loss, np.ones(len(EMOTIONS))),
    )
    rng = np.random.default_rng(0)
    faces = rng.uniform(0, 255, (batch, size, size, 1)).astype(np.float32)
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[rng.integers(len(EMOTIONS), size=batch)]
    return lambda: network.train_on_batch(faces, targets)


def milliseconds(steps: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median time of a step in each precision."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # the first one builds the graph
    for _ in range(ROUNDS):
        for name, step in steps.items():
            for _ in range(STEPS):
                start = time.perf_counter()
                step()
                taken[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(times)) for name, times in taken.items()}


def main() -> None:
    """Measure and write the table."""
    make_repeatable()
    rows = []
    for dataset in DATASETS:
        settings = load_parameters(dataset).train
        taken = milliseconds({name: stepper(settings, name) for name in PRECISIONS})
        for name, time_ in taken.items():
            ratio = time_ / taken["mixed_bfloat16"]
            rows.append([dataset, name, f"{time_:.0f}", f"{ratio:.2f}"])
    table = tabulate(
        rows,
        headers=["network of", "precision", "ms a step", "of mixed_bfloat16"],
        tablefmt="github",
        disable_numparse=True,
    )
    Path(__file__).with_suffix(".md").write_text(
        "# A training step in each precision\n\nMade by `python -m benchmarks.precision`: the"
        f" median of {ROUNDS * STEPS} steps, taken by turns, at the size and batch of the last"
        " epoch."
        f"\n\nMachine: {describe_machine()}.\n\n{table}\n"
    )
    print(table)


if __name__ == "__main__":
    main()
