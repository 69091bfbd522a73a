"""Measure how fast new images are made: `python -m benchmarks.balance`.

Makes 50,000 augmented images from the sample's faces with the strengths in params.yaml, with one
worker process and with one per core, and writes `benchmarks/balance.md`. The images must be the
same bytes; only the time may differ.
"""

import time
from pathlib import Path

import numpy as np
from joblib import cpu_count, parallel_config

from benchmarks.stages import describe_machine
from stages.dataset.face_augmentation import augmented_images
from stages.dataset.sample_faces import render_sample
from stages.parameters import load_parameters

COUNT = 50_000


def main() -> None:
    """Measure, compare the results, and write the table."""
    _, faces, _ = render_sample((1000, 100, 100), seed=0)
    row = np.arange(COUNT) % len(faces)
    copy = np.arange(COUNT) // len(faces)
    strengths = load_parameters("sample").balance.augmentation
    lines, results = [], []
    for workers in (1, cpu_count()):
        with parallel_config(n_jobs=workers):
            start = time.perf_counter()
            results.append(augmented_images(faces[row], row, copy, 0, strengths))
            lines.append(f"| {workers} | {time.perf_counter() - start:.1f} |")
    if not np.array_equal(*results):
        raise AssertionError("the images depend on the number of workers")
    Path(__file__).with_suffix(".md").write_text(
        f"# {COUNT:,} augmented images\n\nMade by `python -m benchmarks.balance`; the start of the"
        f" worker processes is part of the time.\n\nMachine: {describe_machine()}.\n\n"
        "| workers | wall time, s |\n|---:|---:|\n" + "\n".join(lines) + "\n"
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
