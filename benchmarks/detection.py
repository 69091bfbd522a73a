"""Measure how much of the accuracy survives detecting, aligning and cropping.

    python -m benchmarks.detection
    python -m benchmarks.detection --faces 600 --yunet ../elsewhere/face_detection_yunet.onnx

Pastes a random sample of FER-2013's PublicTest faces into larger scenes (benchmarks/scenes.py) at
several sizes, rotations and lightings, finds them again with each detector, cuts them out with and
without alignment, and classifies them with the model that is served. PrivateTest is not touched.
One condition, 96 pixels and 20°, is measured on more faces than the others.
Writes `benchmarks/detection.csv`, one row for each condition and way, and from it the page
`benchmarks/detection.md`. The same seed gives the same figures.

A face is found if the centre of a box is nearer to its own than a third of its side; the most
confident such box is taken. Every other box is a false one. A face that is not found counts as
classified wrongly. Beside the detectors stands what is lost when the centre, side and angle of each
face are known.
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import product
from math import degrees, hypot, radians
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from benchmarks.scenes import HEIGHT, WIDTH, paste
from recognizer import detector_file
from recognizer.classifier import Classifier
from recognizer.detectors.yunet import YuNetDetector
from recognizer.faces import SIZE, Box, Detector, Face, Square, WholeImage, build_detector
from recognizer.recognizer import Recognizer
from stages.artifacts import Artifacts, written_atomically

FER2013 = Artifacts("fer2013")
TRAINING, PUBLIC_TEST = 0, 1
FRAMED_FACES = 300
FACES_OF_SETTINGS = 80
FACES_PER_TASK = 10
RESULT = Path(__file__)

LIGHTINGS = ("dim", "bright", "side")
CONDITIONS = (
    *product((48, 96, 192), (0, 10, 20), ("even",)),
    *product((96,), (0, 20), LIGHTINGS),
)
"""Size in pixels, rotation in degrees (to the left for every other face), lighting."""

GOAL = (96, 20, "even")

KNOWN = "known"
"""In place of a detector: the face's true centre, side and angle."""

WAYS = (
    ("haar", False, "none"),
    ("haar", True, "none"),
    ("yunet", False, "none"),
    ("yunet", True, "none"),
    ("yunet", True, "contrast"),
    ("yunet", True, "denoise"),
    (KNOWN, True, "none"),
)
"""Detector, alignment, enhancement."""


@dataclass(frozen=True)
class Row:
    """One line of the CSV file: one condition, one way, over all faces."""

    size: int
    rotation: int
    lighting: str
    detector: str
    align: bool
    enhance: str
    faces: int
    recall: float
    false_per_scene: float
    with_eyes: float
    """Of the faces found, those with eyes."""
    accuracy_raw: float
    """Of all faces, as they stand in FER-2013."""
    accuracy: float
    """Of all faces; one that is not found counts as wrong."""
    lost_error: float
    """Standard error of the difference between the two."""
    accuracy_raw_of_found: float
    accuracy_of_found: float
    lost_of_found_error: float


@dataclass(frozen=True)
class Outcome:
    """One face in one scene, by one way."""

    found: bool
    false: int
    eyes: bool
    right: bool


def hit(faces: list[Face], centre: tuple[float, float], size: int) -> tuple[Face | None, int]:
    """The most confident box on the pasted face, and the number of all others."""
    hits = [
        face
        for face in faces
        if hypot(
            face.box.x + face.box.width / 2 - centre[0],
            face.box.y + face.box.height / 2 - centre[1],
        )
        < size / 3
    ]
    best = max(hits, key=lambda face: face.confidence, default=None)
    return best, len(faces) - (best is not None)


def look(
    numbers: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    conditions: tuple,
    model: Path,
    yunet: Path,
) -> list[list[list[Outcome]]]:
    """Try some faces (their numbers in the split are the seeds) in some conditions and all ways.

    Returns
    -------
    outcomes by face, by condition, by way
    """
    cv2.setNumThreads(1)
    classifier = Classifier(model)
    detectors = {name: build_detector(name, yunet) for name in ("haar", "yunet")}
    recognizers = [
        Recognizer(classifier, detectors.get(name, WholeImage()), aligned, enhance)
        for name, aligned, enhance in WAYS
    ]

    def outcomes(number: int, image: np.ndarray, label: int) -> Iterator[list[Outcome]]:
        for size, rotation, lighting in conditions:
            turn = rotation if number % 2 else -rotation
            seed = [number, CONDITIONS.index((size, rotation, lighting))]
            scene, centre = paste(image, size, turn, lighting, np.random.default_rng(seed))
            hits = {
                name: hit(detector.detect(scene), centre, size)
                for name, detector in detectors.items()
            }
            known = Square(*centre, size, -radians(turn))
            hits[KNOWN] = Face(Box(0, 0, WIDTH, HEIGHT), 1.0, square=known), 0
            yield [
                outcome(recognizer, scene, *hits[name], classifier.labels[label])
                for recognizer, (name, _, _) in zip(recognizers, WAYS, strict=True)
            ]

    return [list(outcomes(*face)) for face in zip(numbers, images, labels, strict=True)]


