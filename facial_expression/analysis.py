"""The call `analyze`: from a source to its faces and their emotions."""

import sys
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from numbers import Real
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, cast, overload

import numpy as np

from facial_expression.results import Face, Frame, Model, Photo, Results, Video
from facial_expression.sources import Channels, Pixels, Source, read_image
from recognizer.classifier import Classifier
from recognizer.cli.inputs import VIDEO_SUFFIXES, unsupported
from recognizer.detectors.base import Detector
from recognizer.detectors.registry import build_detector
from recognizer.errors import ImageError, VideoError
from recognizer.image import MAX_PIXELS, Image
from recognizer.optional_packages import MissingPackageError, needs_package
from recognizer.recognizer import RecognizedFace, Recognizer
from recognizer.released_models import DEFAULT_MODEL, find_model
from recognizer.video.tracking import TIME_CONSTANT, Tracker
from recognizer.video.until_error import until_error

if TYPE_CHECKING:
    from recognizer.video.reader import Video as VideoFile


# mypy warns that arrays and strings are iterable; the first signature that matches counts.
@overload
def analyze(  # type: ignore[overload-overlap]
    source: Pixels,
    *,
    model: str | PathLike[str] = DEFAULT_MODEL,
    faces: str = "yunet",
    align: bool = True,
    min_confidence: float = 0.0,
    min_probability: float = 0.0,
    channels: Channels = "bgr",
    max_pixels: int = MAX_PIXELS,
    every: int = 1,
    smooth: float = TIME_CONSTANT,
) -> Photo: ...
@overload
def analyze(  # type: ignore[overload-overlap]
    source: str | PathLike[str],
    *,
    model: str | PathLike[str] = DEFAULT_MODEL,
    faces: str = "yunet",
    align: bool = True,
    min_confidence: float = 0.0,
    min_probability: float = 0.0,
    channels: Channels = "bgr",
    max_pixels: int = MAX_PIXELS,
    every: int = 1,
    smooth: float = TIME_CONSTANT,
) -> Photo | Video: ...
@overload
def analyze(
    source: Iterable[Source],
    *,
    model: str | PathLike[str] = DEFAULT_MODEL,
    faces: str = "yunet",
    align: bool = True,
    min_confidence: float = 0.0,
    min_probability: float = 0.0,
    channels: Channels = "bgr",
    max_pixels: int = MAX_PIXELS,
    every: int = 1,
    smooth: float = TIME_CONSTANT,
) -> Results: ...
def analyze(
    source: "Source | Iterable[Source]",
    *,
    model: str | PathLike[str] = DEFAULT_MODEL,
    faces: str = "yunet",
    align: bool = True,
    min_confidence: float = 0.0,
    min_probability: float = 0.0,
    channels: Channels = "bgr",
    max_pixels: int = MAX_PIXELS,
    every: int = 1,
    smooth: float = TIME_CONSTANT,
) -> Photo | Video | Results:
    """Detect the faces in a photo or a video and recognize the emotion of each.

    The first call loads the model and the detector; later calls use them again. Many threads may
    call at once.

    Parameters
    ----------
    source : path, bytes, array, PIL image, or a list of them
        A photo (JPEG, PNG, WebP, BMP, TIFF, GIF; AVIF and HEIC with the extra `heic`) as a path
        or as the file's bytes; its pixels as uint8 [H, W, 3] as of `cv2.imread`, or [H, W], grey;
        the path of a video (with the extra `video`), which its suffix decides.
    model : str or path
        "fer2013", "ferplus", "fer2013-small", or the path of a model.onnx.
    faces : str
        "yunet": detect the faces; "whole": each image is one face.
    align : bool
        Rotate each face upright, if the detector estimates its tilt.
    min_confidence : float
        Leave out faces with a lower confidence of the detector, 0 … 1.
    min_probability : float
        The emotion of a face is None where its highest probability is below this, 0 … 1.
    channels : "bgr" or "rgb"
        Order of the colours in an array.
    max_pixels : int
        Refuse files with more pixels, width · height, before they are decoded.
    every : int
        Of a video, analyze the first frame and every N-th after it.
    smooth : float
        Time constant in seconds of the moving average over a person's frames in a video; 0: none.

    Returns
    -------
    Photo, Video, or Results for a list
        A video that is damaged or cut short gives the frames before its end and a warning.

    Raises
    ------
    OSError
        A file cannot be read.
    ImageError, VideoError
        A file cannot be decoded; TooManyPixelsError if it has more than `max_pixels`.
    ModelError, DetectorError
        The model cannot be used; there is no such detector.
    MissingPackageError
        A video needs the extra `video`.
    TypeError, ValueError
        A source or an option is not one of the above.
    """
    for name, value, least, most, expected in (
        ("min_confidence", min_confidence, 0, 1, "0 … 1"),
        ("min_probability", min_probability, 0, 1, "0 … 1"),
        ("every", every, 1, sys.maxsize, "1 or more"),
        ("smooth", smooth, 0, sys.float_info.max, "seconds, 0 or more"),
    ):
        if not isinstance(value, Real) or not least <= value <= most:
            raise ValueError(f"{name}: expected {expected}, got {value!r}")
    recognizer = Recognizer(*_load(model, faces), align, min_probability)

    single = not _is_list(source)
    items = cast(Iterable[Source], [source] if single else source)
    results = Results()
    for index, item in enumerate(items):
        if isinstance(item, str | PathLike) and Path(item).suffix.lower() in VIDEO_SUFFIXES:
            video = _video(Path(item), recognizer, min_confidence, every, smooth)
            if video.problem:
                warnings.warn(f"{video.path}: {video.problem}", stacklevel=2)
            results.append(video)
        else:
            name = "" if single else f"item {index} of the list: "
            results.append(_photo(item, name, recognizer, min_confidence, channels, max_pixels))
    return results[0] if single else results


