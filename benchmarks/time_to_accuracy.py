"""Measure how long a dataset's training takes to an accuracy on PublicTest.

    python -m benchmarks.time_to_accuracy fer2013
    python -m benchmarks.time_to_accuracy fer2013 --log train.log
    python -m benchmarks.time_to_accuracy --page

Runs `python -m stages.train DATASET` in a temporary copy of the dataset's files and reads the clock
when the stage reports an epoch; the files in data/, models/ and metrics/ stay as they are. Writes
`benchmarks/time_to_accuracy_DATASET.csv` and, from all files of this kind, the page
`benchmarks/time_to_accuracy.md` and the plot `benchmarks/time_to_accuracy.png`.

`--log` trains nothing. It reads the standard error of a run on this machine with the checked-out
code, in which a Unix second stands before every line; the first of these seconds is the start.
`--page` only writes the page and the plot.

Minutes count from the start of the process and include imports and the evaluation on PublicTest
after every epoch. Other work on the machine makes them longer.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.provenance import ROOT, Provenance, here, opening
from benchmarks.working_copy import working_copy
from recognizer.atomic_file import written_atomically
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table
from stages.parameters import load_parameters

FOLDER = Path(__file__).parent
NAME = Path(__file__).stem
ACCURACIES = (0.60, 0.65, 0.67, 0.69)
EPOCH = re.compile(
    r"epoch (?P<epoch>\d+) of (?P<epochs>\d+), (?P<size>\d+) px: .*; "
    r"PublicTest (?P<accuracy>[\d.]+), macro-F1 (?P<macro_f1>[\d.]+)"
)
RESUMED = "resuming after epoch "


def read_curve(
    lines: Iterator[tuple[float, str]], source: str | Path, may_stop_early: bool = False
) -> pd.DataFrame:
    """Read what a run of the train stage reports.

    Parameters
    ----------
    lines : iterator of (float, str)
        Seconds since the start, and a line of standard error.
    source : str or Path
        Where they come from, for messages.
    may_stop_early : bool
        Whether the parameters allow training to end before the last epoch.

    Returns
    -------
    pandas.DataFrame
        One row per epoch: epoch, size (pixels), minutes, accuracy and macro_f1 on PublicTest.

    Raises
    ------
    UserError
        The run is a resumed one, or the epochs are not those of one whole run.
    """
    rows, epochs = [], 0
    for seconds, line in lines:
        if line.startswith(RESUMED):
            raise UserError(
                f"{source}: {line.strip()}: the time of the epochs before is unknown; expected the"
                " log of a run that starts at the first epoch"
            )
        if not (found := EPOCH.match(line)):
            continue
        epoch, epochs = int(found["epoch"]), int(found["epochs"])
        if epoch != len(rows) + 1:
            raise UserError(
                f"{source}: epoch {epoch} comes after epoch {len(rows)}; expected one whole run"
            )
        rows.append(
            {
                "epoch": epoch,
                "size": int(found["size"]),
                "minutes": seconds / 60,
                "accuracy": float(found["accuracy"]),
                "macro_f1": float(found["macro_f1"]),
            }
        )
    if not rows:
        raise UserError(f"{source}: no epoch; expected the lines of the train stage")
    if len(rows) < epochs and not may_stop_early:
        raise UserError(
            f"{source}: ends with epoch {len(rows)} of {epochs}; expected a run that has finished"
        )
    return pd.DataFrame(rows)


def train(dataset: str, root: Path = ROOT) -> Iterator[tuple[float, str]]:
    """Run the train stage; yield the seconds since its start and each line of standard error."""
    command = [sys.executable, "-m", "stages.train", dataset]
    with working_copy(dataset, root) as folder:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        with process:
            try:
                for line in process.stderr:
                    sys.stderr.write(line)
                    yield time.perf_counter() - start, line
            except GeneratorExit:  # The reader has closed the generator after an error.
                process.terminate()
                raise
    if process.returncode != 0:
        raise UserError(f"stages.train ended with status {process.returncode}: nothing is recorded")


def read_log(path: Path) -> Iterator[tuple[float, str]]:
    """Yield each line of a log and the seconds since its first line.

    Raises
    ------
    UserError
        There is no such file, or no Unix second before a line that reports an epoch.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found")
    start = None
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        if found := re.match(r"(\d+(?:\.\d+)?) (.*)", text):
            second = float(found[1])
            start = second if start is None else start
            yield second - start, found[2]
        elif EPOCH.match(text):
            raise UserError(
                f"{path}, line {number}: expected a Unix second and a space before {text[:20]!r}"
            )


