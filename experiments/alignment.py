"""Fit the regressions that align the crops of the detector `yunet` to FER-2013's.

    python -m experiments.alignment
    dvc --cd experiments repro alignment

Pastes a random sample of FER-2013's Training faces into larger scenes (experiments/scenes.py). The
centre, side and angle of each face are known there. Three ridge regressions correct the square that
is cropped: `proposal` from what YuNet detects in the scene, `small` and `large` from what it
detects in a crop of that square. Each face counts, and its mirror image. Faces far off the
regression (FER-2013 has pictures that are no faces) are left out of two further fits.

Writes the weights to `experiments/alignment.json`, and their errors on faces that were not fitted
to `experiments/alignment.md`. The recognizer reads a copy of the weights,
`recognizer/detectors/yunet_alignment.json`; a test compares both. The same seed gives the same
weights on the same kind of processor.
"""

import argparse
import json
from dataclasses import dataclass
from itertools import chain
from math import cos, degrees, exp, log, radians, sin
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, cpu_count, delayed
from sklearn.linear_model import Ridge

from experiments.scenes import paste
from recognizer.atomic_file import written_atomically
from recognizer.classifier import SIZE
from recognizer.detectors.base import Square
from recognizer.detectors.yunet import (
    LARGE,
    SMALL,
    CropSize,
    YuNetDetector,
    corrected,
    features,
    relative,
    row_square,
)
from stages.artifacts import Artifacts
from stages.dataset.faces import SPLITS, Faces
from stages.evaluation.markdown_table import markdown_table

RESULT = Path(__file__).with_suffix(".json")
DECIMALS = 5
SIZES = (40, 250)
"""In pixels; as many between 40 and 80 as between 80 and 160."""
MAX_ANGLE = 35
LIGHTINGS = ("even",) * 7 + ("dim", "bright", "side")
PARTS = 8
FITTED = 0.75
"""Share of the faces that are fitted; the errors are those of the others."""
RIDGE = 0.01
FAR_OFF = 4.0
"""In robust standard deviations, 1.4826 times the median of the absolute errors."""


@dataclass(frozen=True)
class Example:
    """A square, what YuNet detected there, and the square of FER-2013."""

    square: Square
    row: np.ndarray
    """float [15], relative to `square`."""
    true: Square
    number: int
    """Of the face in the dataset, and the seed of its scene."""


def scene_of(number: int, face: np.ndarray) -> tuple[np.ndarray, Square]:
    """A scene, uint8 [H, W, 3], with one face, and the square that it fills there."""
    rng = np.random.default_rng([number, 99])
    size = exp(rng.uniform(*map(log, SIZES)))
    turn = rng.uniform(-MAX_ANGLE, MAX_ANGLE)
    scene, (x, y) = paste(face, size, turn, str(rng.choice(LIGHTINGS)), rng)
    return scene, Square(x, y, size, -radians(turn))


def difference(square: Square, true: Square) -> np.ndarray:
    """The correction [4] that makes `square` the true one; see `corrected`."""
    x, y = (true.x - square.x) / square.side, (true.y - square.y) / square.side
    across, down = cos(square.angle), sin(square.angle)
    return np.array(
        [
            x * across + y * down,
            y * across - x * down,
            log(true.side / square.side),
            true.angle - square.angle,
        ]
    )


def row_on(rows: np.ndarray, true: Square) -> np.ndarray | None:
    """The most confident row whose box has its centre on the face."""
    x, y = (rows[:, :2] + rows[:, 2:4] / 2 - (true.x, true.y)).T
    hits = rows[np.hypot(x, y) < true.side / 3]
    return hits[hits[:, 14].argmax()] if len(hits) else None


def proposal_examples(numbers: np.ndarray, images: np.ndarray) -> list[Example]:
    """What YuNet detects in the scenes; faces that are not found are left out."""
    cv2.setNumThreads(1)
    detector, examples = YuNetDetector(), []
    for number, image in zip(numbers.tolist(), images, strict=True):
        scene, true = scene_of(number, image)
        for long_side in (detector.LONG_SIDE, detector.SECOND_LONG_SIDE):
            row = row_on(detector.scan(scene, long_side), true)
            if row is not None:
                square = row_square(row)
                examples.append(Example(square, relative(row, square), true, number))
                break
    return examples


def refinement_examples(
    examples: list[Example], faces: dict[int, np.ndarray], weights: np.ndarray, size: CropSize
) -> list[Example]:
    """What YuNet detects in the crops of the corrected squares."""
    cv2.setNumThreads(1)
    detector, refined = YuNetDetector(), []
    for one in examples:
        scene, _ = scene_of(one.number, faces[one.number])
        square = corrected(one.square, one.row, weights)
        refinement = detector.refine(scene, square, size)
        if refinement is not None:
            refined.append(Example(square, refinement.row, one.true, one.number))
    return refined


