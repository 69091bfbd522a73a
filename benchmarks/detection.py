"""Measure the accuracy that is left after detection, and what detection costs.

    python -m benchmarks.detection
    python -m benchmarks.detection --other-faces 150 --photos DIR

Accuracy: pastes FER-2013's PublicTest faces into larger scenes (experiments/scenes.py) of several
sizes, rotations and lightings, detects them, crops them with and without alignment, and classifies
the crops with the released model. PrivateTest is not opened. A face is detected if the centre of a
box is nearer to its own than a third of its side; the most confident such box is taken. All other
boxes are false ones. A face that is not detected counts as classified wrongly. The same is measured
with the true centre, side and angle of each face in place of a detector.

Photos: `DIR/faces.csv` has the boxes (photo, x, y, width, height) of the faces in the photos beside
it. A face is detected if a box overlaps its own by IoU >= 0.4.

Cost: CPU time on one thread from the bytes of a JPEG to the probabilities, divided by the CPU time
of one `cv2.FaceDetectorYN.detect` of the same picture at 640 pixels, alternating in one process.

Writes `benchmarks/detection.csv`, one row per condition and way, and the page
`benchmarks/detection.md`. The same seed gives the same scenes.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import degrees, hypot, radians
from pathlib import Path
from statistics import median
from time import process_time

import cv2
import numpy as np
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import write_results
from experiments.scenes import HEIGHT, WIDTH, paste
from recognizer.classifier import Classifier
from recognizer.detectors.base import Box, Face, Square
from recognizer.detectors.registry import build_detector
from recognizer.detectors.whole import WholeImage
from recognizer.detectors.yunet import MODEL, YuNetDetector
from recognizer.image import Image, decode
from recognizer.recognizer import Recognizer
from recognizer.video.tracking import overlap
from stages.artifacts import Artifacts
from stages.dataset.faces import Faces
from stages.markdown_table import markdown_table

FER2013 = Artifacts("fer2013")
TRAINING, PUBLIC_TEST = 0, 1
FACES_OF_SETTINGS = 200
FACES_PER_TASK = 20
RESULT = Path(__file__).with_suffix(".csv")
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
"""Stands for the true centre, side and angle of the face, without a detector."""

WAYS = (("yunet", True), ("yunet", False), (KNOWN, True))
"""Detector, alignment."""


@dataclass(frozen=True)
class Row:
    """One line of the CSV file: one condition and one way, averaged over all faces."""

    size: int
    rotation: int
    lighting: str
    detector: str
    align: bool
    faces: int
    recall: float
    false_per_scene: float
    with_eyes: float
    """Share of the detected faces whose eyes are found."""
    accuracy_raw: float
    """Of all faces, in the original crops of FER-2013."""
    accuracy: float
    """Of all faces, after detection; one that is not detected counts as wrong."""
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
    """Result of one way for one face in one scene."""

    found: bool
    false: int
    eyes: bool
    right: bool


def hit(faces: list[Face], centre: tuple[float, float], size: int) -> tuple[Face | None, int]:
    """Most confident box on the pasted face, and the number of all other boxes."""
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
    """Detect and classify faces in some conditions and all ways.

    The numbers of the faces in the split are the seeds of their scenes.

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
    """Classify a detected face."""
    if face is None:
        return Outcome(found=False, false=false, eyes=False, right=False)
    (answer,) = recognizer.classify(Image.of(scene), [face])
    return Outcome(True, false, face.eyes is not None, answer.emotion == emotion)


def summarize(outcomes: list[list[list[Outcome]]], conditions: tuple, raw: np.ndarray) -> list[Row]:
    """Average over the faces; `raw` bool [N]: the original crop is classified rightly."""
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
    """NaN if there are no values."""
    return values.mean() if len(values) else np.nan


def standard_error(values: np.ndarray) -> float:
    """Of the mean; NaN if there are no values."""
    return values.std() / len(values) ** 0.5 if len(values) else np.nan


# ---------------------------------------------------------------- photos


@dataclass(frozen=True)
class Photos:
    """Counts over a folder of photos."""

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
    """Median CPU milliseconds on one thread."""

    picture: str
    whole: float
    """From the bytes of the JPEG to the probabilities."""
    plain: float
    """One `FaceDetectorYN.detect` at 640 pixels."""

    @property
    def ratio(self) -> float:
        """`whole` divided by `plain`."""
        return self.whole / self.plain


def measure_cost(width: int, height: int, repetitions: int) -> Cost:
    """Measure with the portrait in `docs/`, scaled to width × height, with a camera's noise."""
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
"""Changed attributes of `YuNetDetector`."""


@dataclass(frozen=True)
class Change:
    """Detection of faces of 96 pixels, upright and rotated by 20°, with changed settings."""

    change: str
    recall: dict[int, float]
    """By rotation in degrees."""
    false_per_scene: float
    angle: dict[int, float]
    """Median of the error, in degrees, by rotation."""
    milliseconds: float
    """CPU time of one detection, mean."""


