"""The arguments of the command line."""

import argparse
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, NoReturn

from recognizer.classifier import Classifier
from recognizer.cli.version import package_version
from recognizer.detectors.registry import DETECTORS
from recognizer.errors import ModelError
from recognizer.image import MAX_PIXELS
from recognizer.printable import printable
from recognizer.regular_file import MAX_BYTES
from recognizer.released_models import DEFAULT_MODEL, find_model, released_models
from recognizer.video.tracking import TIME_CONSTANT


class Arguments(argparse.Namespace):
    """The parsed arguments; `--help` describes each."""

    paths: list[str]
    json: bool
    csv: Path | None
    raw_cells: bool
    annotate: Path | None
    crops: Path | None
    plot: Path | None
    faces: str
    align: bool
    min_confidence: float
    unsure: float
    max_pixels: int
    max_bytes: int
    model: str
    every: int
    smooth: float
    workers: int
    dask: str | None


def parse_arguments(arguments: Sequence[str] | None = None) -> Arguments:
    """Parse arguments, by default those of this process; exit after a wrong one, as argparse."""
    parser = _parser()
    parsed = parser.parse_args(arguments, Arguments())
    if parsed.raw_cells and not parsed.csv:
        parser.error("--raw-cells: needs --csv")
    return parsed


class _ShowVersion(argparse.Action):
    """Print the versions and exit. Unlike argparse's own action, it reads the model on demand."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        try:
            classifier = Classifier(find_model(DEFAULT_MODEL))
            model = f"model {classifier.dataset} {classifier.version[:12]}"
        except ModelError as error:
            model = f"no default model: {error}"
        print(f"{parser.prog} {package_version()}, {model}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="recognize-emotions",
        description="Find the faces in photos and videos and recognize the emotion of each.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a photo, a video, a folder with everything below it, or a quoted pattern such as"
        " 'holiday/**/*.jpg'",
    )
    parser.add_argument(
        "--version",
        action=_ShowVersion,
        nargs=0,
        help="print the versions of this program and of its default model",
    )
    _add_outputs(parser.add_argument_group("output (default: a table on the terminal)"))
    _add_recognition(parser.add_argument_group("detection and recognition"))
    _add_video_options(parser.add_argument_group("videos"))
    workers = parser.add_argument_group("processes").add_mutually_exclusive_group()
    workers.add_argument(
        "--workers",
        type=count,
        default=1,
        metavar="N",
        help="number of processes on this machine (default: 1)",
    )
    workers.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="address of a Dask scheduler, such as tcp://10.0.0.1:8786; its workers must see the"
        " same files",
    )
    return parser


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object a line for each photo and frame, instead of the table",
    )
    group.add_argument(
        "--csv",
        type=Path,
        metavar="OUT",
        help="write one row a face to this file, instead of the table; if the file exists, resume"
        " after its last input",
    )
    group.add_argument(
        "--raw-cells",
        action="store_true",
        help="with --csv: write texts that begin with = + - @ or a tab as they are; without this"
        " option they get an apostrophe in front, because a spreadsheet would compute them",
    )
    group.add_argument(
        "--annotate",
        type=Path,
        metavar="OUT",
        help="write copies with boxes, emotions and bars: to a file for one PATH, to a folder for"
        " more; videos as .mp4 or .webm with their sound",
    )
    group.add_argument(
        "--crops",
        type=Path,
        metavar="OUT",
        help="write each face of the photos into the folder of its emotion in OUT, and one row a"
        " face into OUT/faces.csv; a training reads OUT after you have moved the wrong ones",
    )
    group.add_argument(
        "--plot",
        type=Path,
        metavar="OUT",
        help="plot the emotions of each person in a video over time: to a file for one video, to"
        " a folder for more",
    )


def _add_recognition(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--faces",
        choices=list(DETECTORS),
        default="yunet",
        help="yunet: detect the faces in each photo (default); whole: each photo is one face",
    )
    group.add_argument(
        "--align",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="rotate each face upright, if the detector estimates its tilt",
    )
    group.add_argument(
        "--min-confidence",
        type=fraction,
        default=0.0,
        metavar="P",
        help="leave out faces with a lower confidence of the detector, 0 to 1 (default: 0)",
    )
    group.add_argument(
        "--unsure",
        type=fraction,
        default=0.0,
        metavar="P",
        help="predict no emotion where the highest probability is below this, 0 to 1 (default: 0)",
    )
    group.add_argument(
        "--max-pixels",
        type=count,
        default=MAX_PIXELS,
        metavar="N",
        help="refuse photos with more pixels, width times height, before they are decoded"
        f" (default: {MAX_PIXELS})",
    )
    group.add_argument(
        "--max-bytes",
        type=count,
        default=MAX_BYTES,
        metavar="N",
        help=f"refuse photos whose files have more bytes (default: {MAX_BYTES})",
    )
    group.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help=f"a model by name ({', '.join(released_models())}), or a file model.onnx"
        f" (default: {DEFAULT_MODEL})",
    )


def _add_video_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--every",
        type=count,
        default=1,
        metavar="N",
        help="process the first frame and every N-th after it (default: 1)",
    )
    group.add_argument(
        "--smooth",
        type=seconds,
        default=TIME_CONSTANT,
        metavar="SECONDS",
        help="time constant of the moving average over a person's frames; 0 for none"
        f" (default: {TIME_CONSTANT:g})",
    )


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number


def fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return number


def seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, got {text}")
    return number
