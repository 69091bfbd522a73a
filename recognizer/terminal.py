"""What a run prints: a table for people, or a line of JSON for each answer; its progress."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

from tqdm import tqdm

from recognizer.errors import OutputError
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import TrackedFace
from recognizer.work import Answer


def json_line(answer: Answer, version: str, dataset: str) -> str:
    """One answer as a JSON object; of a file that cannot be read, its path and error only."""
    line: dict = {"path": str(answer.path)}
    if answer.error:
        return json.dumps(line | {"error": answer.error})
    if answer.frame is not None:
        line |= {"frame": answer.frame, "seconds": answer.seconds}
    line |= {
        "image": {"width": answer.width, "height": answer.height},
        "faces": [asdict(face) for face in answer.faces],
        "model": {"version": version, "dataset": dataset},
    }
    return json.dumps(line)


def print_lines(*lines: str) -> None:
    """Print to stdout at once.

    Raises
    ------
    BrokenPipeError
        The reader of stdout has closed it.
    OutputError
        It cannot be written, as where stdout is a file on a full disk.
    """
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        # Python would try once more at exit and report that it failed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"standard output: cannot be written: {error.strerror}") from error


def table_head(labels: Sequence[str]) -> str:
    """The line above the table; probabilities are in percent."""
    return "  ".join(
        [f"{'emotion':<13}", *labels, f"{'size and place':<22}", f"{'sure':>4}", "where"]
    )


def table_lines(answer: Answer, labels: Sequence[str]) -> list[str]:
    """A line for each face, or one line for a picture without faces."""
    where = str(answer.path)
    if answer.seconds is not None:
        where += f" {answer.seconds // 60:.0f}:{answer.seconds % 60:06.3f}"
    if not answer.faces:
        return [f"no face{'':<{len(table_head(labels)) - len('no face') - len('where')}}{where}"]
    return [_table_line(face, where) for face in answer.faces]


def _table_line(face: RecognizedFace, where: str) -> str:
    box = face.box
    if isinstance(face, TrackedFace):
        where += f" person {face.person}"
    return "  ".join(
        [
            f"{face.emotion:<8} {face.probabilities[face.emotion]:4.0%}",
            *(f"{100 * p:{len(name)}.0f}" for name, p in face.probabilities.items()),
            f"{f'{box.width}×{box.height} at ({box.x}, {box.y})':<22}",
            f"{face.confidence:4.0%}",
            where,
        ]
    )


class Progress:
    """A bar on stderr: files and faces so far, files a second, and the time that is left.

    Parameters
    ----------
    total : int
        How many files there are.
    done : int
        Those among them that an earlier run has answered.
    shown : bool
        False draws nothing.
    """

    def __init__(self, total: int, done: int, shown: bool):
        # Without smoothing, the time left is by the rate of the whole run.
        self._bar = tqdm(
            total=total,
            initial=done,
            unit="file",
            postfix="0 faces",
            smoothing=0,
            dynamic_ncols=True,
            disable=not shown,
        )
        self._faces = 0
        self._video: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def add(self, answer: Answer) -> None:
        """Count an answer's faces, and its file when it is finished."""
        if self._video not in (None, answer.path):
            self.finish_video()
        self._faces += len(answer.faces)
        self._bar.set_postfix_str(f"{self._faces:,} faces", refresh=False)
        if answer.frame is None:
            self._video = None
            self._bar.update()
        else:
            self._video = answer.path

    def finish_video(self) -> None:
        """Count the video whose frames have come, after its last frame."""
        if self._video:
            self._video = None
            self._bar.update()