def try_setting(setting: dict, numbers: np.ndarray, images: np.ndarray) -> Change:
    """Detect faces with changed attributes of the detector.

    Raises
    ------
    AttributeError
        `YuNetDetector` has no such attribute.
    """
    cv2.setNumThreads(1)
    for name in setting:
        getattr(YuNetDetector, name)
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
        ", ".join(f"{name} {value:.3g}" for name, value in setting.items()) or "released",
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
    source: Provenance,
) -> str:
    """Format the results."""
    main = [row for row in rows if row.condition in MAIN_CONDITIONS]
    other = [row for row in rows if row.condition in OTHER_CONDITIONS]
    options = (
        f"--faces {main[0].faces} --other-faces {other[0].faces}{' --photos DIR' * bool(photos)}"
    )
    return f"""{opening("Accuracy after detection", [("fer2013", source)])}

Made by `python -m benchmarks.detection {options}`.
The faces are of FER-2013's PublicTest, in grey scenes of {WIDTH}×{HEIGHT} pixels. YuNet detects
faces in colour photos more easily.

{losses_table(main)}

`Original crop` is the accuracy on the images of FER-2013, `after detection` that after detection,
alignment and cropping; a face that is not detected counts as wrong. ± is the standard error of the
difference. `True position` crops each face at its true centre, side and angle.
{photos_text(photos)}
## Cost

CPU milliseconds on one thread: from the bytes of a JPEG with one face to the probabilities, and one
`FaceDetectorYN.detect` at 640 pixels.

{cost_table(costs)}

## Other conditions

{losses_table(other)}

## Alignment, of the detected faces

{alignment_table(rows)}

The errors of the alignment: [experiments/alignment.md](../experiments/alignment.md).

## Settings

{FACES_OF_SETTINGS} faces of Training, 96 pixels. Errors of the angle are medians, and include the
tilt that the faces have in FER-2013. Milliseconds are CPU time of one detection, measured while the
other cores were busy.

{settings_table(changes)}
"""


def by_condition(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield each condition's description and its rows in the order of `WAYS`."""
    for condition in dict.fromkeys(row.condition for row in rows):
        ways = {(row.detector, row.align): row for row in rows if row.condition == condition}
        size, rotation, lighting = condition
        yield f"{size} px, {rotation}°, {lighting}", [ways[way] for way in WAYS]


def losses_table(rows: list[Row]) -> str:
    """Accuracy before and after detection, by condition."""
    headers = ["face", "original crop", "after detection", "points lost", "detected"]
    cells = [
        [
            condition,
            f"{aligned.accuracy_raw:.3f}",
            f"{aligned.accuracy:.3f}",
            points(aligned.accuracy_raw - aligned.accuracy, aligned.lost_error),
            f"{aligned.recall:.1%}",
            points(known.accuracy_raw - known.accuracy, known.lost_error),
        ]
        for condition, (aligned, _, known) in by_condition(rows)
    ]
    return markdown_table([*headers, "points lost, true position"], cells)


def alignment_table(rows: list[Row]) -> str:
    """Accuracy lost with and without alignment, of the detected faces, by condition."""
    headers = ["face", "points lost, aligned crop", "points lost, upright crop"]
    cells = [
        [
            condition,
            *(
                points(row.accuracy_raw_of_found - row.accuracy_of_found, row.lost_of_found_error)
                for row in (aligned, upright)
            ),
            f"{aligned.with_eyes:.1%}",
            f"{aligned.false_per_scene:.2f}",
        ]
        for condition, (aligned, upright, _) in by_condition(rows)
    ]
    return markdown_table([*headers, "with eyes", "false boxes per scene"], cells)


def points(lost: float, error: float) -> str:
    """A difference and its standard error in percentage points."""
    return f"{100 * lost:.1f} ± {100 * error:.1f}"


def photos_text(photos: Photos | None) -> str:
    """The section on photos; empty where none were measured."""
    if photos is None:
        return ""
    return f"""
## Photos

{photos.found} of {photos.faces} faces are detected in {photos.photos} photos that are not part of
this repository, with {photos.false} false boxes (IoU >= {MIN_IOU}).
"""


def cost_table(costs: list[Cost]) -> str:
    """One row per picture."""
    cells = [
        [one.picture, f"{one.whole:.1f}", f"{one.plain:.1f}", f"{one.ratio:.2f}"] for one in costs
    ]
    return markdown_table(["picture", "bytes to probabilities", "plain detection", "ratio"], cells)


def settings_table(changes: list[Change]) -> str:
    """One row per setting."""
    cells = [
        [
            one.change,
            *(f"{one.recall[rotation]:.1%}" for rotation in (0, 20)),
            f"{one.false_per_scene:.2f}",
            *(f"{one.angle[rotation]:.1f}°" for rotation in (0, 20)),
            f"{one.milliseconds:.0f}",
        ]
        for one in changes
    ]
    headers = ["setting", "detected, 0°", "detected, 20°", "false boxes per scene"]
    return markdown_table([*headers, "angle error, 0°", "angle error, 20°", "ms"], cells)


# ---------------------------------------------------------------- the command


def sample(split: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers in the split, images and labels of some of its faces, always the same ones."""
    faces = Faces.read(FER2013.data / "faces.npz")
    of_split = faces.take(faces.split == split)
    count = min(count, len(of_split.labels))
    numbers = np.random.default_rng(0).choice(len(of_split.labels), count, replace=False)
    return numbers, of_split.images[numbers], of_split.labels[numbers]


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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=3588, help="of PublicTest (default: 3588)")
    parser.add_argument(
        "--other-faces", type=int, default=300, help="in the other conditions (default: 300)"
    )
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos with DIR/faces.csv")
    arguments = parser.parse_args()

    model, source = FER2013.models / "model.onnx", here("fer2013")
    costs = [measure_cost(640, 480, 60), measure_cost(4000, 3000, 30)]
    photos = measure_photos(arguments.photos) if arguments.photos else None
    rows = measure_all(arguments.faces, MAIN_CONDITIONS, model)
    rows += measure_all(arguments.other_faces, OTHER_CONDITIONS, model)
    numbers, images, _ = sample(TRAINING, FACES_OF_SETTINGS)
    changes = Parallel(n_jobs=cpu_count())(
        delayed(try_setting)(setting, numbers, images) for setting in SETTINGS
    )
    write_results(RESULT, rows, page(rows, photos, costs, changes, source))


if __name__ == "__main__":
    main()
