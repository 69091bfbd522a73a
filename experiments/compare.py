"""Tables and plots of all runs: `python -m experiments.compare`.

Reads experiments/results/*.json and writes experiments/comparison.csv (one row per run, means
over its seeds), README.md and recall.png.
"""

import json
import sys

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tabulate import tabulate

from experiments.settings import RESULTS, load_experiments
from recognizer.atomic_file import written_atomically
from stages.dataset.faces import EMOTIONS
from stages.errors import UserError

FOLDER = RESULTS.parent
FIGURES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
COPIES = {"accuracy_deduplicated": "without copies", "accuracy_copies": "of the copies"}
RECALL = {f"recall.{emotion}": emotion for emotion in EMOTIONS}

COMPARISONS = {
    "network": (
        "Networks",
        "`five_block` and `five_layer` are what the project's ancestors trained, with their "
        "settings as far as they are known; `residual` is the project's own. The symmetric ones "
        "came after it, the last is the release's; they were trained in `fused_bfloat16` and on "
        "another day, so their minutes compare with each other only.",
    ),
    "optimizer": ("Optimizers", "The same small residual network; `base` is SGD with Nesterov."),
    "balance": (
        "Balancing",
        "The same small residual network and SGD; `base` leaves the classes as they are. More "
        "images are more steps in an epoch, and more minutes.",
    ),
    "copies": (
        "Copies of test images",
        "Some images of PublicTest stand in Training as well, to the last pixel. `validate` takes "
        "them out of Training; whoever trains on the CSV as it is keeps them. Here both, with a "
        "network that is left to learn Training by heart, by twice the epochs and hardly changed "
        "faces: one that does not learn the copies gains nothing by them.",
    ),
}
"""Title and introduction by the first word of a run's name."""


def results_table(names: list[str]) -> pd.DataFrame:
    """One row per run, means over its seeds.

    `run`, `seeds`, `accuracy`, `macro_f1`, each of these also with `_spread` (half the range
    between the seeds), `accuracy_deduplicated` and `accuracy_copies` (NaN where a run has not
    measured them), `recall.EMOTION`, `parameters`, `images`, `minutes`.

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
        seeds = pd.json_normalize(list(json.loads(path.read_text()).values()))
        spread = (seeds[list(FIGURES)].max() - seeds[list(FIGURES)].min()) / 2
        columns = [*FIGURES, *COPIES, *RECALL, "parameters", "images", "minutes"]
        rows.append(
            {"run": name, "seeds": len(seeds)}
            | seeds.reindex(columns=columns).mean().to_dict()
            | spread.add_suffix("_spread").to_dict()
        )
    return pd.DataFrame(rows).astype({"parameters": int, "images": int}).round(4)


def comparison(table: pd.DataFrame) -> str:
    """Markdown of some runs; ± is half the range between the seeds."""
    copies = {column: name for column, name in COPIES.items() if table[column].notna().all()}
    rows = []
    for run in table.to_dict("records"):
        cells = [
            f"{run[column]:.3f}" + f" ± {run[f'{column}_spread']:.3f}" * (run["seeds"] > 1)
            for column in FIGURES
        ]
        rows.append(
            [
                run["run"].partition("-")[2] or run["run"],
                run["seeds"],
                *cells,
                *(f"{run[column]:.3f}" for column in [*copies, *RECALL]),
                f"{run['parameters']:,}",
                f"{run['images']:,}",
                f"{run['minutes']:.1f}",
            ]
        )
    names = [*FIGURES.values(), *copies.values(), *RECALL.values()]
    headers = ["", "seeds", *names, "parameters", "images", "minutes"]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def changes_against_base(table: pd.DataFrame) -> pd.DataFrame:
    """Points gained by each run (index) in each figure and recall, against the run `base`."""
    means = table.set_index("run")[[*FIGURES, *RECALL]]
    return (means.drop(index="base") - means.loc["base"]) * 100


def in_words(table: pd.DataFrame, least: float = 3.0) -> str:
    """What each way of balancing helped and what it cost: recalls by at least so many points."""
    lines = []
    for run, change in changes_against_base(table).iterrows():
        recalls = change[list(RECALL)].rename(RECALL).sort_values(ascending=False)
        helped = [
            f"{emotion} {points:+.0f}" for emotion, points in recalls.items() if points >= least
        ]
        cost = [
            f"{emotion} {points:+.0f}"
            for emotion, points in recalls[::-1].items()
            if points <= -least
        ]
        lines.append(
            f"- `{run.partition('-')[2]}` helped {', '.join(helped) or 'no class'} and cost "
            f"{', '.join(cost) or 'none'}; accuracy {change['accuracy']:+.1f}, macro-F1 "
            f"{change['macro_f1']:+.1f}."
        )
    return (
        f"Against `base`, in points; recalls that moved by less than {least:g} are left out:\n\n"
        + "\n".join(lines)
    )


def worth_of_copies(table: pd.DataFrame) -> str:
    """What keeping the copies of test images in Training is worth, in points of accuracy."""
    removed, kept = (table.set_index("run").loc[f"copies-{kind}"] for kind in ("removed", "kept"))
    others, copies = ((kept[column] - removed[column]) * 100 for column in COPIES)
    whole = (kept["accuracy"] - removed["accuracy"]) * 100
    # The accuracy of all images is the mean of the two, weighted by how many there are of each.
    share = (whole - others) / (copies - others)
    return (
        f"Keeping them makes {whole:+.1f} points of accuracy. The copies' part in that is "
        f"{share * copies:+.1f} ({copies:+.1f} on them alone), that of all other images "
        f"{(1 - share) * others:+.1f} ({others:+.1f} on them alone), which tells how much is "
        "chance."
    )


def recall_chart(table: pd.DataFrame) -> Figure:
    """Recall of every emotion as its difference from `base`, one row per way of balancing."""
    change = changes_against_base(table)[list(RECALL)]
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
        f"On {experiments.dataset}: {epochs} epochs each but for the last comparison, figures on "
        "PublicTest in the epoch with the best macro-F1, means over the seeds; ± is half the range "
        "between them. Minutes are of one training on two cores that did light work besides. "
        "`dvc --cd experiments repro` makes all of it; `experiments/params.yaml` says what each "
        "run is.",
    ]
    balanced = _members(table, "balance")
    results = {
        "balance": [
            in_words(balanced),
            "![Recall of each emotion against no balancing](recall.png)",
        ],
        "copies": [worth_of_copies(table)],
    }
    for group, (title, introduction) in COMPARISONS.items():
        parts += [f"## {title}", introduction, comparison(_members(table, group))]
        parts += results.get(group, [])
    with written_atomically(FOLDER / "comparison.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    with written_atomically(FOLDER / "README.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")
    with written_atomically(FOLDER / "recall.png") as temporary:
        recall_chart(balanced).savefig(temporary)


def _members(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """The runs of one comparison, `base` first where it belongs to it."""
    members = table["run"].str.startswith(f"{group}-")
    return table[members | (table["run"] == "base") & (group in ("optimizer", "balance"))]


if __name__ == "__main__":
    main()
