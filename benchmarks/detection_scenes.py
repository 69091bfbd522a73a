"""Detection and classification of FER-2013's faces in scenes, for `benchmarks/detection.py`.

`benchmarks/detection.py` describes the measurement.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import degrees, hypot, radians
from pathlib import Path
from time import process_time

import cv2
import numpy as np
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from experiments.scenes import HEIGHT, WIDTH, paste
from recognizer.classifier import Classifier
from recognizer.detectors.base import Box, Face, Square
from recognizer.detectors.registry import build_detector
from recognizer.detectors.whole import WholeImage
from recognizer.detectors.yunet import YuNetDetector
from recognizer.image import Image
from recognizer.recognizer import Recognizer
from stages.artifacts import Artifacts
from stages.dataset.faces import Faces

FER2013 = Artifacts("fer2013")
FACES_PER_TASK = 20

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


def sample(split: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose faces of a split, always the same ones.

    Returns
    -------
    int [N], uint8 [N, 48, 48], uint8 [N]
        Their numbers in the split, images and labels.
    """
    faces = Faces.read(FER2013.data / "faces.npz").of_split(split)
    count = min(count, len(faces.labels))
    numbers = np.random.default_rng(0).choice(len(faces.labels), count, replace=False)
    return numbers, faces.images[numbers], faces.labels[numbers]


def measure_all(count: int, conditions: tuple, model: Path) -> list[Row]:
    """Detect and classify faces of PublicTest on all cores."""
    numbers, images, labels = sample("PublicTest", count)
    right = Classifier(model).predict(images).argmax(axis=1) == labels
    chunks = np.array_split(np.arange(len(numbers)), max(1, len(numbers) // FACES_PER_TASK))
    tasks = (delayed(measure)(numbers[k], images[k], labels[k], conditions, model) for k in chunks)
    run = Parallel(n_jobs=cpu_count(), return_as="generator")
    outcomes = [face for chunk in tqdm(run(tasks), total=len(chunks)) for face in chunk]
    return summarize(outcomes, conditions, right)


# ---------------------------------------------------------------- settings of the detector

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
