"""Measure how much of the accuracy is left from photo to answer, and what detection costs.

    python -m benchmarks.detection
    python -m benchmarks.detection --other-faces 150 --photos DIR

Accuracy: pastes FER-2013's PublicTest faces into larger scenes (experiments/scenes.py) of several
sizes, rotations and lightings, finds them again, crops them with and without alignment, and
classifies them with the served model. PrivateTest is not opened. A face is found if the centre of a
box is nearer to its own than a third of its side; the most confident such box is taken. Every other
box is a false one. A face that is not found counts as classified wrongly. Beside the detector is
what is lost when centre, side and angle of each face are known.

Photos: `DIR/faces.csv` has the boxes (photo, x, y, width, height) of the faces in the photos beside
it. A box that overlaps a face by IoU >= 0.4 has found it.

Cost: CPU time on one thread from the bytes of a JPEG to the probabilities, over the CPU time of one
plain `cv2.FaceDetectorYN.detect` of the same picture at 640 pixels, alternating in one process.

Writes `benchmarks/detection.csv`, one row for each condition and way, and the page
`benchmarks/detection.md`. The same seed gives the same scenes.
"""

import argparse
import csv
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import product
from math import degrees, hypot, radians
from pathlib import Path
from statistics import median
from time import process_time

import cv2
import numpy as np
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from experiments.scenes import HEIGHT, WIDTH, paste
from recognizer.atomic_file import written_atomically
from recognizer.classifier import Classifier
from recognizer.detectors.base import Box, Face, Square
from recognizer.detectors.registry import build_detector
from recognizer.detectors.whole import WholeImage
from recognizer.detectors.yunet import MODEL, YuNetDetector
from recognizer.image import Image, decode
from recognizer.recognizer import Recognizer
from recognizer.video.tracking import overlap
from stages.artifacts import Artifacts

FER2013 = Artifacts("fer2013")
TRAINING, PUBLIC_TEST = 0, 1
FACES_OF_SETTINGS = 200
FACES_PER_TASK = 20
RESULT = Path(__file__)
PORTRAIT = Path("docs/astronaut.jpg")
MIN_IOU = 0.4

MAIN_CONDITIONS = (
    *product((96,), (0, 10, 20), ("even",)),
    *product((192,), (0, 10), ("even",)),
)
LIGHTINGS = ("dim", "bright", "side")
OTHER_CONDITIONS = (
    *product((48,), (0, 10, 20), ("even",)),
    (192, 20, "even"),
    *product((96,), (0, 20), LIGHTINGS),
)
CONDITIONS = (*MAIN_CONDITIONS, *OTHER_CONDITIONS)
"""Size in pixels, rotation in degrees (to the left for every other face), lighting."""

KNOWN = "known"
"""In place of a detector: the face's true centre, side and angle."""

WAYS = (("yunet", True), ("yunet", False), (KNOWN, True))
"""Detector, alignment."""


@dataclass(frozen=True)
class Row:
    """One line of the CSV file: one condition, one way, over all faces."""

    size: int
    rotation: int
    lighting: str
    detector: str
    align: bool
    faces: int
    recall: float
    false_per_scene: float
    with_eyes: float
    """Of the faces found, those with eyes."""
    accuracy_raw: float
    """Of all faces, as they are in FER-2013."""
    accuracy: float
    """Of all faces, from photo to answer; one that is not found counts as wrong."""
    lost_error: float
    """Standard error of the difference between the two."""
    accuracy_raw_of_found: float
    accuracy_of_found: float
    lost_of_found_error: float

    @property
    def condition(self) -> tuple[int, int, str]:
        """Size, rotation, lighting."""
        return self.size, self.rotation, self.lighting


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


def measure(
    numbers: np.ndarray, images: np.ndarray, labels: np.ndarray, conditions: tuple, model: Path
) -> list[list[list[Outcome]]]:
    """Try faces (their numbers in the split are the seeds) in some conditions and all ways.

    Returns
    -------
    outcomes by face, by condition, by way
    """
    cv2.setNumThreads(1)
    classifier, detector = Classifier(model), build_detector("yunet")
    recognizers = [
        Recognizer(classifier, WholeImage() if name == KNOWN else detector, align)
        for name, align in WAYS
    ]

    def outcomes(number: int, image: np.ndarray, label: int) -> Iterator[list[Outcome]]:
        for size, rotation, lighting in conditions:
            turn = rotation if number % 2 else -rotation
            seed = [number, CONDITIONS.index((size, rotation, lighting))]
            scene, centre = paste(image, size, turn, lighting, np.random.default_rng(seed))
            known = Square(*centre, size, -radians(turn))
            hits = {
                "yunet": hit(detector.detect(scene), centre, size),
                KNOWN: (Face(Box(0, 0, WIDTH, HEIGHT), 1.0, square=known), 0),
            }
            yield [
                outcome(recognizer, scene, *hits[name], classifier.labels[label])
                for recognizer, (name, _) in zip(recognizers, WAYS, strict=True)
            ]

    return [list(outcomes(*face)) for face in zip(numbers, images, labels, strict=True)]


