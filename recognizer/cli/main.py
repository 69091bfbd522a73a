"""The command: arguments to a run, results to the terminal and the CSV file."""

import io
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from recognizer.classifier import Classifier
from recognizer.cli.annotate import ANNOTATED_PHOTOS, ANNOTATED_VIDEOS, need_drawing
from recognizer.cli.arguments import Arguments, parse_arguments
from recognizer.cli.console import (
    Progress,
    json_line,
    print_lines,
    print_message,
    table_header,
    table_lines,
)
from recognizer.cli.crop_table import CropTable
from recognizer.cli.crops import CropTree
from recognizer.cli.csv_table import CsvTable
from recognizer.cli.executors import BoundedExecutor, dask_cluster, local_processes
from recognizer.cli.inputs import Input, find_inputs
from recognizer.cli.job import FrameResult, Job, Result, load
from recognizer.cli.output_lock import output_lock
from recognizer.cli.output_paths import OutputPaths, choose_output_paths, refuse_inputs_inside
from recognizer.cli.run import Run
from recognizer.cli.timeline import TIMELINES, need_matplotlib
from recognizer.crop_tree import TABLE
from recognizer.errors import DetectorError, ModelError, OutputError, WorkersError
from recognizer.released_models import find_model


def main() -> int:
    """Run the command with the arguments of this process; return its exit status.

    1 after an error, also of a single input; 130 after Ctrl-C.
    """
    arguments = parse_arguments()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's encoding lacks, such as ×, is printed as an escape.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except (DetectorError, ModelError, OutputError, WorkersError) as error:
        print_message(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of stdout has closed it, as `… | head` does.
        return 1


def _run(arguments: Arguments) -> int:
    annotated, timelines = _annotated(arguments), _timelines(arguments)
    if timelines:
        need_matplotlib()
    job = Job(
        folder=Path.cwd(),
        model=find_model(arguments.model).absolute(),
        detector=arguments.faces,
        align=arguments.align,
        min_confidence=arguments.min_confidence,
        min_probability=arguments.unsure,
        max_pixels=arguments.max_pixels,
        max_bytes=arguments.max_bytes,
    )
    classifier = load(job).classifier
    if arguments.dask or arguments.workers > 1:
        job = replace(job, version=classifier.version, threads=1)
    progress = _shows_progress(arguments)
    with (
        _table(arguments, classifier) as table,
        _crop_table(arguments, classifier) as crop_table,
        _executor(arguments) as executor,
    ):
        run = Run(
            job=job,
            executor=executor,
            labels=classifier.labels,
            every=arguments.every,
            time_constant=arguments.smooth,
            annotated=annotated,
            crops=CropTree(arguments.crops.absolute()) if arguments.crops else None,
            timelines=timelines,
            progress=progress,
        )
        if table and table.done:
            print_message(f"{table.path}: resuming after {len(table.done)} inputs")
        if table and table.repeated:
            print_message(
                f"{table.path}: removed the rows of {table.repeated} inputs that two runs had"
                " written; processing them again"
            )
        ignored = [paths.out for paths in (annotated, timelines) if paths and paths.root]
        if arguments.crops:
            ignored.append(arguments.crops)
        inputs = partial(find_inputs, arguments.paths, ignored)
        done = table.done if table else set()
        with _progress(inputs, done, progress) as bar:
            results = run.results(_each_once(inputs(), done) if table else inputs())
            return _report(results, arguments, classifier, table, crop_table, bar)


def _each_once(inputs: Iterable[Input], done: Collection[str]) -> Iterator[Input]:
    """Yield the inputs that have no rows yet; a photo that two arguments name gets them once."""
    taken = set(done)
    for item in inputs:
        if str(item.path) not in taken:
            taken.add(str(item.path))
            yield item


def _report(
    results: Iterator[Result],
    arguments: Arguments,
    classifier: Classifier,
    table: CsvTable | None,
    crop_table: CropTable | None,
    progress: Progress,
) -> int:
    """Print and write each result; the exit status is 1 if an input could not be read."""
    headed, frames, errors = False, False, 0
    for result in results:
        if crop_table:
            crop_table.write(result)
        if table:
            table.write(result)
        if arguments.json:
            print_lines(json_line(result, classifier.version, classifier.dataset))
        elif not table and not result.error:
            if not headed:
                print_lines(table_header(classifier.labels))
                headed = True
            print_lines(*table_lines(result, classifier.labels))
        if result.error:
            errors += 1
            print_message(f"error: {result.path}: {result.error}")
        frames |= isinstance(result, FrameResult)
        progress.add(result)
    progress.finish_video()
    if arguments.plot and not frames and not errors and not (table and table.done):
        raise OutputError("--plot: there is no video among the inputs; name one or omit --plot")
    if table and table.errors:
        print_message(f"cannot be read: {table.errors} inputs; see {table.path}")
        return 1
    return int(errors > 0)


def _progress(
    inputs: Callable[[], Iterator[Input]], done: Collection[str], shown: bool
) -> Progress:
    """A bar over all inputs, those of an earlier run included."""
    finished = [str(item.path) in done for item in inputs()] if shown else []
    return Progress(len(finished), sum(finished), shown)


def _shows_progress(arguments: Arguments) -> bool:
    """Whether stderr is a terminal, and no results are printed on the same terminal."""
    prints = arguments.json or not arguments.csv
    return sys.stderr.isatty() and not (prints and sys.stdout.isatty())


def _annotated(arguments: Arguments) -> OutputPaths | None:
    if arguments.annotate is None:
        return None
    need_drawing()
    is_video = Input(Path(arguments.paths[0])).is_video
    suffixes = ANNOTATED_VIDEOS if is_video else ANNOTATED_PHOTOS
    return choose_output_paths("--annotate", arguments.annotate, arguments.paths, suffixes)


def _timelines(arguments: Arguments) -> OutputPaths | None:
    if arguments.plot is None:
        return None
    return choose_output_paths("--plot", arguments.plot, arguments.paths, TIMELINES)


@contextmanager
def _table(arguments: Arguments, classifier: Classifier) -> Iterator[CsvTable | None]:
    if arguments.csv is None:
        yield None
        return
    settings = (
        f"faces={arguments.faces} align={'yes' if arguments.align else 'no'}"
        f" min_confidence={arguments.min_confidence:g}"
        f" every={arguments.every} smooth={arguments.smooth:g}"
    )
    if arguments.unsure:
        settings += f" unsure={arguments.unsure:g}"
    if arguments.raw_cells:
        settings += " cells=raw"
    origin = classifier.labels, classifier.version, settings
    with (
        output_lock(arguments.csv),
        CsvTable(arguments.csv, *origin, raw_cells=arguments.raw_cells) as table,
    ):
        yield table


@contextmanager
def _crop_table(arguments: Arguments, classifier: Classifier) -> Iterator[CropTable | None]:
    """The table of `--crops`.

    Raises
    ------
    OutputError
        The folder is a file or contains an input, or its table cannot be continued.
    """
    out = arguments.crops
    if out is None:
        yield None
        return
    refuse_inputs_inside("--crops", out, arguments.paths)
    with (
        output_lock(out / TABLE),
        CropTable(out, classifier.labels, classifier.version) as table,
    ):
        yield table


def _executor(arguments: Arguments) -> AbstractContextManager[BoundedExecutor]:
    if arguments.dask:
        return dask_cluster(arguments.dask)
    if arguments.workers > 1:
        return local_processes(arguments.workers)
    return nullcontext(BoundedExecutor(None))
