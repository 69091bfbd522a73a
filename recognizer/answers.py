"""The run: from inputs to answers, in their order."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from tqdm import tqdm

from recognizer.annotate_video import annotated_video
from recognizer.destination import Destination
from recognizer.errors import VideoError
from recognizer.inputs import Input
from recognizer.timeline import Timeline
from recognizer.video.cuts import mark_cuts
from recognizer.video.reader import Frame, Video
from recognizer.video.tracking import Tracker
from recognizer.video.writer import FORMATS
from recognizer.work import Answer, Job, recognize_frames, recognize_photos
from recognizer.workers import CHUNK, Workers

CHUNK_BYTES = 8_000_000
"""Of all frames in a chunk together; Dask warns of tasks larger than 10 MB."""

ANNOTATED_VIDEOS = tuple(FORMATS)
TIMELINES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Run:
    """The settings of a run and the processes that do its work."""

    job: Job
    workers: Workers
    labels: tuple[str, ...]
    every: int
    """Of a video, the first frame and every N-th after it are processed."""
    time_constant: float
    """Seconds over which probabilities in a video are smoothed."""
    annotated: Destination | None = None
    timelines: Destination | None = None
    progress: bool = False
    """Whether the frames of a video move a progress bar."""

    def answers(self, inputs: Iterable[Input]) -> Iterator[Answer]:
        """Yield an answer for each photo and frame, in the order of the inputs.

        Only inputs that are being processed are in memory.

        Raises
        ------
        DetectorError, ModelError, OutputError, WorkersError
            The run cannot go on. An error of a single input is in its answer instead.
        """
        photos = partial(recognize_photos, self.job, self.annotated)
        for are_videos, group in groupby(inputs, attrgetter("is_video")):
            if are_videos:
                for item in group:
                    yield from self._video(item.path)
            else:
                yield from self.workers.map(photos, group)

    def _video(self, path: Path) -> Iterator[Answer]:
        try:
            with Video(path) as video:
                yield from self._frames(path, video)
        except VideoError as error:
            yield Answer(path, error=str(error))

    def _frames(self, path: Path, video: Video) -> Iterator[Answer]:
        tracker, timeline = Tracker(self.time_constant), Timeline(self.labels)
        broken: list[VideoError] = []
        answers = self.workers.map(
            partial(recognize_frames, self.job, path),
            mark_cuts(_until_broken(video.frames(self.every), broken)),
            min(CHUNK, max(1, CHUNK_BYTES // (3 * video.width * video.height))),
        )
        total = -(-video.announced // self.every) or None
        with ExitStack() as stack:
            draw = None
            if self.annotated:
                copy = self.annotated.path(path, ANNOTATED_VIDEOS)
                draw = stack.enter_context(annotated_video(path, copy, self.every))
            bar = tqdm(
                answers, path.name, total, leave=False, unit="frame", disable=not self.progress
            )
            for answer in bar:
                faces = tracker.update(answer.seconds, answer.faces, answer.cut)
                if draw:
                    draw(faces)
                if self.timelines:
                    timeline.add(answer.seconds, faces)
                yield replace(answer, faces=faces)
        if self.timelines:
            timeline.write(self.timelines.path(path, TIMELINES))
        if broken:
            raise broken[0]


def _until_broken(frames: Iterator[Frame], broken: list[VideoError]) -> Iterator[Frame]:
    """Yield frames up to an error and keep the error: the frames before it are answered first."""
    try:
        yield from frames
    except VideoError as error:
        broken.append(error)
