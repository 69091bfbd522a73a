"""The run: from inputs to results, in the order of the inputs."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from recognizer.cli.annotate import ANNOTATED_VIDEOS, annotated_video
from recognizer.cli.crops import CropTree
from recognizer.cli.executors import CHUNK, BoundedExecutor
from recognizer.cli.inputs import Input
from recognizer.cli.job import FrameResult, Job, Result, recognize_frames, recognize_photos
from recognizer.cli.output_paths import OutputPaths
from recognizer.cli.progress_bar import tqdm
from recognizer.cli.timeline import TIMELINES, Timeline
from recognizer.errors import VideoError
from recognizer.optional_packages import needs_package
from recognizer.printable import printable
from recognizer.video.cuts import mark_cuts
from recognizer.video.tracking import Tracker
from recognizer.video.until_error import until_error

if TYPE_CHECKING:
    from recognizer.video.reader import Video

CHUNK_BYTES = 8_000_000
"""The most bytes of all frames in a chunk; Dask warns about tasks larger than 10 MB."""


@dataclass(frozen=True)
class Run:
    """The settings of a run and its executor."""

    job: Job
    executor: BoundedExecutor
    labels: tuple[str, ...]
    every: int
    """Of a video, the first frame and every N-th after it are processed."""
    time_constant: float
    """Of the moving average over a person's probabilities, in seconds."""
    annotated: OutputPaths | None = None
    crops: CropTree | None = None
    timelines: OutputPaths | None = None
    progress: bool = False
    """Whether a progress bar shows the frames of a video."""

    def results(self, inputs: Iterable[Input]) -> Iterator[Result]:
        """Yield a result for each photo and frame, in the order of the inputs.

        Only the inputs being processed are in memory.

        Raises
        ------
        DetectorError, ModelError, OutputError, WorkersError
            The run cannot continue. The error of a single input is in its result instead.
        """
        photos = partial(recognize_photos, self.job, self.annotated, self.crops)
        for are_videos, group in groupby(inputs, attrgetter("is_video")):
            if are_videos:
                for item in group:
                    if self.crops:
                        yield Result(item.path, error="a video; --crops takes photos only")
                    else:
                        yield from self._video(item.path)
            else:
                yield from self.executor.map(photos, group)

    def _video(self, path: Path) -> Iterator[Result]:
        try:
            from recognizer.video.reader import Video
        except ModuleNotFoundError as error:
            yield Result(path, error=needs_package("a video", error, "video"))
            return
        try:
            with Video(path) as video:
                yield from self._frames(path, video)
        except VideoError as error:
            yield Result(path, error=str(error))

    def _frames(self, path: Path, video: "Video") -> Iterator[FrameResult]:
        tracker = Tracker(self.time_constant, self.job.min_probability)
        timeline = Timeline(self.labels)
        errors: list[VideoError] = []
        results = self.executor.map(
            partial(recognize_frames, self.job, path),
            mark_cuts(until_error(video.frames(self.every), errors)),
            min(CHUNK, max(1, CHUNK_BYTES // (3 * video.width * video.height))),
        )
        total = -(-video.announced // self.every) or None
        with ExitStack() as stack:
            write = None
            if self.annotated:
                copy = self.annotated.path(path, ANNOTATED_VIDEOS)
                write = stack.enter_context(annotated_video(path, copy, self.every))
            bar = tqdm(
                results,
                printable(path.name),
                total,
                leave=False,
                unit="frame",
                disable=not self.progress,
            )
            for result in bar:
                faces = tracker.update(result.seconds, result.faces, result.cut)
                if write:
                    write(faces)
                if self.timelines:
                    timeline.add(result.seconds, faces)
                yield replace(result, faces=faces)
        if self.timelines:
            timeline.write(self.timelines.path(path, TIMELINES))
        if errors:
            raise errors[0]