def outcome(
    recognizer: Recognizer, scene: np.ndarray, face: Face | None, false: int, emotion: str
) -> Outcome:
    if face is None:
        return Outcome(found=False, false=false, eyes=False, right=False)
    (answer,) = recognizer.classify(scene, [face])
    return Outcome(True, false, face.eyes is not None, answer.emotion == emotion)


def summarize(outcomes: list[list[list[Outcome]]], conditions: tuple, raw: np.ndarray) -> list[Row]:
    """Average over the faces; `raw` [N] says which are right as they stand in FER-2013."""
    rows = []
    for c, condition in enumerate(conditions):
        for w, way in enumerate(WAYS):
            of_faces = [face[c][w] for face in outcomes]
            found = np.array([one.found for one in of_faces])
            right = np.array([one.right for one in of_faces])
            eyes = np.array([one.eyes for one in of_faces])
            lost = raw.astype(int) - right
            figures = (
                found.mean(),
                np.mean([one.false for one in of_faces]),
                mean(eyes[found]),
                raw.mean(),
                right.mean(),
                standard_error(lost),
                mean(raw[found]),
                mean(right[found]),
                standard_error(lost[found]),
            )
            rows.append(Row(*condition, *way, len(found), *(round(float(f), 4) for f in figures)))
    return rows


def mean(values: np.ndarray) -> float:
    """NaN of nothing."""
    return values.mean() if len(values) else np.nan


def standard_error(values: np.ndarray) -> float:
    """Of their mean; NaN of nothing."""
    return values.std() / len(values) ** 0.5 if len(values) else np.nan


# ---------------------------------------------------------------- how FER-2013 frames a face


@dataclass(frozen=True)
class Framing:
    """Medians over upright Training faces, in pixels of the 48×48 face."""

    detector: str
    faces: int
    longer_side: float
    eye_left: float
    eye_right: float
    eye_line: float


def measure_framing(name: str, numbers: np.ndarray, images: np.ndarray, yunet: Path) -> Framing:
    """Find upright faces, 96 pixels large, and measure where their boxes and eyes lie."""
    cv2.setNumThreads(1)
    detector: Detector = build_detector(name, yunet)
    size, sides, eyes = 96, [], []
    for number, image in zip(numbers, images, strict=True):
        scene, centre = paste(image, size, 0, "even", np.random.default_rng(number))
        face, _ = hit(detector.detect(scene), centre, size)
        if face:
            sides.append(max(face.box.width, face.box.height))
        if face and face.eyes:
            eyes.append(np.array(face.eyes) - centre + size / 2)
    scale = SIZE / size
    left, right = np.median(eyes, axis=0)[:, 0] * scale
    line = np.median(np.mean(eyes, axis=1)[:, 1]) * scale
    return Framing(
        name,
        len(sides),
        round(float(np.median(sides)) * scale, 2),
        *(round(float(value), 2) for value in (left, right, line)),
    )


# ---------------------------------------------------------------- why yunet's settings are so

SETTINGS = (
    {},
    {"MIN_CONFIDENCE": 0.3},
    {"MIN_CONFIDENCE": 0.5},
    {"SURE_CONFIDENCE": 0.4},
    {"SURE_CONFIDENCE": 0.6},
    {"CLOSE_LOOKS": 1},
    {"ENLARGEMENT": 1.0},
    {"ENLARGEMENT": 2.6},
    {"LEVELS": (1.0,)},
)
"""What is changed of `YuNetDetector`."""


@dataclass(frozen=True)
class Change:
    """What `yunet` finds of faces turned by 20° when one of its settings is another."""

    change: str
    recall: dict[int, float]
    """By size of the face in pixels."""
    false_per_scene: float
    angle: float
    """Median of the error, in degrees."""


