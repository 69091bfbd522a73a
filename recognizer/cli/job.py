"""What one process of a run does: from photos and frames to results.

Everything here can be sent to another process: plain data, and functions of it.
"""

import errno
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2

from recognizer.classifier import Classifier
from recognizer.cli.annotate import ANNOTATED_PHOTOS, annotate_photo
from recognizer.cli.crops import CropTree, PhotoCrops
from recognizer.cli.inputs import Input
from recognizer.cli.output_paths import OutputPaths
from recognizer.detectors.registry import build_detector
from recognizer.errors import ImageError, ModelError, TooManyPixelsError
from recognizer.image import MAX_PIXELS, Image, decode
from recognizer.recognizer import RecognizedFace, Recognizer
from recognizer.regular_file import MAX_BYTES, read_regular_file
from recognizer.video.frame import Frame


@dataclass(frozen=True)
class Job:
    """How faces are detected and classified; the same in all processes of a run."""

    folder: Path
    """The folder that relative input paths start from; a worker may run in another one."""
    model: Path
    detector: str
    """A key of `DETECTORS`."""
    align: bool
    min_confidence: float
    """Faces with a lower confidence of the detector are left out, 0 … 1."""
    min_probability: float = 0.0
    """The emotion of a face is None where its highest probability is below this, 0 … 1."""
    max_pixels: int = MAX_PIXELS
    """A photo with more pixels gets an error as its result."""
    max_bytes: int = MAX_BYTES
    """A photo with a larger file gets an error as its result."""
    version: str | None = None
    """SHA-256 that the model file must have in this process; None accepts any."""
    threads: int | None = None
    """Threads of OpenCV; None: one for each processor."""


@dataclass(frozen=True)
class Result:
    """The faces in a photo or in one frame of a video, or the error of an input."""

    path: Path
    width: int = 0
    """Of the photo or frame in pixels."""
    height: int = 0
    faces: Sequence[RecognizedFace] = ()
    crops: PhotoCrops | None = None
    """None where the run writes no crops."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class FrameResult(Result):
    """The faces in one frame of a video."""

    frame: int
    """Number of the frame in its video, from 0."""
    seconds: float
    """Time at which a player shows the frame, rounded to milliseconds."""
    cut: bool = False
    """Whether a new shot begins with this frame."""


def recognize_photos(
    job: Job, annotated: OutputPaths | None, crops: CropTree | None, photos: Sequence[Input]
) -> list[Result]:
    """Recognize the faces in photos; a photo that cannot be read gets its error as the result.

    Parameters
    ----------
    job : Job
    annotated : OutputPaths or None
        Where copies with boxes, emotions and bars are written.
    crops : CropTree or None
        Where the crops of the faces are written.
    photos : sequence of Input

    Returns
    -------
    list of Result
        One for each photo, in their order.

    Raises
    ------
    DetectorError, ModelError
        This process cannot load the detector or the model, or its model has another version.
    OutputError
        An annotated photo or a crop cannot be written.
    """
    return [_recognize_photo(job, annotated, crops, photo) for photo in photos]


def _recognize_photo(
    job: Job, annotated: OutputPaths | None, crops: CropTree | None, photo: Input
) -> Result:
    if photo.problem:
        return Result(photo.path, error=photo.problem)
    path = job.folder / photo.path
    try:
        data = read_regular_file(path, job.max_bytes)
    except OSError as error:
        remedy = "; --max-bytes allows more" if error.errno == errno.EFBIG else ""
        return Result(photo.path, error=f"{error.strerror}{remedy}")
    try:
        image = decode(data, job.max_pixels)
        faces = load(job).recognize(image, job.min_confidence)
        if annotated:
            copy = annotated.path(path, ANNOTATED_PHOTOS)
            annotate_photo(data, faces, copy, job.max_pixels)
        written = crops.write(data, path, image, faces, job.max_pixels) if crops else None
    except TooManyPixelsError as error:
        return Result(photo.path, error=f"{error}; --max-pixels allows more")
    except ImageError as error:
        return Result(photo.path, error=str(error))
    return Result(photo.path, image.width, image.height, faces, written)


def recognize_frames(job: Job, path: Path, frames: Sequence[Frame]) -> list[FrameResult]:
    """Recognize the faces in frames of a video, each frame by itself; one result each.

    Raises
    ------
    DetectorError, ModelError
        As `recognize_photos`.
    """
    results = []
    for frame in frames:
        height, width = frame.image.shape[:2]
        result = FrameResult(
            path=path,
            width=width,
            height=height,
            faces=load(job).recognize(Image.of(frame.image), job.min_confidence),
            frame=frame.index,
            seconds=round(frame.seconds, 3),
            cut=frame.cut,
        )
        results.append(result)
    return results


def load(job: Job) -> Recognizer:
    """Return the recognizer of this process; the first call loads it.

    Raises
    ------
    DetectorError, ModelError
        The detector's or the model's file cannot be used.
    """
    # A Dask worker runs several threads; without the lock, each would load a recognizer.
    with _loading:
        return _load(job)


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _load(job: Job) -> Recognizer:
    # OpenCV would log each damaged photo, which this program reports itself.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if job.threads:
        cv2.setNumThreads(job.threads)
    classifier = Classifier(job.model)
    if job.version not in (None, classifier.version):
        raise ModelError(
            f"{job.model}: is model {classifier.version[:12]} in a worker's file system, but"
            f" {job.version[:12]} here; all workers must see the same file"
        )
    return Recognizer(classifier, build_detector(job.detector), job.align, job.min_probability)