# ---------------------------------------------------------------- the files


def write_curve(curve: pd.DataFrame, source: Provenance, path: Path) -> None:
    """Write one dataset's CSV file; every row names its provenance."""
    with written_atomically(path) as temporary:
        curve.assign(**vars(source)).round({"minutes": 2}).to_csv(
            temporary, index=False, lineterminator="\n"
        )


def read_curves(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the CSV files of all datasets, by dataset."""
    paths = sorted(folder.glob(f"{NAME}_*.csv"))
    return {path.stem.removeprefix(f"{NAME}_"): pd.read_csv(path) for path in paths}


def minutes_to(curve: pd.DataFrame, accuracy: float) -> float | None:
    """Minutes until a curve first reached an accuracy; None if it never did."""
    reached = curve.loc[curve["accuracy"] >= accuracy, "minutes"]
    return None if reached.empty else reached.iloc[0]


def table_row(name: str, curve: pd.DataFrame) -> list[str]:
    """Format one dataset's row of the table."""
    best = curve.loc[curve["accuracy"].idxmax()]
    times = [minutes_to(curve, accuracy) for accuracy in ACCURACIES]
    return [
        name,
        *("–" if minutes is None else f"{minutes:.1f}" for minutes in times),
        f"{best['accuracy']:.3f}",
        f"{best['minutes']:.1f}",
        f"{curve['minutes'].iloc[-1]:.1f}",
        str(len(curve)),
    ]


def page(curves: dict[str, pd.DataFrame]) -> str:
    """Format the first block, the table and the plot."""
    sources = {
        name: Provenance(*curve[["model", "code", "machine"]].iloc[0])
        for name, curve in curves.items()
    }
    headers = [
        "dataset",
        *(f"min to {accuracy:.2f}" for accuracy in ACCURACIES),
        *("best accuracy", "after min", "all min", "epochs"),
    ]
    parts = [
        opening("Training time to an accuracy", sources.items()),
        "Made by `python -m benchmarks.time_to_accuracy DATASET`. Minutes from the start of"
        " `python -m stages.train DATASET` until the EMA model first had that accuracy on"
        " PublicTest; – where it never had. The training of teachers, and of the weights that a"
        " training starts from, is not included: fer2013 starts from a network of"
        " [the ensemble](../docs/training.md#the-ensemble).",
        markdown_table(headers, [table_row(*item) for item in curves.items()]),
        f"![Accuracy on PublicTest over the minutes of training]({NAME}.png)",
    ]
    return "\n\n".join(parts) + "\n"


def plot(curves: dict[str, pd.DataFrame]) -> Figure:
    """Plot accuracy over minutes, one line per dataset."""
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    panel = figure.subplots()
    for name, curve in curves.items():
        panel.plot(curve["minutes"], curve["accuracy"], label=name)
    panel.set_xlim(left=0)
    panel.set_xlabel("minutes since the start")
    panel.set_ylabel("accuracy on PublicTest")
    panel.grid(alpha=0.3)
    panel.legend(loc="lower right")
    return figure


def write_page(folder: Path) -> None:
    """Write the page and the plot of all curves in the folder."""
    if not (curves := read_curves(folder)):
        raise UserError(
            f"{folder}: no {NAME}_*.csv; `python -m benchmarks.{NAME} DATASET` makes one"
        )
    with written_atomically(folder / f"{NAME}.md") as temporary:
        temporary.write_text(page(curves))
    with written_atomically(folder / f"{NAME}.png") as temporary:
        plot(curves).savefig(temporary)


def main() -> None:
    """Measure one dataset, or read its log, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", help="a file of params/, for instance fer2013")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--log", type=Path, help="a run's log, each line after its Unix second")
    way.add_argument("--page", action="store_true", help="only write the page and the plot")
    arguments = parser.parse_args()
    if arguments.page == (arguments.dataset is not None):
        parser.error("expected either a dataset or --page")
    try:
        if arguments.dataset is not None:
            settings, provenance = load_parameters(arguments.dataset), here(arguments.dataset)
            source = arguments.log or "stages.train"
            lines = read_log(arguments.log) if arguments.log else train(arguments.dataset)
            with closing(lines):
                curve = read_curve(lines, source, settings.train.selection.patience is not None)
            write_curve(curve, provenance, FOLDER / f"{NAME}_{arguments.dataset}.csv")
        write_page(FOLDER)
    except UserError as error:
        sys.exit(f"error: {error}")
    print((FOLDER / f"{NAME}.md").read_text())


if __name__ == "__main__":
    main()
