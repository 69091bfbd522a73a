"""Tables and plots of all runs: `python -m experiments.compare`.

Reads experiments/results/*.json and writes experiments/comparison.csv (one row per run, means
over its seeds), README.md and recall.png.
"""

import json
import math
import sys

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.settings import RESULTS, load_experiments
from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table

FOLDER = RESULTS.parent
METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
DUPLICATES = {"accuracy_deduplicated": "others", "accuracy_duplicates": "duplicates"}
RECALL = {f"recall.{emotion}": emotion for emotion in EMOTIONS}

COMPARISONS = {
    "network": (
        "Networks",
        "`five_block` and `five_layer` are the networks of two earlier projects, with their "
        "settings as far as they are known. `residual` is this project's first network. The two "
        "symmetric networks were trained later, in `fused_bfloat16`: compare their minutes with "
        "each other only.",
    ),
    "optimizer": (
        "Optimizers",
        "The same small residual network, each optimizer with three learning rates: low is 0.3 "
        "times the first, high 3 times. `base` is SGD with Nesterov momentum. The runs with a low "
        "or high rate had other work beside them: their minutes do not compare. One standard error "
        "is 0.8 points.",
    ),
    "balance": (
        "Balancing",
        "The same small residual network and SGD; `base` leaves the classes as they are. More "
        "images mean more steps in an epoch, and more minutes.",
    ),
    "duplicates": (
        "Train–test duplicates",
        "Some images of PublicTest are also in Training, with the same pixels. `validate` removes "
        "them from Training. Here they are kept or removed, with a network that memorizes Training "
        "(twice the epochs, weak augmentation). A network that does not memorize gains nothing "
        "from duplicates.",
    ),
    "claim": (
        "`five_block` as its author trained it",
        "The raw CSV, Adam at 0.0001, decay 0.000001, 64 faces a batch, no augmentation, at most "
        "100 epochs. A training ends earlier if its accuracy has not risen for 10 epochs: here the "
        "epoch with the best accuracy is measured. The two ran side by side: their minutes do not "
        "compare with others.",
    ),
}
"""Title and introduction by the first word of a run's name."""

CLAIMS = (
    ("five_block, up to 100 epochs, duplicates kept", 0.69, "claim-five_block_duplicates_kept"),
    (
        "five_block, up to 100 epochs, duplicates removed",
        0.69,
        "claim-five_block_duplicates_removed",
    ),
    ("five_layer, weighted loss, rotation and flip", 0.313, "network-five_layer"),
)
"""What its author trained, the accuracy that the author reports, and our run of it."""


