"""Recognize the emotions in photos and videos: `python -m recognizer PATH…`."""

import argparse
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path

from tqdm import tqdm

from recognizer.annotate import ANNOTATED_PHOTOS
from recognizer.answers import ANNOTATED_VIDEOS, TIMELINES, Run
from recognizer.classifier import Classifier
from recognizer.csv_table import CsvTable
from recognizer.destination import Destination, choose_destination
from recognizer.errors import DetectorError, ModelError, OutputError, WorkersError
from recognizer.faces import DETECTORS
from recognizer.image import MAX_PIXELS
from recognizer.inputs import Input, find_inputs
from recognizer.terminal import Progress, json_line, print_lines, table_head, table_lines
from recognizer.timeline import need_matplotlib
from recognizer.version import package_version
from recognizer.video.tracking import TIME_CONSTANT
from recognizer.work import Answer, Job, load
from recognizer.workers import Workers, dask_cluster, local_processes

ROOT = Path(__file__).parents[1]
"""Of the repository: its models are found from wherever the command is typed."""

MODEL = ROOT / "models/fer2013/model.onnx"


def main() -> int:
    """Read the arguments, do what they say, and return the exit status."""
    arguments = _parser().parse_args()
    # A terminal that has no × or cannot show a file's name gets an escape instead.
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except (DetectorError, ModelError, OutputError, WorkersError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The output was closed, as by `… | head`.
        return 1


def _run(arguments: argparse.Namespace) -> int:
    annotated = _destination("--annotate", arguments.annotate, arguments.paths)
    timelines = _destination("--plot", arguments.plot, arguments.paths)
    if timelines:
        need_matplotlib()
    job = Job(
        folder=Path.cwd(),
        model=arguments.model.absolute(),
        faces=arguments.faces,
        align=arguments.align,
        min_confidence=arguments.min_confidence,
        max_pixels=arguments.max_pixels,
    )
    classifier = load(job).classifier
    if arguments.dask or arguments.workers > 1:
        job = replace(job, version=classifier.version, threads=1)
    progress = _shows_progress(arguments)
    with _table(arguments, classifier) as table, _workers(arguments) as workers:
        run = Run(
            job=job,
            workers=workers,
            labels=classifier.labels,
            every=arguments.every,
            time_constant=arguments.smooth,
            annotated=annotated,
            timelines=timelines,
            progress=progress,
        )
        if table and table.done:
            print(f"{table.path}: going on after {len(table.done)} inputs", file=sys.stderr)
        ignored = [place.out for place in (annotated, timelines) if place and place.root]
        inputs = partial(find_inputs, arguments.paths, ignored)
        done = table.done if table else set()
        with _progress(inputs, done, progress) as bar:
            answers = run.answers(item for item in inputs() if str(item.path) not in done)
            return _report(answers, arguments, classifier, table, bar)


def _report(
    answers: Iterator[Answer],
    arguments: argparse.Namespace,
    classifier: Classifier,
    table: CsvTable | None,
    progress: Progress,
) -> int:
    """Print and write each answer; the exit status says whether all inputs could be read."""
    headed, frames, errors = False, False, 0
    for answer in answers:
        if table:
            table.write(answer)
        if arguments.json:
            print_lines(json_line(answer, classifier.version, classifier.dataset))
        elif not table and not answer.error:
            if not headed:
                print_lines(table_head(classifier.labels))
                headed = True
            print_lines(*table_lines(answer, classifier.labels))
        if answer.error:
            errors += 1
            tqdm.write(f"error: {answer.path}: {answer.error}", file=sys.stderr)
        frames |= answer.frame is not None
        progress.add(answer)
    progress.finish_video()
    if arguments.plot and not frames and not errors and not (table and table.done):
        raise OutputError("--plot: there was no video to draw a timeline of")
    if table and table.errors:
        print(f"cannot be read: {table.errors}; {table.path} says why", file=sys.stderr)
        return 1
    return int(errors > 0)


def _progress(
    inputs: Callable[[], Iterator[Input]], done: Collection[str], shown: bool
) -> Progress:
    """A bar over all inputs, those of an earlier run included."""
    answered = [str(item.path) in done for item in inputs()] if shown else []
    return Progress(len(answered), sum(answered), shown)


def _shows_progress(arguments: argparse.Namespace) -> bool:
    """Whether there is a terminal for the progress bar, and no answers are printed on it."""
    prints = arguments.json or not arguments.csv
    return sys.stderr.isatty() and not (prints and sys.stdout.isatty())


def _destination(option: str, out: Path | None, paths: Sequence[str]) -> Destination | None:
    if out is None:
        return None
    if option == "--plot":
        suffixes = TIMELINES
    else:
        suffixes = ANNOTATED_VIDEOS if Input(Path(paths[0])).is_video else ANNOTATED_PHOTOS
    return choose_destination(option, out, paths, suffixes)


def _table(
    arguments: argparse.Namespace, classifier: Classifier
) -> AbstractContextManager[CsvTable | None]:
    if arguments.csv is None:
        return nullcontext()
    settings = (
        f"faces={arguments.faces} align={'yes' if arguments.align else 'no'}"
        f" min_confidence={arguments.min_confidence:g}"
        f" every={arguments.every} smooth={arguments.smooth:g}"
    )
    return CsvTable(arguments.csv, classifier.labels, classifier.version, settings)


def _workers(arguments: argparse.Namespace) -> AbstractContextManager[Workers]:
    if arguments.dask:
        return dask_cluster(arguments.dask)
    if arguments.workers > 1:
        return local_processes(arguments.workers)
    return nullcontext(Workers(None))


class _ShowVersion(argparse.Action):
    """Prints the versions and exits, like argparse's own, but reads the model only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_) -> None:
        try:
            classifier = Classifier(MODEL)
            model = f"model {classifier.dataset} {classifier.version[:12]}"
        except ModelError as error:
            model = f"no default model: {error}"
        print(f"{parser.prog} {package_version()}, {model}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recognize-emotions",
        description="Find the faces in photos and videos, and tell the emotion that each shows.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a photo, a video, a folder with all that is below it, or a quoted pattern such as"
        " 'holiday/**/*.jpg'",
    )
    parser.add_argument(
        "--version",
        action=_ShowVersion,
        nargs=0,
        help="print the versions of this program and of its default model",
    )
    _add_outputs(parser.add_argument_group("output, besides a table on the terminal"))
    _add_recognition(parser.add_argument_group("detection and recognition"))
    _add_video_options(parser.add_argument_group("videos"))
    workers = parser.add_argument_group("processes").add_mutually_exclusive_group()
    workers.add_argument(
        "--workers",
        type=count,
        default=1,
        metavar="N",
        help="so many processes of this machine (default: 1)",
    )
    workers.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="the Dask cluster of this scheduler, such as tcp://10.0.0.1:8786; its workers must"
        " see the same files",
    )
    return parser


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--json",
        action="store_true",
        help="print an object per line for each photo and frame, instead of the table",
    )
    group.add_argument(
        "--csv",
        type=Path,
        metavar="OUT",
        help="write a row per face to this file, instead of the table; if it is there, go on"
        " where it stops",
    )
    group.add_argument(
        "--annotate",
        type=Path,
        metavar="OUT",
        help="write copies with boxes, emotions and bars: a file for one PATH, a folder for more;"
        " videos as .mp4 or .webm, with their sound",
    )
    group.add_argument(
        "--plot",
        type=Path,
        metavar="OUT",
        help="draw what each person in a video shows over time: a file for one video, a folder"
        " for more",
    )


def _add_recognition(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--faces",
        choices=list(DETECTORS),
        default="yunet",
        help="yunet: find the faces in each photo (default); whole: each photo is one face",
    )
    group.add_argument(
        "--align",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="turn each face upright, where the detector tells how it is turned",
    )
    group.add_argument(
        "--min-confidence",
        type=share,
        default=0.0,
        metavar="P",
        help="leave out faces with a lower confidence of the detector, 0 to 1 (default: 0)",
    )
    group.add_argument(
        "--max-pixels",
        type=count,
        default=MAX_PIXELS,
        metavar="N",
        help="refuse photos of more pixels, width times height, before they are decoded"
        f" (default: {MAX_PIXELS})",
    )
    group.add_argument(
        "--model",
        type=Path,
        default=MODEL,
        metavar="FILE",
        help=f"another model (default: {MODEL.relative_to(ROOT)})",
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


def share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return number


def seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, got {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
