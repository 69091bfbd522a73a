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
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from time import process_time

import cv2
import numpy as np
from joblib import Parallel, cpu_count, delayed

from benchmarks.detection_scenes import (
    FER2013,
    MAIN_CONDITIONS,
    OTHER_CONDITIONS,
    SETTINGS,
    WAYS,
    Change,
    Row,
    measure_all,
    sample,
    try_setting,
)
from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import write_results
from experiments.scenes import HEIGHT, WIDTH
from recognizer.classifier import Classifier
from recognizer.detectors.base import Box
from recognizer.detectors.registry import build_detector
from recognizer.detectors.yunet import MODEL, YuNetDetector
from recognizer.image import decode
from recognizer.recognizer import Recognizer
from recognizer.video.tracking import overlap
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table

FACES_OF_SETTINGS = 200
RESULT = Path(__file__).with_suffix(".csv")
PORTRAIT = Path("docs/astronaut.jpg")
MIN_IOU = 0.4

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


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=3588, help="of PublicTest (default: 3588)")
    parser.add_argument(
        "--other-faces", type=int, default=300, help="in the other conditions (default: 300)"
    )
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos with DIR/faces.csv")
    arguments = parser.parse_args()

    try:
        numbers, images, _ = sample("Training", FACES_OF_SETTINGS)
    except UserError as error:
        sys.exit(f"error: {error}")
    model, source = FER2013.models / "model.onnx", here("fer2013")
    costs = [measure_cost(640, 480, 60), measure_cost(4000, 3000, 30)]
    photos = measure_photos(arguments.photos) if arguments.photos else None
    rows = measure_all(arguments.faces, MAIN_CONDITIONS, model)
    rows += measure_all(arguments.other_faces, OTHER_CONDITIONS, model)
    changes = Parallel(n_jobs=cpu_count())(
        delayed(try_setting)(setting, numbers, images) for setting in SETTINGS
    )
    write_results(RESULT, rows, page(rows, photos, costs, changes, source))


if __name__ == "__main__":
    main()
