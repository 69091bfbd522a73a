"""Fit where FER-2013 would cut out a face that the detector `yunet` sees.

    python -m benchmarks.framing
    python -m benchmarks.framing --faces 900 --yunet ../elsewhere/face_detection_yunet.onnx

Pastes a random sample of FER-2013's Training faces into larger scenes (benchmarks/scenes.py), where
the centre, side and angle of each face are known. Two ridge regressions correct the square that a
face is cut out by: one by what the detector sees in the scene, one by what it sees when it looks
closely at that square, turned upright. A face and its mirror image both count, so that no side is
preferred. Some faces are hardly ones, or none: those far off are left out, and the rest is fitted
again.

Writes the weights to `recognizer/yunet_framing.json`, which the detector reads, and the errors that
remain on faces that were not fitted to `benchmarks/framing.md`. The same seed gives the same
weights.
"""

import argparse
import json
from dataclasses import dataclass, replace
from itertools import chain
from math import cos, degrees, exp, log, radians, sin
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, cpu_count, delayed
from sklearn.linear_model import Ridge

from benchmarks.detection import TRAINING, sample
from benchmarks.scenes import paste
from recognizer import detector_file
from recognizer.detectors.base import Square
from recognizer.detectors.yunet import (
    FRAMING,
    YuNetDetector,
    box_square,
    corrected,
    features,
    relative,
)
from recognizer.framing import SIZE
from stages.artifacts import written_atomically

RESULT = Path(__file__).with_suffix(".md")
DECIMALS = 5
SIZES = (40, 250)
"""In pixels; as many between 40 and 80 as between 80 and 160."""
MAX_ANGLE = 35
LIGHTINGS = ("even",) * 7 + ("dim", "bright", "side")
PARTS = 8
FITTED = 0.75
"""The share of the faces that are fitted; the errors are those of the others."""
RIDGE = 0.01
FAR_OFF = 4.0
"""In robust standard deviations, 1.4826 times the median of the absolute errors."""


def scene_of(number: int, face: np.ndarray) -> tuple[np.ndarray, Square]:
    """A scene with one face, and the square that it fills there; the number is the seed."""
    rng = np.random.default_rng([number, 99])
    size = exp(rng.uniform(*map(log, SIZES)))
    turn = rng.uniform(-MAX_ANGLE, MAX_ANGLE)
    scene, (x, y) = paste(face, size, turn, str(rng.choice(LIGHTINGS)), rng)
    return scene, Square(x, y, size, -radians(turn))


def way(square: Square, true: Square) -> np.ndarray:
    """The change [4] that `corrected` would need to make one square the other."""
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
    """The most confident row whose box has its middle on the face."""
    x, y = (rows[:, :2] + rows[:, 2:4] / 2 - (true.x, true.y)).T
    hits = rows[np.hypot(x, y) < true.side / 3]
    return hits[hits[:, 14].argmax()] if len(hits) else None


@dataclass(frozen=True)
class Example:
    """A square that was looked at, and the relative row that was seen there."""

    number: int
    image: np.ndarray
    square: Square
    row: np.ndarray
    true: Square


def first_looks(numbers: np.ndarray, images: np.ndarray, yunet: Path) -> list[Example]:
    """At the scenes; faces that are not found are left out."""
    cv2.setNumThreads(1)
    detector, examples = YuNetDetector(yunet), []
    for number, image in zip(numbers.tolist(), images, strict=True):
        scene, true = scene_of(number, image)
        row = row_on(detector.look(scene), true)
        if row is not None:
            square = box_square(row)
            examples.append(Example(number, image, square, relative(row, square), true))
    return examples


def close_looks(examples: list[Example], weights: np.ndarray, yunet: Path) -> list[Example]:
    """At the squares that these weights correct."""
    cv2.setNumThreads(1)
    detector, seen = YuNetDetector(yunet), []
    for one in examples:
        scene, _ = scene_of(one.number, one.image)
        square = corrected(one.square, one.row, weights)
        row = detector.look_closely(scene, square)
        if row is not None:
            seen.append(replace(one, square=square, row=row))
    return seen


