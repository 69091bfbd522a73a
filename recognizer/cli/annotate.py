"""Copies of photos and videos with a box, the emotion and bars drawn at each face."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from recognizer.atomic_file import write_atomically, written_atomically
from recognizer.errors import OutputError, VideoError
from recognizer.image import MAX_PIXELS, decode
from recognizer.optional_packages import needs_package
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import TrackedFace

ANNOTATED_PHOTOS = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff")
"""Suffixes of the formats that an annotated photo is written in; the first for all others."""

ANNOTATED_VIDEOS = (".mp4", ".webm")
"""Suffixes of the formats that an annotated video is written in; the first for all others."""


def need_drawing() -> None:
    """Check for Pillow before the run, which may be long.

    Raises
    ------
    OutputError
        Pillow is not installed.
    """
    try:
        import PIL  # noqa: F401
    except ModuleNotFoundError as error:
        raise OutputError(needs_package("--annotate", error, "draw")) from error


def annotate_photo(
    data: bytes, faces: Sequence[RecognizedFace], path: Path, max_pixels: int = MAX_PIXELS
) -> None:
    """Write a photo with boxes, emotions and bars, upright and at its full size.

    Parameters
    ----------
    data : bytes
        The photo's file.
    faces : sequence of RecognizedFace
        Their boxes are in pixels of the upright photo.
    path : Path
        Its suffix is the format, one of `ANNOTATED_PHOTOS`.
    max_pixels : int
        As for `decode`.

    Raises
    ------
    ImageError
        The photo cannot be decoded.
    OutputError
        The file cannot be written; an old one is kept.
    """
    from recognizer.cli.drawing import draw

    picture = draw(decode(data, max_pixels, long_side=None).pixels, faces)
    try:
        encoded, file = cv2.imencode(path.suffix, picture)
    except cv2.error:
        encoded = False
    if not encoded:
        height, width = picture.shape[:2]
        raise OutputError(
            f"{path}: OpenCV cannot write {width}×{height} pixels as {path.suffix}; name a file"
            " that ends in .png"
        )
    write_atomically(path, file.tobytes())


@contextmanager
def annotated_video(
    source: Path, path: Path, every: int
) -> Iterator[Callable[[Sequence[TrackedFace]], None]]:
    """Write a video with boxes, emotions and bars while its faces are recognized.

    The copy keeps the times of the frames and the sound; see `VideoWriter` for the formats. The
    source is read a second time, because the frames that wait for their results would take too
    much memory. An old file is replaced after the copy is complete and was opened again.

    Parameters
    ----------
    source : Path
    path : Path
        A file .mp4 or .webm.
    every : int
        Number of frames that each result is drawn on.

    Yields
    ------
    callable
        Takes the faces of a result and writes the next `every` frames.

    Raises
    ------
    OutputError
        The file cannot be written whole.
    VideoError
        The source cannot be decoded.
    """
    from recognizer.cli.drawing import draw
    from recognizer.video.reader import Video
    from recognizer.video.writer import VideoWriter

    with Video(source) as video, written_atomically(path) as temporary:
        frames = video.frames()
        blank = np.zeros((video.height, video.width, 3), np.uint8)
        height, width = draw(blank, []).shape[:2]
        with VideoWriter(temporary, path, height, width, video) as writer:

            def write(faces: Sequence[TrackedFace]) -> None:
                # The pass that detects faces reports a damaged source.
                with suppress(VideoError):
                    for frame in islice(frames, every):
                        writer.write(draw(frame.image, faces), frame.seconds)

            yield write