def outcome(
    recognizer: Recognizer, scene: np.ndarray, face: Face | None, false: int, emotion: str
) -> Outcome:
    """Classify a found face."""
    if face is None:
        return Outcome(found=False, false=false, eyes=False, right=False)
    (answer,) = recognizer.classify(Image.of(scene), [face])
    return Outcome(True, false, face.eyes is not None, answer.emotion == emotion)


def summarize(outcomes: list[list[list[Outcome]]], conditions: tuple, raw: np.ndarray) -> list[Row]:
    """Average over the faces; `raw` [N] says which are right as they are in FER-2013."""
    rows = []
    for c, condition in enumerate(conditions):
        for w, way in enumerate(WAYS):
            of_faces = [face[c][w] for face in outcomes]
            found = np.array([one.found for one in of_faces])
            right = np.array([one.right for one in of_faces])
            eyes = np.array([one.eyes for one in of_faces])
            lost = raw.astype(int) - right
            values = (
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
            rows.append(Row(*condition, *way, len(found), *(round(float(v), 4) for v in values)))
    return rows


def mean(values: np.ndarray) -> float:
    """NaN of nothing."""
    return values.mean() if len(values) else np.nan


def standard_error(values: np.ndarray) -> float:
    """Of their mean; NaN of nothing."""
    return values.std() / len(values) ** 0.5 if len(values) else np.nan


# ---------------------------------------------------------------- photos


@dataclass(frozen=True)
class Photos:
    """Faces of real photos."""

    photos: int
    faces: int
    found: int
    false: int


def measure_photos(folder: Path) -> Photos:
    """Detect the faces of a folder of photos with their boxes in `faces.csv`."""
    true: dict[str, list[Box]] = {}
    with (folder / "faces.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            sides = (int(row[key]) for key in ("x", "y", "width", "height"))
            true.setdefault(row["photo"], []).append(Box(*sides))
    recognizer = Recognizer(Classifier(FER2013.models / "model.onnx"), build_detector("yunet"))
    photos, found, false = sorted(folder.glob("*.jpg")), 0, 0
    for photo in photos:
        boxes = [face.box for face in recognizer.detect(decode(photo.read_bytes()))]
        hits = matched(boxes, true.get(photo.name, []))
        found, false = found + hits, false + len(boxes) - hits
    return Photos(len(photos), sum(map(len, true.values())), found, false)


def matched(boxes: list[Box], true: list[Box]) -> int:
    """Pairs of boxes with IoU >= 0.4, the largest overlap first, each box in one pair."""
    pairs = [(overlap(a, b), i, j) for (i, a), (j, b) in product(enumerate(boxes), enumerate(true))]
    boxes_taken, true_taken = set(), set()
    for shared, i, j in sorted(pairs, reverse=True):
        if shared >= MIN_IOU and i not in boxes_taken and j not in true_taken:
            boxes_taken.add(i)
            true_taken.add(j)
    return len(true_taken)


# ---------------------------------------------------------------- cost


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds on one thread, medians."""

    picture: str
    whole: float
    """From the bytes of the JPEG to the probabilities."""
    plain: float
    """One `FaceDetectorYN.detect` at 640 pixels."""

    @property
    def ratio(self) -> float:
        """How many times as long the whole way takes."""
        return self.whole / self.plain


def measure_cost(width: int, height: int, repetitions: int) -> Cost:
    """The portrait in `docs/`, scaled to width × height, with noise as a camera's."""
    cv2.setNumThreads(1)
    portrait = cv2.imread(str(PORTRAIT))[:384]  # 4:3
    picture = cv2.resize(portrait, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    scaled = cv2.resize(picture, (640, 640 * height // width), interpolation=cv2.INTER_AREA)
    network = cv2.FaceDetectorYN.create(str(MODEL), "", scaled.shape[1::-1], 0.7)
    recognizer = Recognizer(Classifier(FER2013.models / "model.onnx"), YuNetDetector())
    whole, plain = [], []
    for _ in range(repetitions):
        start = process_time()
        faces = recognizer.recognize(decode(data))
        middle = process_time()
        network.detect(scaled)
        whole.append(middle - start)
        plain.append(process_time() - middle)
    if len(faces) != 1:
        raise RuntimeError(f"{PORTRAIT}: expected one face, found {len(faces)}")
    name = f"{width}×{height}, {len(data) / 1e6:.1f} MB"
    return Cost(name, 1000 * median(whole), 1000 * median(plain))


# ---------------------------------------------------------------- settings

SETTINGS: tuple[dict, ...] = (
    {},
    {"LONG_SIDE": 480},
    {"LONG_SIDE": 960},
    {"SECOND_LONG_SIDE": 640},
    {"MIN_PROPOSAL": 0.2},
    {"MIN_CONFIDENCE": 0.6, "SECOND_MIN_CONFIDENCE": 0.5},
    {"TILT": 0.0},
    {"LARGE_TILT": radians(7)},
)
"""What is changed of `YuNetDetector`."""


@dataclass(frozen=True)
class Change:
    """What is found of faces of 96 pixels, upright and turned by 20°, with other settings."""

    change: str
    recall: dict[int, float]
    """By rotation in degrees."""
    false_per_scene: float
    angle: dict[int, float]
    """Median of the error, in degrees, by rotation."""
    milliseconds: float
    """CPU time of one detection, mean."""


def try_setting(setting: dict, numbers: np.ndarray, images: np.ndarray) -> Change:
    """Find faces with a detector of other settings."""
    cv2.setNumThreads(1)
    detector: YuNetDetector = type("Changed", (YuNetDetector,), setting)()
    found: dict[int, list] = {0: [], 20: []}
    errors: dict[int, list] = {0: [], 20: []}
    false, seconds = 0, 0.0
    for rotation, (number, image) in product(found, zip(numbers, images, strict=True)):
        rng = np.random.default_rng([number, rotation])
        scene, centre = paste(image, 96, -rotation, "even", rng)
        start = process_time()
        faces = detector.detect(scene)
        seconds += process_time() - start
        face, others = hit(faces, centre, 96)
        found[rotation].append(face is not None)
        false += others
        if face:
            errors[rotation].append(abs(degrees(face.square.angle) - rotation))
    scenes = 2 * len(images)
    return Change(
        ", ".join(f"{name} {value:.3g}" for name, value in setting.items()) or "as it is",
        {rotation: float(np.mean(values)) for rotation, values in found.items()},
        false / scenes,
        {rotation: float(np.median(values)) for rotation, values in errors.items()},
        1000 * seconds / scenes,
    )


# ---------------------------------------------------------------- the page


def page(
    rows: list[Row],
    photos: Photos | None,
    costs: list[Cost],
    changes: list[Change],
    model_version: str,
) -> str:
    """The results as Markdown."""
    main = [row for row in rows if row.condition in MAIN_CONDITIONS]
    other = [row for row in rows if row.condition in OTHER_CONDITIONS]
    return f"""# From photo to answer

Made by `python -m benchmarks.detection --faces {main[0].faces} --other-faces {other[0].faces}`;
the first lines of `benchmarks/detection.py` say how. Model version `{model_version[:12]}`, OpenCV
{cv2.__version__}, Python {platform.python_version()}. The faces are of FER-2013's PublicTest, in
grey scenes of {WIDTH}×{HEIGHT} pixels: YuNet finds faces in colour photos more easily.

| face | cut out | photo to answer | points lost | found | points lost, known place |
|---|---:|---:|---:|---:|---:|
{table(main, accuracy_raw, accuracy, lost, recall, lost_known)}

`Cut out` is the accuracy on the faces as they are in FER-2013, `photo to answer` that after
detection, alignment and cropping; a face that is not found counts as wrong. ± is the standard error
of the difference. `Known place` crops each face at its true centre, side and angle.
{photos_text(photos)}
## Cost

CPU milliseconds on one thread: from the bytes of a JPEG with one face to the probabilities, and one
plain `FaceDetectorYN.detect` at 640 pixels.

| picture | bytes to probabilities | plain detection | ratio |
|---|---:|---:|---:|
{cost_table(costs)}

## Other conditions

| face | cut out | photo to answer | points lost | found | points lost, known place |
|---|---:|---:|---:|---:|---:|
{table(other, accuracy_raw, accuracy, lost, recall, lost_known)}

## Alignment, of the faces found

| face | aligned, points lost | upright crop, points lost | with eyes | false boxes a scene |
|---|---:|---:|---:|---:|
{table(rows, lost_of_found, lost_upright, with_eyes, false_per_scene)}

The errors of the alignment: [experiments/alignment.md](../experiments/alignment.md).

## Settings

{FACES_OF_SETTINGS} faces of Training, 96 pixels. Errors of the angle are medians; faces tilt by
themselves, too. Milliseconds are CPU time of one detection beside other work of this page.

| setting | found, 0° | found, 20° | false a scene | angle, 0° | angle, 20° | ms |
|---|---:|---:|---:|---:|---:|---:|
{settings_table(changes)}
"""


Ways = dict[tuple[str, bool], Row]


def accuracy_raw(ways: Ways) -> str:
    return f"{ways[WAYS[0]].accuracy_raw:.3f}"


def accuracy(ways: Ways) -> str:
    return f"{ways[WAYS[0]].accuracy:.3f}"


def points_lost(row: Row) -> str:
    return f"{100 * (row.accuracy_raw - row.accuracy):.1f} ± {100 * row.lost_error:.1f}"


def lost(ways: Ways) -> str:
    return points_lost(ways[WAYS[0]])


def lost_known(ways: Ways) -> str:
    return points_lost(ways[WAYS[2]])


def recall(ways: Ways) -> str:
    return f"{ways[WAYS[0]].recall:.1%}"


def points_lost_of_found(row: Row) -> str:
    points = 100 * (row.accuracy_raw_of_found - row.accuracy_of_found)
    return f"{points:.1f} ± {100 * row.lost_of_found_error:.1f}"


def lost_of_found(ways: Ways) -> str:
    return points_lost_of_found(ways[WAYS[0]])


def lost_upright(ways: Ways) -> str:
    return points_lost_of_found(ways[WAYS[1]])


def with_eyes(ways: Ways) -> str:
    return f"{ways[WAYS[0]].with_eyes:.1%}"


def false_per_scene(ways: Ways) -> str:
    return f"{ways[WAYS[0]].false_per_scene:.2f}"


def table(rows: list[Row], *columns: Callable[[Ways], str]) -> str:
    """One line for each condition."""
    lines = []
    for condition in dict.fromkeys(row.condition for row in rows):
        ways = {(row.detector, row.align): row for row in rows if row.condition == condition}
        size, rotation, lighting = condition
        cells = [f"{size} px, {rotation}°, {lighting}", *(column(ways) for column in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def photos_text(photos: Photos | None) -> str:
    """The sentence on real photos; empty where none were measured."""
    if photos is None:
        return ""
    return f"""
## Real photos

On {photos.photos} photos that are not part of this repository, {photos.found} of {photos.faces}
faces are found, with {photos.false} false boxes (IoU >= {MIN_IOU}; measured with `--photos DIR`).
"""


def cost_table(costs: list[Cost]) -> str:
    return "\n".join(
        f"| {one.picture} | {one.whole:.1f} | {one.plain:.1f} | {one.ratio:.2f} |" for one in costs
    )


def settings_table(changes: list[Change]) -> str:
    return "\n".join(
        f"| {one.change} | {one.recall[0]:.1%} | {one.recall[20]:.1%}"
        f" | {one.false_per_scene:.2f} | {one.angle[0]:.1f}° | {one.angle[20]:.1f}°"
        f" | {one.milliseconds:.0f} |"
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


def measure_all(count: int, conditions: tuple, model: Path) -> list[Row]:
    """Measure on all cores."""
    numbers, images, labels = sample(PUBLIC_TEST, count)
    right = Classifier(model).predict(images).argmax(axis=1) == labels
    chunks = np.array_split(np.arange(len(numbers)), max(1, len(numbers) // FACES_PER_TASK))
    tasks = (delayed(measure)(numbers[k], images[k], labels[k], conditions, model) for k in chunks)
    run = Parallel(n_jobs=cpu_count(), return_as="generator")
    outcomes = [face for chunk in tqdm(run(tasks), total=len(chunks)) for face in chunk]
    return summarize(outcomes, conditions, right)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(
        description="Measure the accuracy left from photo to answer, and what detection costs."
    )
    parser.add_argument("--faces", type=int, default=3588, help="of PublicTest (default: 3588)")
    parser.add_argument(
        "--other-faces", type=int, default=300, help="in the other conditions (default: 300)"
    )
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos with DIR/faces.csv")
    arguments = parser.parse_args()

    model = FER2013.models / "model.onnx"
    costs = [measure_cost(640, 480, 60), measure_cost(4000, 3000, 30)]
    photos = measure_photos(arguments.photos) if arguments.photos else None
    rows = measure_all(arguments.faces, MAIN_CONDITIONS, model)
    rows += measure_all(arguments.other_faces, OTHER_CONDITIONS, model)
    numbers, images, _ = sample(TRAINING, FACES_OF_SETTINGS)
    changes = Parallel(n_jobs=cpu_count())(
        delayed(try_setting)(setting, numbers, images) for setting in SETTINGS
    )
    with written_atomically(RESULT.with_suffix(".csv")) as temporary:
        write_rows(temporary, rows)
    with written_atomically(RESULT.with_suffix(".md")) as temporary:
        temporary.write_text(page(rows, photos, costs, changes, Classifier(model).version))


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write the CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