def try_setting(setting: dict, numbers: np.ndarray, images: np.ndarray, yunet: Path) -> Change:
    """Find faces of 96 and 192 pixels turned by 20°."""
    cv2.setNumThreads(1)
    detector: Detector = type("Changed", (YuNetDetector,), setting)(yunet)
    found, false, errors = {96: [], 192: []}, [], []
    for size, of_size in found.items():
        for number, image in zip(numbers, images, strict=True):
            scene, centre = paste(image, size, -20, "even", np.random.default_rng([number, size]))
            face, others = hit(detector.detect(scene), centre, size)
            of_size.append(face is not None)
            false.append(others)
            if face:
                errors.append(abs(degrees(face.square.angle) - 20))
    return Change(
        ", ".join(f"{name} {value}" for name, value in setting.items()) or "as it is",
        {size: float(np.mean(of_size)) for size, of_size in found.items()},
        float(np.mean(false)),
        float(np.median(errors)),
    )


# ---------------------------------------------------------------- the page


def page(
    rows: list[Row], framings: list[Framing], changes: list[Change], model_version: str
) -> str:
    """The results as Markdown."""
    of_goal = {way_of(row): row for row in rows if condition_of(row) == GOAL}
    plain, aligned, known = (of_goal[WAYS[k]] for k in (2, 3, 6))
    others = next(row for row in rows if condition_of(row) != GOAL)
    return f"""# What is left of the accuracy after detection

Made by `python -m benchmarks.detection --faces {others.faces} --goal-faces {aligned.faces}`;
the first lines of `benchmarks/detection.py` say how. The faces are of FER-2013's PublicTest. The
model has the version `{model_version[:12]}`.

## Faces of 96 pixels turned by 20°

The model is right on {aligned.accuracy_raw:.1%} of these {aligned.faces} faces as they stand in
FER-2013, and yunet finds {aligned.recall:.1%} of them. Points of accuracy that are lost:

| | of all faces | of those found |
|---|---:|---:|
| yunet, aligned | {lost(aligned)} | {lost_of_found(aligned)} |
| yunet, not aligned | {lost(plain)} | {lost_of_found(plain)} |
| centre, side and angle of each face known | {lost(known)} | – |

A face that is not found counts as wrong among all faces. The standard error is that of the
difference between the same faces' two answers.

## Found

{others.faces} faces here and below, but {aligned.faces} of 96 px, 20°, even.

| face | haar | yunet | eyes by haar | eyes by yunet | false by haar | false by yunet |
|---|---:|---:|---:|---:|---:|---:|
{table(rows, WAYS[1:4:2], recall, with_eyes, false_per_scene)}

Eyes: of the faces found, those whose eyes are found, too. False: boxes per scene that are not on
the face.

## Points of accuracy lost, all faces

| face | haar | haar, aligned | yunet | yunet, aligned | known |
|---|---:|---:|---:|---:|---:|
{table(rows, (*WAYS[:4], WAYS[6]), lost)}

## Points of accuracy lost, of the faces found

| face | haar | haar, aligned | yunet | yunet, aligned |
|---|---:|---:|---:|---:|
{table(rows, WAYS[:4], lost_of_found)}

## Enhancements, points of accuracy lost, of the faces found by yunet and aligned

| face | none | contrast | denoise |
|---|---:|---:|---:|
{table(rows, WAYS[3:6], lost_of_found)}

## How FER-2013 frames a face

Upright Training faces; medians in pixels of the 48×48 face. The longer side is that of the box.
Aligned, yunet frames a face by a regression instead: see [framing.md](framing.md).

| detector | faces | longer side | 48 / side | left eye, x | right eye, x | eyes, y | y / 48 |
|---|---:|---:|---:|---:|---:|---:|---:|
{framing_table(framings)}

## Settings of yunet

{FACES_OF_SETTINGS} faces of Training, turned by 20°, 96 and 192 pixels large. The error of the
angle is a median; faces tilt by themselves, too.

| setting | found, 96 px | found, 192 px | false | error of the angle |
|---|---:|---:|---:|---:|
{settings_table(changes)}
"""


def condition_of(row: Row) -> tuple[int, int, str]:
    return row.size, row.rotation, row.lighting


def way_of(row: Row) -> tuple[str, bool, str]:
    return row.detector, row.align, row.enhance


def recall(row: Row) -> str:
    return f"{row.recall:.1%}"


def with_eyes(row: Row) -> str:
    return f"{row.with_eyes:.1%}"


