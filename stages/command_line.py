"""The command line of every stage: `python -m stages.NAME DATASET`."""

import argparse
import csv
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from recognizer.errors import OutputError
from stages.errors import UserError
from stages.parameters import Parameters, load_parameters


def check_parameters() -> None:
    """Check the command line and the dataset's whole parameter file; exit where one is wrong.

    A stage calls it before it imports what takes seconds, so that a mistake is answered at once.
    """
    dataset = _dataset(sys.modules["__main__"].__doc__)
    try:
        load_parameters(dataset)
    except UserError as error:
        sys.exit(f"error: {error}")


def run(main: Callable[[str, Parameters], None], description: str) -> None:
    """Read the dataset's name and parameters, call `main` with both, and exit.

    The first line logged says what the stage does and how long it usually takes.
    A `UserError` or `OutputError` becomes one line on standard error and exit status 1. A stage
    that fails loses no committed file.
    """
    dataset = _dataset(description)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
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
            sys.exit(f"error: {error}")
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
    if missing:
        subprocess.run(["git", "restore", "--", *missing], check=True)
        logging.getLogger(__name__).info("restored as committed: %s", ", ".join(missing))


def _dataset(description: str | None) -> str:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("dataset", help="the name of a file of params/, for instance sample")
    dataset: str = parser.parse_args().dataset
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