def read_frame(path: Path, index: int) -> np.ndarray:
    """Read one frame of a video, uint8 [H, W, 3], BGR.

    Raises
    ------
    VideoError
        The file cannot be decoded, or has no such frame.
    """
    with _open_video(path) as file:
        for frame in file.frames():
            if frame.index == index:
                return frame.image
    raise VideoError(f"{path}: has no frame {index} any more")


def _is_list(source: object) -> bool:
    """Whether a source is several ones. A mapping is neither one nor several."""
    single = (str, PathLike, bytes, bytearray, memoryview, np.ndarray, Mapping)
    return isinstance(source, Iterable) and not isinstance(source, single)


def _load(model: str | PathLike[str], faces: str) -> tuple[Classifier, Detector]:
    path = find_model(model)
    state = path.stat()
    return _loaded(path.absolute(), (state.st_mtime_ns, state.st_size), faces)


@lru_cache(maxsize=4)
def _loaded(path: Path, _state: tuple[int, int], faces: str) -> tuple[Classifier, Detector]:
    return Classifier(path), build_detector(faces)


def _model(recognizer: Recognizer) -> Model:
    classifier = recognizer.classifier
    return Model(classifier.dataset, classifier.version, classifier.labels)


def _faces(recognized: Iterable[RecognizedFace]) -> tuple[Face, ...]:
    return tuple(Face(**vars(face)) for face in recognized)


def _photo(
    source: Source,
    name: str,
    recognizer: Recognizer,
    min_confidence: float,
    channels: Channels,
    max_pixels: int,
) -> Photo:
    """Analyze a photo; `name` begins the error messages of a source that is not a path."""
    path = None
    if isinstance(source, str | PathLike):
        path = fspath(source)
        _check_path(path)
        source = Path(source).absolute()  # `draw` finds it from any current folder
        name = f"{path}: "
    try:
        image = read_image(source, channels, max_pixels)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}{error}") from error
    faces = _faces(recognizer.recognize(image, min_confidence))
    return Photo(path, image.width, image.height, faces, _model(recognizer), source, channels)


def _check_path(path: str) -> None:
    """Raise ImageError for a path that is no photo of a supported format."""
    if path.startswith(("http://", "https://")):
        raise ImageError(f"{path}: is an address: download the file and give its path or bytes")
    if Path(path).is_dir():
        raise ImageError(f"{path}: is a folder: give a list of its files")
    if reason := unsupported(Path(path)):
        raise ImageError(f"{path}: {reason}")


def _video(
    path: Path, recognizer: Recognizer, min_confidence: float, every: int, smooth: float
) -> Video:
    with _open_video(path) as file:
        from recognizer.video.cuts import mark_cuts

        tracker, frames = Tracker(smooth, recognizer.min_probability), []
        errors: list[VideoError] = []
        for frame in mark_cuts(until_error(file.frames(every), errors)):
            found = recognizer.recognize(Image.of(frame.image), min_confidence)
            tracked = tracker.update(frame.seconds, found, frame.cut)
            frames.append(Frame(frame.index, round(frame.seconds, 3), _faces(tracked)))
        problem = str(errors[0]) if errors else None
        size = file.width, file.height
    source = path.absolute()  # `draw` finds it from any current folder
    return Video(str(path), *size, tuple(frames), _model(recognizer), source, problem)


def _open_video(path: Path) -> "VideoFile":
    try:
        from recognizer.video.reader import Video as VideoFile
    except ModuleNotFoundError as error:
        message = needs_package("a video", error, "video")
        raise MissingPackageError(message, name=error.name) from error
    try:
        return VideoFile(path)
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from error