def false_per_scene(row: Row) -> str:
    return f"{row.false_per_scene:.2f}"


def lost(row: Row) -> str:
    """Points of accuracy, and their standard error."""
    return f"{100 * (row.accuracy_raw - row.accuracy):.1f} ± {100 * row.lost_error:.1f}"


def lost_of_found(row: Row) -> str:
    points = 100 * (row.accuracy_raw_of_found - row.accuracy_of_found)
    return f"{points:.1f} ± {100 * row.lost_of_found_error:.1f}"


def table(rows: list[Row], ways: tuple, *columns: Callable[[Row], str]) -> str:
    """One line for each condition; for each column, one cell for each way."""
    lines = []
    for size, rotation, lighting in CONDITIONS:
        of_condition = {
            way_of(row): row for row in rows if condition_of(row) == (size, rotation, lighting)
        }
        cells = [column(of_condition[way]) for column in columns for way in ways]
        lines.append(f"| {size} px, {rotation}°, {lighting} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def framing_table(framings: list[Framing]) -> str:
    return "\n".join(
        f"| {one.detector} | {one.faces} | {one.longer_side:.1f} | {SIZE / one.longer_side:.3f}"
        f" | {one.eye_left:.1f} | {one.eye_right:.1f} | {one.eye_line:.1f}"
        f" | {one.eye_line / SIZE:.3f} |"
        for one in framings
    )


def settings_table(changes: list[Change]) -> str:
    return "\n".join(
        f"| {one.change} | {one.recall[96]:.1%} | {one.recall[192]:.1%}"
        f" | {one.false_per_scene:.2f} | {one.angle:.1f}° |"
        for one in changes
    )


# ---------------------------------------------------------------- the command


def sample(split: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers in the split, images and labels of some of its faces, always the same ones."""
    with np.load(FER2013.data / "faces.npz") as faces:
        of_split = np.flatnonzero(faces["split"] == split)
        count = min(count, len(of_split))
        numbers = np.random.default_rng(0).choice(len(of_split), count, replace=False)
        chosen = of_split[numbers]
        return numbers, faces["images"][chosen], faces["labels"][chosen]


def main() -> None:
    """Measure on all cores and write the results."""
    parser = argparse.ArgumentParser(
        description="Measure how much of the accuracy survives detecting, aligning and cropping."
    )
    parser.add_argument("--faces", type=int, default=150, help="of PublicTest (default: 150)")
    parser.add_argument(
        "--goal-faces", type=int, default=600, help="of 96 pixels, turned by 20° (default: 600)"
    )
    parser.add_argument("--model", type=Path, default=FER2013.models / "model.onnx")
    parser.add_argument("--yunet", type=Path, default=detector_file.PATH)
    arguments = parser.parse_args()

    numbers, images, labels = sample(PUBLIC_TEST, max(arguments.faces, arguments.goal_faces))
    classifier = Classifier(arguments.model)
    right = classifier.predict(images).argmax(axis=1) == labels
    rows = []
    for count, conditions in (
        (arguments.goal_faces, (GOAL,)),
        (arguments.faces, tuple(one for one in CONDITIONS if one != GOAL)),
    ):
        tried = np.arange(len(numbers))[:count]
        chunks = np.array_split(tried, max(1, len(tried) // FACES_PER_TASK))
        tasks = (
            delayed(look)(
                numbers[k], images[k], labels[k], conditions, arguments.model, arguments.yunet
            )
            for k in chunks
        )
        run = Parallel(n_jobs=cpu_count(), return_as="generator")
        outcomes = [face for chunk in tqdm(run(tasks), total=len(chunks)) for face in chunk]
        rows += summarize(outcomes, conditions, right[:count])

    numbers, images, _ = sample(TRAINING, FRAMED_FACES)
    framings = Parallel(n_jobs=cpu_count())(
        delayed(measure_framing)(name, numbers, images, arguments.yunet)
        for name in ("haar", "yunet")
    )
    few = slice(FACES_OF_SETTINGS)
    changes = Parallel(n_jobs=cpu_count())(
        delayed(try_setting)(setting, numbers[few], images[few], arguments.yunet)
        for setting in SETTINGS
    )
    with written_atomically(RESULT.with_suffix(".csv")) as temporary:
        write_rows(temporary, rows)
    with written_atomically(RESULT.with_suffix(".md")) as temporary:
        temporary.write_text(page(rows, framings, changes, classifier.version))


def write_rows(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
