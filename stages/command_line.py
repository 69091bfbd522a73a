"""The command line of every stage: `python -m stages.NAME DATASET`."""

import argparse
import csv
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from recognizer.atomic_file import full_disk
from recognizer.errors import OutputError
from recognizer.printable import printable
from stages.errors import UserError
from stages.parameters import Parameters, check_dataset_name, load_parameters


def check_parameters() -> None:
    """Check the command line and the dataset's whole parameter file; exit where one is wrong.

    A stage calls it before it imports what takes seconds, so that a mistake is answered at once.
    """
    dataset = _dataset(sys.modules["__main__"].__doc__)
    try:
        load_parameters(dataset)
    except UserError as error:
        sys.exit(printable(f"error: {error}"))


class _OneLine(logging.Formatter):
    """Keeps the control characters of file names from the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


def run(main: Callable[[str, Parameters], None], description: str) -> None:
    """Read the dataset's name and parameters, call `main` with both, and exit.

    The first line logged says what the stage does and how long it usually takes.
    A `UserError` or `OutputError`, a full disk or a lack of memory becomes one line on standard
    error and exit status 1. A stage that fails loses no committed file.
    """
    dataset = _dataset(description)
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # Log this project's lines, not those of other libraries; the running stage is `__main__`.
    for name in ("__main__", "stages", "recognizer"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger(__name__).info(
        "%s%s", description, usual_time(dataset, Path(sys.argv[0]).stem)
    )
    try:
        main(dataset, load_parameters(dataset))
    except BaseException as error:
        restore_committed(dataset)
        if isinstance(error, UserError | OutputError):
            sys.exit(printable(f"error: {error}"))
        if isinstance(error, OSError) and (reason := full_disk(error)):
            sys.exit(printable(f"error: {error.filename or 'a file'}: {reason}; free some space"))
        if isinstance(error, MemoryError):
            sys.exit(printable(f"error: memory ran out ({error}); use a machine with more"))
        raise


def restore_committed(dataset: str) -> None:
    """Bring back the committed files of a dataset that are missing, where git keeps them.

    DVC removes the outputs of a stage before it runs the stage.
    """
    if not shutil.which("git"):
        return
    folders = [f"metrics/{dataset}", f"models/{dataset}"]
    command = ["git", "ls-files", "--deleted", "-z", "--", *folders]
    listed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    missing = [name for name in listed.stdout.decode().split("\0") if name]
    if not missing:
        return
    restored = subprocess.run(["git", "restore", "--", *missing], stderr=subprocess.DEVNULL)
    log, names = logging.getLogger(__name__), ", ".join(missing)
    if restored.returncode:
        log.warning("not restored, restore them by `git restore`: %s", names)
    else:
        log.info("restored as committed: %s", names)


def _dataset(description: str | None) -> str:
    """The dataset's name; exit where it is no name.

    DVC quotes a name for its shell only if it writes the option as well: `${item}` in dvc.yaml
    becomes `--dataset NAME`.
    """
    parser = argparse.ArgumentParser(description=description)
    named = parser.add_mutually_exclusive_group(required=True)
    what = "the name of a file of params/, for instance sample"
    named.add_argument("dataset", nargs="?", help=what)
    named.add_argument("--dataset", dest="option", metavar="DATASET", help="the same")
    arguments = parser.parse_args()
    dataset: str = arguments.option if arguments.dataset is None else arguments.dataset
    try:
        check_dataset_name(dataset)
    except UserError as error:
        sys.exit(f"error: {error}")
    return dataset


def usual_time(dataset: str, stage: str) -> str:
    """The measured time of a stage as a sentence, empty where none was measured."""
    path = Path(f"benchmarks/stage_costs_{dataset}.csv")
    if not path.exists():
        return ""
    with path.open(newline="") as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    if stage not in rows:
        return ""
    seconds = float(rows[stage]["wall_seconds"])
    amount = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    processor = ", ".join(rows[stage]["machine"].split(", ")[:2])
    return f" Usual time: {amount} on {processor} ({path.with_suffix('.md')})."
