"""What the processes of one run do: from inputs to answers.

Everything here can be sent to another process: plain data, and functions of it.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2

from recognizer.annotate import ANNOTATED_PHOTOS, annotate_photo
from recognizer.classifier import Classifier
from recognizer.destination import Destination
from recognizer.errors import ImageError, ModelError, TooManyPixelsError
from recognizer.faces import build_detector
from recognizer.image import MAX_PIXELS, Image, decode
from recognizer.inputs import Input
from recognizer.recognizer import RecognizedFace, Recognizer
from recognizer.video.reader import Frame


@dataclass(frozen=True)
class Job:
    """How faces are found and classified; the same in all processes of a run."""

    folder: Path
    """Where relative paths of inputs start; workers may be started elsewhere."""
    model: Path
    faces: str
    """A key of `DETECTORS`."""
    align: bool
    min_confidence: float
    """Faces of which the detector is less sure are left out, 0 … 1."""
    max_pixels: int = MAX_PIXELS
    """Photos of more pixels are answered with an error."""
    version: str | None = None
    """SHA-256 that the model file must have in this process; None takes any."""
    threads: int | None = None
    """Threads of OpenCV; None leaves it at one for each processor."""


@dataclass(frozen=True)
class Answer:
    """What was found in a photo or in one frame of a video, or why nothing can be said."""

    path: Path
    width: int = 0
    height: int = 0
    faces: list[RecognizedFace] = field(default_factory=list)
    frame: int | None = None
    """Number of the frame in its video, from 0."""
    seconds: float | None = None
    """Time of the frame as a player shows it, to the millisecond."""
    error: str | None = None
    cut: bool = False
    """Whether another shot begins with this frame."""


def recognize_photos(
    job: Job, annotated: Destination | None, photos: Sequence[Input]
) -> list[Answer]:
    """Recognize the faces in photos, one answer each; a broken file is answered with its error.

    Parameters
    ----------
    job : Job
    annotated : Destination or None
        Where copies with boxes, emotions and bars are written.
    photos : sequence of Input

    Raises
    ------
    DetectorError, ModelError
        This process cannot load the detector or the model, or finds another version of it.
    OutputError
        An annotated photo cannot be written.
    """
    return [_recognize_photo(job, annotated, photo) for photo in photos]


def _recognize_photo(job: Job, annotated: Destination | None, photo: Input) -> Answer:
    if photo.problem:
        return Answer(photo.path, error=photo.problem)
    path = job.folder / photo.path
    try:
        data = path.read_bytes()
    except OSError as error:
        return Answer(photo.path, error=error.strerror)
    try:
        image = decode(data, job.max_pixels)
        faces = _recognize(job, image)
        if annotated:
            copy = annotated.path(path, ANNOTATED_PHOTOS)
            annotate_photo(data, faces, copy, job.max_pixels)
    except TooManyPixelsError as error:
        return Answer(photo.path, error=f"{error}; --max-pixels allows more")
    except ImageError as error:
        return Answer(photo.path, error=str(error))
    return Answer(photo.path, image.width, image.height, faces)


def recognize_frames(job: Job, path: Path, frames: Sequence[Frame]) -> list[Answer]:
    """Recognize the faces in frames of a video, BGR, each by itself, one answer each.

    Raises
    ------
    DetectorError, ModelError
        As `recognize_photos`.
    """
    answers = []
    for frame in frames:
        height, width = frame.image.shape[:2]
        faces = _recognize(job, Image.of(frame.image))
        seconds = round(frame.seconds, 3)
        answers.append(Answer(path, width, height, faces, frame.index, seconds, cut=frame.cut))
    return answers


def _recognize(job: Job, image: Image) -> list[RecognizedFace]:
    recognizer = load(job)
    found = recognizer.detect(image)
    return recognizer.classify(image, [f for f in found if f.confidence >= job.min_confidence])


def load(job: Job) -> Recognizer:
    """The recognizer of this process, made by its first call.

    Raises
    ------
    DetectorError, ModelError
        The detector's or the model's file cannot be used.
    """
    # A Dask worker runs several threads, and each would load its own.
    with _loading:
        return _load(job)


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _load(job: Job) -> Recognizer:
    # A damaged photo is reported once, by this program.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if job.threads:
        cv2.setNumThreads(job.threads)
    classifier = Classifier(job.model)
    if job.version not in (None, classifier.version):
        raise ModelError(
            f"{job.model}: is model {classifier.version[:12]} in a worker's file system, but"
            f" {job.version[:12]} here; all workers must see the same file"
        )
    return Recognizer(classifier, build_detector(job.faces), job.align)