def results_table(names: list[str]) -> pd.DataFrame:
    """One row per run, means over its seeds.

    `run`, `seeds`, `accuracy`, `macro_f1`, each of these also with `_spread` (half the range
    between the seeds), `accuracy_deduplicated` and `accuracy_duplicates` (NaN where a run has not
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
        spread = (seeds[list(METRICS)].max() - seeds[list(METRICS)].min()) / 2
        columns = [*METRICS, *DUPLICATES, *RECALL, "parameters", "images", "minutes"]
        rows.append(
            {"run": name, "seeds": len(seeds)}
            | seeds.reindex(columns=columns).mean().to_dict()
            | spread.add_suffix("_spread").to_dict()
        )
    return pd.DataFrame(rows).astype({"parameters": int, "images": int}).round(4)


def comparison(table: pd.DataFrame) -> str:
    """Markdown of some runs; ± is half the range between the seeds."""
    measured = {name: title for name, title in DUPLICATES.items() if table[name].notna().all()}
    rows = []
    for run in table.to_dict("records"):
        cells = [
            f"{run[column]:.3f}" + f" ± {run[f'{column}_spread']:.3f}" * (run["seeds"] > 1)
            for column in METRICS
        ]
        rows.append(
            [
                run["run"].partition("-")[2] or run["run"],
                run["seeds"],
                *cells,
                *(f"{run[column]:.3f}" for column in [*measured, *RECALL]),
                f"{run['parameters']:,}",
                f"{run['images']:,}",
                f"{run['minutes']:.1f}",
            ]
        )
    names = [*METRICS.values(), *measured.values(), *RECALL.values()]
    headers = ["", "seeds", *names, "parameters", "images", "minutes"]
    return markdown_table(headers, rows)


def changes_against_base(table: pd.DataFrame) -> pd.DataFrame:
    """Points gained by each run (index) in each metric and recall, against the run `base`."""
    means = table.set_index("run")[[*METRICS, *RECALL]]
    return (means.drop(index="base") - means.loc["base"]) * 100


def gains_and_losses(table: pd.DataFrame, least: float = 3.0) -> str:
    """List the recalls that each way of balancing changed by at least `least` points."""
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
            f"- `{run.partition('-')[2]}`: gains {', '.join(helped) or 'none'}; losses "
            f"{', '.join(cost) or 'none'}; accuracy {change['accuracy']:+.1f}, macro-F1 "
            f"{change['macro_f1']:+.1f}."
        )
    return (
        f"Recall against `base`, in points; changes below {least:g} are omitted:\n\n"
        + "\n".join(lines)
    )


def effect_of_duplicates(table: pd.DataFrame) -> str:
    """Accuracy that keeping the duplicates in Training changes, in points."""
    removed, kept = (
        table.set_index("run").loc[f"duplicates-{kind}"] for kind in ("removed", "kept")
    )
    others, duplicates = ((kept[column] - removed[column]) * 100 for column in DUPLICATES)
    whole = (kept["accuracy"] - removed["accuracy"]) * 100
    return (
        f"Keeping the duplicates changes the accuracy by {whole:+.1f} points: by {duplicates:+.1f} "
        f"on the duplicates and by {others:+.1f} on all other images, which have no copy in "
        "Training: their change is the noise of one training."
    )


def claims(table: pd.DataFrame, ours: float, faces: int) -> str:
    """What earlier projects claim, what their training gives here, and our accuracy.

    Parameters
    ----------
    ours : float
        Accuracy of the released model on PublicTest.
    faces : int
        Of PublicTest.
    """
    accuracy = table.set_index("run")["accuracy"]
    base = accuracy["base"]
    error = math.sqrt(base * (1 - base) / faces)
    rows = []
    for title, claimed, run in CLAIMS:
        holds = accuracy[run] >= claimed - error
        verdict = "holds" if holds else "does not hold"
        rows.append([title, f"{claimed:g}", f"{accuracy[run]:.3f}", f"{ours:.3f}", verdict])
    best = best_of_optimizers(accuracy)
    reached = ", ".join(f"{name} {value:.3f}" for name, value in best.items())
    first = best.index[0] == "adamax" and best.iloc[0] - best.iloc[1] > error
    rows.append(
        [
            "the optimizer adamax is the best of four",
            "–",
            reached,
            "–",
            "holds" if first else "does not hold",
        ]
    )
    headers = ["claim", "claimed", "reproduced on PublicTest", "our released model", "the claim"]
    return (
        f"{markdown_table(headers, rows, text_columns=1)}\n\nA claim holds if the reproduced "
        f"accuracy is at most one standard error, {error * 100:.1f} points, below it; an "
        "optimizer is the best if it is more than that above the second. Each optimizer has its "
        "best learning rate of three."
    )


def best_of_optimizers(accuracy: pd.Series) -> pd.Series:
    """The best accuracy of each optimizer by its name, in falling order."""
    runs = accuracy.filter(regex="^(base$|optimizer-)").rename({"base": "optimizer-sgd"})
    names = runs.index.str.extract(r"optimizer-([a-z]+)", expand=False)
    return runs.groupby(names).max().sort_values(ascending=False)


def recall_chart(table: pd.DataFrame) -> Figure:
    """Chart of the difference in recall from `base`: a row per strategy, a column per emotion."""
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
        ours = json.loads((Artifacts(experiments.dataset).metrics / "evaluation.json").read_text())
    except UserError as error:
        sys.exit(f"error: {error}")
    epochs = experiments.base.train.epochs
    parts = [
        "# Controlled comparisons",
        f"Dataset {experiments.dataset}, {epochs} epochs each; twice as many for the duplicates, "
        "at most 100 for `five_block` as its author trained it. "
        "Metrics are measured on PublicTest in the epoch with the best macro-F1, and averaged over "
        "the seeds; ± is half the range between them. Minutes are of one training on two cores. "
        "`dvc --cd experiments repro` runs everything; `experiments/params.yaml` defines each run.",
    ]
    balanced = _runs_of(table, "balance")
    results = {
        "balance": [
            gains_and_losses(balanced),
            "![Recall of each emotion against no balancing](recall.png)",
        ],
        "duplicates": [effect_of_duplicates(table)],
    }
    for group, (title, introduction) in COMPARISONS.items():
        parts += [f"## {title}", introduction, comparison(_runs_of(table, group))]
        parts += results.get(group, [])
    public = ours["PublicTest"]
    parts += ["## Claims of earlier projects"]
    parts += [claims(table, public["accuracy"], public["images"])]
    with written_atomically(FOLDER / "comparison.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    with written_atomically(FOLDER / "README.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")
    with written_atomically(FOLDER / "recall.png") as temporary:
        recall_chart(balanced).savefig(temporary)


def _runs_of(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """The runs of one comparison, `base` first where it is part of it."""
    runs = table["run"].str.startswith(f"{group}-")
    return table[runs | (table["run"] == "base") & (group in ("optimizer", "balance"))]


if __name__ == "__main__":
    main()
