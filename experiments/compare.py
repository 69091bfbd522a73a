"""Tables and plots of all runs: `python -m experiments.compare`.

Reads experiments/results/*.json and writes experiments/README.md and recall.png.
"""

import json
import sys

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tabulate import tabulate

from experiments.run import RESULTS
from experiments.settings import load_experiments
from stages.artifacts import written_atomically
from stages.errors import UserError
from stages.fer_csv import EMOTIONS

FOLDER = RESULTS.parent

COMPARISONS = {
    "network": (
        "Networks",
        "`five_block` and `five_layer` are what the project's ancestors trained, with their "
        "settings as far as they are known; `residual` is the release network.",
    ),
    "optimizer": ("Optimizers", "The same small residual network; `base` is SGD with Nesterov."),
    "balance": (
        "Balancing",
        "The same small residual network and SGD; `base` leaves the classes as they are.",
    ),
}
"""Title and introduction by the first word of a run's name."""


def results_table(names: list[str]) -> pd.DataFrame:
    """One row per run and seed: `run`, `seed`, the figures, and `recall.EMOTION`.

    Raises
    ------
    UserError
        A run has no results yet.
    """
    rows = []
    for name in names:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            raise UserError(f"{path}: not found; run `dvc --cd experiments repro`")
        for seed, figures in json.loads(path.read_text()).items():
            recall = figures.pop("recall")
            rows.append(
                {"run": name, "seed": seed, **figures}
                | {f"recall.{emotion}": recall[emotion] for emotion in EMOTIONS}
            )
    return pd.DataFrame(rows)


def comparison(table: pd.DataFrame) -> str:
    """Markdown of the runs' means over their seeds; ± is half the range between the seeds."""
    columns = {
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        **{f"recall.{emotion}": emotion for emotion in EMOTIONS},
    }
    rows = []
    for name, seeds in table.groupby("run", sort=False):
        cells = [f"{seeds[column].mean():.3f}" for column in columns]
        for index in (0, 1):
            values = seeds[list(columns)[index]]
            if len(values) > 1:
                cells[index] += f" ± {(values.max() - values.min()) / 2:.3f}"
        rows.append(
            [
                name.partition("-")[2] or name,
                str(len(seeds)),
                *cells,
                f"{seeds['parameters'].iloc[0]:,}",
                f"{seeds['images'].iloc[0]:,}",
                f"{seeds['minutes'].mean():.1f}",
            ]
        )
    headers = ["", "seeds", *columns.values(), "parameters", "images", "minutes"]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def recall_chart(table: pd.DataFrame) -> Figure:
    """Recall of every emotion as its difference from `base`, one row per way of balancing."""
    means = table.groupby("run", sort=False)[[f"recall.{emotion}" for emotion in EMOTIONS]].mean()
    change = (means.drop(index="base") - means.loc["base"]) * 100
    figure = Figure(figsize=(8, 0.5 * len(change) + 1.6), dpi=120, layout="constrained")
    panel = figure.subplots()
    limit = max(1.0, np.abs(change.to_numpy()).max())
    panel.imshow(change, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(change.to_numpy()):
        strong = abs(value) > 0.6 * limit
        panel.text(
            column,
            row,
            f"{value:+.0f}",
            ha="center",
            va="center",
            color="white" if strong else "black",
        )
    panel.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    panel.set_yticks(range(len(change)), [name.partition("-")[2] for name in change.index])
    panel.set_title("Recall against no balancing, in points of PublicTest")
    return figure


def main() -> None:
    """Write the page and the plot."""
    try:
        experiments = load_experiments()
        table = results_table(list(experiments.runs))
    except UserError as error:
        sys.exit(f"error: {error}")
    epochs = experiments.base.train.epochs
    parts = [
        "# Controlled comparisons",
        f"On {experiments.dataset}: {epochs} epochs each, figures on PublicTest in the epoch with "
        "the best macro-F1, means over the seeds; ± is half the range between them. Minutes are "
        "of one training on the machine that made them. `dvc --cd experiments repro` makes "
        "all of it; `experiments/params.yaml` says what each run is.",
    ]
    for group, (title, introduction) in COMPARISONS.items():
        chosen = table[
            (table["run"] == "base") & (group != "network")
            | table["run"].str.startswith(f"{group}-")
        ]
        parts += [f"## {title}", introduction, comparison(chosen)]
    parts.append("![Recall of each emotion against no balancing](recall.png)")
    with written_atomically(FOLDER / "README.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")
    balanced = table[(table["run"] == "base") | table["run"].str.startswith("balance-")]
    with written_atomically(FOLDER / "recall.png") as temporary:
        recall_chart(balanced).savefig(temporary)


if __name__ == "__main__":
    main()
