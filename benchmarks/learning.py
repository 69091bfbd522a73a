"""Measure how long a dataset's training recipe takes to an accuracy.

    python -m benchmarks.learning fer2013
    python -m benchmarks.learning fer2013 --log train.log
    python -m benchmarks.learning --page

Runs `python -m stages.train DATASET`, whose outputs go where the stage writes them, and looks at
the clock whenever it reports an epoch. With `--log` it runs nothing and reads what such a run
printed to standard error on this machine, each line after the Unix second that it came at; the
first of these seconds is taken for the start. Writes `benchmarks/learning_DATASET.csv`
and, from all files of this kind, the page `benchmarks/learning.md` and the plot
`benchmarks/learning.png`. `--page` writes these two alone.

Minutes count from the start of the process, its imports and the look at PublicTest after every
epoch included. Other work on the machine makes them longer. A run that goes on where another
stopped cannot be timed: `--restart` removes what the other left, models/DATASET/.resume.npz.
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
from tabulate import tabulate

from benchmarks.stages import describe_machine
from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts
from stages.errors import UserError
from stages.parameters import load_parameters

FOLDER = Path(__file__).parent
ACCURACIES = (0.60, 0.65, 0.67, 0.69)
EPOCH = re.compile(
    r"epoch (?P<epoch>\d+) of (?P<epochs>\d+), (?P<size>\d+) px: .*; "
    r"PublicTest (?P<accuracy>[\d.]+), macro-F1 (?P<macro_f1>[\d.]+)"
)
RESUMED = "resuming after epoch "


def read_curve(
    lines: Iterator[tuple[float, str]], source: str | Path, may_stop_early: bool = False
) -> pd.DataFrame:
    """What a run of the train stage reports.

    Parameters
    ----------
    lines : iterator of (float, str)
        Seconds since the start, and a line of standard error.
    source : str or Path
        Where they come from, for messages.
    may_stop_early : bool
        Whether the recipe allows to end before the last epoch.

    Returns
    -------
    pandas.DataFrame
        One row per epoch: epoch, size (pixels), minutes, accuracy and macro_f1 on PublicTest.

    Raises
    ------
    UserError
        The run goes on where another stopped, or the epochs are not those of one whole run.
    """
    rows, epochs = [], 0
    for seconds, line in lines:
        if line.startswith(RESUMED):
            raise UserError(
                f"{source}: {line.strip()}, and nobody can tell how long the epochs before took;"
                " `--restart` trains from the start"
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
        raise UserError(f"{source}: no epoch; expected what the train stage prints when it trains")
    if len(rows) < epochs and not may_stop_early:
        raise UserError(
            f"{source}: ends with epoch {len(rows)} of {epochs}; expected a run that has finished"
        )
    return pd.DataFrame(rows)


def train(dataset: str) -> Iterator[tuple[float, str]]:
    """Run the train stage; yields the seconds since its start and each line that it reports."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "stages.train", dataset]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                sys.stderr.write(line)
                yield time.perf_counter() - start, line
        except GeneratorExit:  # Who reads wants no more. What the stage saved stays whole.
            process.terminate()
            raise
    if process.returncode != 0:
        raise UserError(f"stages.train ended with status {process.returncode}: nothing is recorded")


def read_log(path: Path) -> Iterator[tuple[float, str]]:
    """Yield the lines of a log and the seconds between its first one and each.

    Raises
    ------
    UserError
        There is no such file, or a line that reports an epoch has no Unix second before it.
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


def write_curve(curve: pd.DataFrame, path: Path) -> None:
    """Write one dataset's CSV file; every row names the machine."""
    with written_atomically(path) as temporary:
        curve.assign(machine=describe_machine()).round({"minutes": 2}).to_csv(
            temporary, index=False, lineterminator="\n"
        )


def read_curves(folder: Path) -> dict[str, pd.DataFrame]:
    """The curves of all datasets that were measured, by name."""
    paths = sorted(folder.glob("learning_*.csv"))
    return {path.stem.removeprefix("learning_"): pd.read_csv(path) for path in paths}


def minutes_to(curve: pd.DataFrame, accuracy: float) -> float | None:
    """When a curve first reached an accuracy; None if never."""
    reached = curve.loc[curve["accuracy"] >= accuracy, "minutes"]
    return None if reached.empty else reached.iloc[0]


def page(curves: dict[str, pd.DataFrame]) -> str:
    """One table for each machine, and the plot."""
    parts = [
        "# How long training takes to an accuracy",
        "Made by `python -m benchmarks.learning DATASET`; `benchmarks/learning.py` says how."
        " Minutes by the clock from the start of `python -m stages.train DATASET` until the"
        " averaged weights first had that accuracy on PublicTest; – where they never had. Teachers"
        " that a network learns from were trained before, and their time is not in it.",
    ]
    machines = {name: curve["machine"].iloc[0] for name, curve in curves.items()}
    for machine in dict.fromkeys(machines.values()):
        rows = []
        for name, curve in curves.items():
            if machines[name] != machine:
                continue
            best = curve.loc[curve["accuracy"].idxmax()]
            times = [minutes_to(curve, accuracy) for accuracy in ACCURACIES]
            rows.append(
                (
                    name,
                    *("–" if minutes is None else f"{minutes:.1f}" for minutes in times),
                    f"{best['accuracy']:.3f}",
                    f"{best['minutes']:.1f}",
                    f"{curve['minutes'].iloc[-1]:.1f}",
                    str(len(curve)),
                )
            )
        headers = [
            "dataset",
            *(f"min to {accuracy:.2f}" for accuracy in ACCURACIES),
            *("best accuracy", "after min", "all min", "epochs"),
        ]
        align = ["left", *["right"] * (len(headers) - 1)]
        table = tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)
        parts += [f"Machine: {machine}.", table]
    parts.append("![Accuracy on PublicTest over the minutes of training](learning.png)")
    return "\n\n".join(parts) + "\n"


def plot(curves: dict[str, pd.DataFrame]) -> Figure:
    """Accuracy over minutes, one line for each dataset."""
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
            f"{folder}: no learning_*.csv; `python -m benchmarks.learning DATASET` makes one"
        )
    with written_atomically(folder / "learning.md") as temporary:
        temporary.write_text(page(curves))
    with written_atomically(folder / "learning.png") as temporary:
        plot(curves).savefig(temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", help="a block of params.yaml, for instance fer2013")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--log", type=Path, help="read a run's log; every line after its Unix second")
    way.add_argument("--restart", action="store_true", help="forget a run that was broken off")
    way.add_argument("--page", action="store_true", help="write the page and the plot alone")
    arguments = parser.parse_args()
    if arguments.page == (arguments.dataset is not None):
        parser.error("expected either a dataset or --page")
    try:
        if arguments.dataset is not None:
            settings = load_parameters(arguments.dataset)
            if arguments.restart:
                (Artifacts(arguments.dataset).models / ".resume.npz").unlink(missing_ok=True)
            source = arguments.log or "stages.train"
            lines = read_log(arguments.log) if arguments.log else train(arguments.dataset)
            with closing(lines):
                curve = read_curve(lines, source, settings.train.selection.patience is not None)
            write_curve(curve, FOLDER / f"learning_{arguments.dataset}.csv")
        write_page(FOLDER)
    except UserError as error:
        sys.exit(f"error: {error}")
    print((FOLDER / "learning.md").read_text())


if __name__ == "__main__":
    main()
