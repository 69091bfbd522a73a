"""Copies of videos with what was found in them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import numpy as np

from recognizer.atomic_file import written_atomically
from recognizer.drawing import draw
from recognizer.errors import VideoError
from recognizer.video.reader import Video
from recognizer.video.tracking import TrackedFace
from recognizer.video.writer import VideoWriter


@contextmanager
def annotated_video(
    source: Path, path: Path, every: int
) -> Iterator[Callable[[Sequence[TrackedFace]], None]]:
    """Write a video with boxes, emotions and bars while the faces in it are found.

    Frames keep their times and the sound is kept; see `VideoWriter` for the formats. The
    source is read a second time, because frames that wait for their answers would take too
    much memory. The copy takes its name when it is complete and was opened again; until then,
    a file of that name stays as it was.

    Parameters
    ----------
    source : Path
    path : Path
        A file .mp4 or .webm.
    every : int
        How many frames each answer is for.

    Yields
    ------
    callable
        It takes an answer's faces and writes the next `every` frames.

    Raises
    ------
    OutputError
        The file cannot be written whole.
    VideoError
        The source is no video that can be decoded.
    """
    with Video(source) as video, written_atomically(path) as temporary:
        frames = video.frames()
        blank = np.zeros((video.height, video.width, 3), np.uint8)
        height, width = draw(blank, []).shape[:2]
        with VideoWriter(temporary, path, height, width, video) as writer:

            def write(faces: Sequence[TrackedFace]) -> None:
                # The pass that looks for faces reports a damaged source.
                with suppress(VideoError):
                    for frame in islice(frames, every):
                        writer.write(draw(frame.image, faces), frame.seconds)

            yield write
