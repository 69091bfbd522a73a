"""Measure a training step in each precision: `python -m benchmarks.precision`.

Trains the networks of fer2013 and fer2013-small on noise, in all precisions
alternately, so that other work on the machine slows all of them down. Writes the median times to
`benchmarks/precision.md`. The result depends on the processor: float32 may be the fastest one on a
processor without bfloat16 instructions.
"""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from benchmarks.provenance import here, opening
from recognizer.atomic_file import written_atomically
from stages.dataset.fer2013 import EMOTIONS
from stages.evaluation.markdown_table import markdown_table
from stages.parameters import Train, load_parameters
from stages.training import losses, optimizers
from stages.training.trainer import build_for_training, make_repeatable

PAGE = Path(__file__).with_suffix(".md")
DATASETS = ("fer2013", "fer2013-small")
PRECISIONS = ("float32", "mixed_bfloat16", "fused_bfloat16")
ROUNDS, STEPS = 5, 6
Step = Callable[[], None]


def build_step(settings: Train, precision: str) -> Step:
    """Build a training step on one batch of noise, with the resolution of the last epoch."""
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


def milliseconds(steps: dict[str, Step]) -> dict[str, float]:
    """Median time of a step in each precision."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # The first step compiles the graph.
    for _ in range(ROUNDS):
        for name, step in steps.items():
            for _ in range(STEPS):
                start = time.perf_counter()
                step()
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    """Measure and write the page."""
    make_repeatable()
    rows = []
    for dataset in DATASETS:
        settings = load_parameters(dataset).train
        times = milliseconds({name: build_step(settings, name) for name in PRECISIONS})
        for name, median in times.items():
            ratio = median / times["mixed_bfloat16"]
            rows.append([dataset, name, f"{median:.0f}", f"{ratio:.2f}"])
    headers = ["network of", "precision", "ms a step", "relative to mixed_bfloat16"]
    parts = [
        opening("Training step in each precision", [(name, here(name)) for name in DATASETS]),
        f"Made by `python -m benchmarks.precision`: the median of {ROUNDS * STEPS} steps with the"
        " batch size and the resolution of the last epoch.",
        markdown_table(headers, rows, text_columns=2),
    ]
    with written_atomically(PAGE) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
