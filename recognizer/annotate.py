"""Copies of photos and videos with what was found in them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from recognizer.atomic import replaced_atomically, writing
from recognizer.drawing import draw
from recognizer.errors import OutputError, VideoError
from recognizer.recognizer import RecognizedFace
from recognizer.video.reader import Video
from recognizer.video.tracking import TrackedFace


def annotate_photo(data: bytes, faces: Sequence[RecognizedFace], path: Path) -> None:
    """Write a photo with boxes, emotions and bars.

    Parameters
    ----------
    data : bytes
        The photo's file, which `decode` has accepted.
    faces : sequence of RecognizedFace
    path : Path
        The suffix says the format.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    _, encoded = cv2.imencode(path.suffix, draw(image, faces))
    with replaced_atomically(path) as temporary, writing(path):
        temporary.write_bytes(encoded)


@contextmanager
def annotated_video(
    source: Path, path: Path, every: int
) -> Iterator[Callable[[Sequence[TrackedFace]], None]]:
    """Write a video with boxes, emotions and bars while the faces in it are found.

    The source is read a second time, because frames that wait for their answers would
    take too much memory. Under its own name the copy appears when it is whole.

    Parameters
    ----------
    source : Path
    path : Path
        A file .mp4.
    every : int
        How many frames each answer is for.

    Yields
    ------
    callable
        It takes an answer's faces and writes the next `every` frames.

    Raises
    ------
    OutputError
        The file cannot be written.
    VideoError
        The source is no video that can be decoded.
    """
    with Video(source) as video, replaced_atomically(path) as temporary:
        frames = video.frames()
        height, width = _even(draw(np.zeros((video.height, video.width, 3), np.uint8), [])).shape[
            :2
        ]
        code = cv2.VideoWriter_fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(temporary), code, video.rate, (width, height))
        if not writer.isOpened():
            raise OutputError(f"{path}: OpenCV cannot write a video of {width}×{height}")

        def write(faces: Sequence[TrackedFace]) -> None:
            # That the video is cut short is told by the pass that looks for its faces.
            with suppress(VideoError):
                for frame in islice(frames, every):
                    writer.write(_even(draw(frame.image, faces)))

        try:
            yield write
        finally:
            writer.release()


def _even(picture: np.ndarray) -> np.ndarray:
    """Cut off an odd last row and column: MPEG-4 halves the resolution of colours."""
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
