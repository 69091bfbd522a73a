"""The terminal: a table, or one line of JSON for each result; the progress bar."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recognizer.cli.job import FrameResult, Result
from recognizer.cli.progress_bar import tqdm
from recognizer.errors import OutputError
from recognizer.printable import printable
from recognizer.recognizer import UNSURE, RecognizedFace
from recognizer.video.tracking import TrackedFace


def json_line(result: Result, version: str, dataset: str) -> str:
    """Return a result as a JSON object; only path and error if the input cannot be read."""
    line: dict[str, Any] = {"path": str(result.path)}
    if result.error:
        return json.dumps(line | {"error": result.error})
    if isinstance(result, FrameResult):
        line |= {"frame": result.frame, "seconds": result.seconds}
    line |= {
        "image": {"width": result.width, "height": result.height},
        "faces": [asdict(face) for face in result.faces],
        "model": {"version": version, "dataset": dataset},
    }
    return json.dumps(line)


def print_message(line: str) -> None:
    """Print a line to stderr, above the progress bar."""
    tqdm.write(printable(line), file=sys.stderr)


def print_lines(*lines: str) -> None:
    """Print to stdout and flush; control characters of file names are escaped.

    Raises
    ------
    BrokenPipeError
        The reader of stdout has closed it.
    OutputError
        It cannot be written, for example if stdout is a file on a full disk.
    """
    try:
        print(*map(printable, lines), sep="\n", flush=True)
    except OSError as error:
        # Python would flush once more at exit and report that this failed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"standard output: cannot be written: {error.strerror}") from error


def table_header(labels: Sequence[str]) -> str:
    """Return the first line of the table; probabilities are in percent."""
    return "  ".join(
        [f"{'emotion':<13}", *labels, f"{'size and place':<22}", f"{'conf':>4}", "file"]
    )


def table_lines(result: Result, labels: Sequence[str]) -> list[str]:
    """Return a line for each face, or one line for a picture without faces."""
    file = str(result.path)
    if isinstance(result, FrameResult):
        file += f" {result.seconds // 60:.0f}:{result.seconds % 60:06.3f}"
    if not result.faces:
        return [f"no face{'':<{len(table_header(labels)) - len('no face') - len('file')}}{file}"]
    return [_table_line(face, file) for face in result.faces]


def _table_line(face: RecognizedFace, file: str) -> str:
    box = face.box
    if isinstance(face, TrackedFace):
        file += f" person {face.person}"
    return "  ".join(
        [
            f"{face.emotion:<8} {face.probabilities[face.emotion]:4.0%}"
            if face.emotion
            else f"{UNSURE:<13}",
            *(f"{100 * p:{len(name)}.0f}" for name, p in face.probabilities.items()),
            f"{f'{box.width}×{box.height} at ({box.x}, {box.y})':<22}",
            f"{face.confidence:4.0%}",
            file,
        ]
    )


class Progress:
    """A bar on stderr: files and faces so far, files per second, and the remaining time.

    Parameters
    ----------
    total : int
        Number of files.
    done : int
        Number of files that an earlier run has finished.
    shown : bool
        False draws nothing.
    """

    def __init__(self, total: int, done: int, shown: bool):
        # Without smoothing, the remaining time follows from the rate of the whole run.
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

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def add(self, result: Result) -> None:
        """Count the faces of a result, and its file if it is finished."""
        if self._video not in (None, result.path):
            self.finish_video()
        self._faces += len(result.faces)
        self._bar.set_postfix_str(f"{self._faces:,} faces", refresh=False)
        if isinstance(result, FrameResult):
            self._video = result.path
        else:
            self._video = None
            self._bar.update()

    def finish_video(self) -> None:
        """Count the current video, if there is one; call this after its last frame."""
        if self._video:
            self._video = None
            self._bar.update()