def mirrored(feature: np.ndarray) -> np.ndarray:
    """The features [N, 16] of the mirrored faces: eyes and corners of the mouth change places."""
    sides = [0, 1, 2, 3, 6, 7, 4, 5, 8, 9, 12, 13, 10, 11, 14, 15]
    sign = np.ones(16)
    sign[[0, 4, 6, 8, 10, 12]] = -1
    return feature[:, sides] * sign


def fit(examples: list[Example]) -> np.ndarray:
    """The weights [4, 16] that `corrected` takes."""
    seen = np.array([features(one.row) for one in examples])
    ways = np.array([way(one.square, one.true) for one in examples])
    seen = np.vstack([seen, mirrored(seen)])
    ways = np.vstack([ways, ways * [-1, 1, 1, -1]])
    kept = np.ones(len(ways), bool)
    for _ in range(3):
        ridge = Ridge(alpha=RIDGE).fit(seen[kept, :-1], ways[kept])
        errors = np.abs(ways - ridge.predict(seen[:, :-1]))
        kept = (errors < FAR_OFF * 1.4826 * np.median(errors, axis=0)).all(axis=1)
    return np.column_stack([ridge.coef_, ridge.intercept_]).round(DECIMALS)


# ---------------------------------------------------------------- the page


def errors(squares: list[Square], true: list[Square]) -> str:
    """Medians: pixels of the 48×48 face, percent of the side, degrees."""
    ways = np.array([way(*pair) for pair in zip(squares, true, strict=True)])
    place = np.median(np.hypot(*ways[:, :2].T)) * SIZE
    side, angle = np.median(np.abs(ways[:, 2:]), axis=0)
    return f"{place:.1f} px | {side:.1%} | {degrees(angle):.1f}°"


def page(count: int, looks: list[list[Example]], weights: dict) -> str:
    """What is left of the errors, as Markdown."""
    lines = [("the box", [one.square for one in looks[0]], looks[0])]
    for k, examples in enumerate(looks):
        name, by = ("the first look", "first") if k == 0 else (f"close look {k}", "close")
        squares = [corrected(one.square, one.row, weights[by]) for one in examples]
        lines.append((name, squares, examples))
    table = "\n".join(
        f"| {name} | {len(squares)} | {errors(squares, [one.true for one in examples])} |"
        for name, squares, examples in lines
    )
    return f"""# Where FER-2013 would cut out a face

Made by `python -m benchmarks.framing --faces {count}`; the first lines of `benchmarks/framing.py`
say how. Errors of the square on faces of Training that were not fitted, {SIZES[0]} … {SIZES[1]}
pixels large and turned by up to {MAX_ANGLE}°. Place in pixels of the 48×48 face. FER-2013 cuts out
its own faces more and less tightly, and they tilt by themselves: no detector can see that.

| after | faces | place | side | angle |
|---|---:|---:|---:|---:|
{table}
"""


# ---------------------------------------------------------------- the command


def main() -> None:
    """Fit on all cores and write the weights."""
    parser = argparse.ArgumentParser(
        description="Fit where FER-2013 would cut out a face that the detector yunet sees."
    )
    parser.add_argument("--faces", type=int, default=900, help="of Training (default: 900)")
    parser.add_argument("--yunet", type=Path, default=detector_file.PATH)
    arguments = parser.parse_args()

    numbers, images, _ = sample(TRAINING, arguments.faces)
    parts = np.array_split(np.arange(len(numbers)), PARTS)
    run = Parallel(n_jobs=cpu_count())
    fitted = round(FITTED * PARTS)

    looks = [run(delayed(first_looks)(numbers[k], images[k], arguments.yunet) for k in parts)]
    weights = {"first": fit([*chain(*looks[0][:fitted])])}
    for by in ("first", *["close"] * (YuNetDetector.CLOSE_LOOKS - 1)):
        calls = [delayed(close_looks)(part, weights[by], arguments.yunet) for part in looks[-1]]
        looks.append(run(calls))
        if by == "first":
            weights["close"] = fit([*chain(*looks[-1][:fitted])])

    with written_atomically(FRAMING) as temporary:
        content = {look: rows.tolist() for look, rows in weights.items()}
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    with written_atomically(RESULT) as temporary:
        others = [[*chain(*look[fitted:])] for look in looks]
        temporary.write_text(page(len(numbers), others, weights))


if __name__ == "__main__":
    main()