def mirrored(feature: np.ndarray) -> np.ndarray:
    """The features [N, 16] of the mirrored faces: eyes and corners of the mouth change places."""
    sides = [0, 1, 2, 3, 6, 7, 4, 5, 8, 9, 12, 13, 10, 11, 14, 15]
    sign = np.ones(16)
    sign[[0, 4, 6, 8, 10, 12]] = -1
    return feature[:, sides] * sign


def fit(examples: list[Example]) -> np.ndarray:
    """The weights [4, 16] for `corrected`."""
    inputs = np.array([features(one.row) for one in examples])
    changes = np.array([difference(one.square, one.true) for one in examples])
    inputs = np.vstack([inputs, mirrored(inputs)])
    changes = np.vstack([changes, changes * [-1, 1, 1, -1]])
    kept = np.ones(len(changes), bool)
    for _ in range(3):
        ridge = Ridge(alpha=RIDGE).fit(inputs[kept, :-1], changes[kept])
        errors = np.abs(changes - ridge.predict(inputs[:, :-1]))
        kept = (errors < FAR_OFF * 1.4826 * np.median(errors, axis=0)).all(axis=1)
    return np.column_stack([ridge.coef_, ridge.intercept_]).round(DECIMALS)


# ---------------------------------------------------------------- the page


def errors(squares: list[Square], true: list[Square]) -> list[str]:
    """Medians: pixels of the 48×48 face, percent of the side, degrees."""
    changes = np.array([difference(*pair) for pair in zip(squares, true, strict=True)])
    place = np.median(np.hypot(*changes[:, :2].T)) * SIZE
    side, angle = np.median(np.abs(changes[:, 2:]), axis=0)
    return [f"{place:.1f} px", f"{side:.1%}", f"{degrees(angle):.1f}°"]


def page(count: int, detections: dict[str, list[Example]], weights: dict[str, np.ndarray]) -> str:
    """The errors that are left, as Markdown."""
    rows = []
    for name, examples in detections.items():
        true = [one.true for one in examples]
        squares = [corrected(one.square, one.row, weights[name]) for one in examples]
        if name == "proposal":
            boxes = errors([one.square for one in examples], true)
            rows.append(["the box of YuNet", len(true), *boxes])
        rows.append([f"`{name}`", len(true), *errors(squares, true)])
    table = markdown_table(["after", "faces", "place", "side", "angle"], rows)
    return f"""# Alignment of the crops to FER-2013

Made by `python -m experiments.alignment --faces {count}`; the first lines of
`experiments/alignment.py` say how. Median errors of the square on Training faces that were not
fitted, {SIZES[0]} to {SIZES[1]} pixels large and turned by up to {MAX_ANGLE}°. The place is in
pixels of the 48×48 face. FER-2013 crops some faces tighter than others, and faces tilt by
themselves; no detector can know that part.

{table}
"""


# ---------------------------------------------------------------- the command


def sample(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and images of random Training faces."""
    faces = Faces.read(Artifacts("fer2013").data / "faces.npz")
    training = np.flatnonzero(faces.split == SPLITS.index("Training"))
    count = min(count, len(training))
    numbers = np.random.default_rng(0).choice(training, count, replace=False)
    return numbers, faces.images[numbers]


def main() -> None:
    """Fit on all cores and write weights and page."""
    parser = argparse.ArgumentParser(description="Fit the alignment of the detector yunet.")
    parser.add_argument("--faces", type=int, default=3000, help="of Training (default: 3000)")
    arguments = parser.parse_args()

    numbers, images = sample(arguments.faces)
    faces = dict(zip(numbers.tolist(), images, strict=True))
    parts = np.array_split(np.arange(len(numbers)), PARTS)
    run = Parallel(n_jobs=cpu_count())
    fitted = round(FITTED * PARTS)

    detections = {"proposal": run(delayed(proposal_examples)(numbers[k], images[k]) for k in parts)}
    weights = {"proposal": fit([*chain(*detections["proposal"][:fitted])])}
    for before, size in (("proposal", SMALL), ("small", LARGE)):
        detections[size.name] = run(
            delayed(refinement_examples)(part, faces, weights[before], size)
            for part in detections[before]
        )
        weights[size.name] = fit([*chain(*detections[size.name][:fitted])])

    with written_atomically(RESULT) as temporary:
        content = {name: rows.tolist() for name, rows in weights.items()}
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    with written_atomically(RESULT.with_suffix(".md")) as temporary:
        others = {name: [*chain(*parts[fitted:])] for name, parts in detections.items()}
        temporary.write_text(page(len(numbers), others, weights))


if __name__ == "__main__":
    main()
