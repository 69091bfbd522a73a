"""Write the tables of README.md and docs/ from the committed results.

    python -m tools.readme_tables

A table stands between a mark and `<!-- end -->`. The marks:

- `<!-- metrics DATASET -->`: all metrics of one model, from metrics/DATASET/evaluation.json
- `<!-- models DATASET DATASET … -->`: one row per model, from the same files
- `<!-- unsure DATASET DATASET … -->`: predictions above a probability, from
  metrics/DATASET/predictions.csv
- `<!-- agreement LABELS DATASET … -->`: how often models predict the labels of the dataset LABELS
  on the same faces, from metrics/DATASET/predictions.csv
- `<!-- comparison -->`: our models and those of other packages, from benchmarks/comparison.csv, and
  the accuracy of `fer2013` after detection, from benchmarks/detection.csv
- `<!-- detection -->`: accuracy after detection, from benchmarks/detection.csv
- `<!-- ensemble -->`: the networks of experiments/ensemble, from its metrics.json
- `<!-- balancing -->`, `<!-- duplicates -->`: runs of experiments/, from experiments/comparison.csv
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import accuracy_score, recall_score

from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table

COMPARISON = Path("benchmarks/comparison.csv")
DETECTION = Path("benchmarks/detection.csv")
EXPERIMENTS = Path("experiments/comparison.csv")
ENSEMBLE = Path("experiments/ensemble/metrics.json")
END = "<!-- end -->"
MINIMA = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Probabilities in the table of unsure predictions."""
METRICS = {
    "images": "images",
    "accuracy": "accuracy",
    "accuracy_deduplicated": "accuracy without train–test duplicates",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "min_recall": "lowest recall of a class",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "expected calibration error",
}


def metrics_table(dataset: str) -> str:
    """Format one dataset's evaluation.json.

    Raises
    ------
    UserError
        The dataset has not been evaluated.
    """
    evaluation = _read(Artifacts(dataset).metrics / "evaluation.json")
    splits = [evaluation["PublicTest"], evaluation["PrivateTest"]]
    rows = [[name, *(_cell(split, key) for split in splits)] for key, name in METRICS.items()]
    rows += [
        [f"recall of {label}", *(f"{split['recall'][label]:.3f}" for split in splits)]
        for label in splits[0]["recall"]
    ]
    return markdown_table([f"on {dataset}", "PublicTest", "PrivateTest"], rows)


def models_table(datasets: list[str]) -> str:
    """Format the metrics of several models on PrivateTest, one row per model.

    Raises
    ------
    UserError
        One of them has not been evaluated.
    """
    rows = []
    for dataset in datasets:
        files = Artifacts(dataset)
        evaluation = _read(files.metrics / "evaluation.json")
        private, model = evaluation["PrivateTest"], evaluation["model"]
        training = _read(files.metrics / "training.json")
        rows.append(
            [
                dataset,
                *(_cell(private, key) for key in ("accuracy", "macro_f1", "min_recall", "ece")),
                f"{training['parameters']:,}",
                f"{model['bytes'] / 1e6:.2f} MB",
            ]
        )
    headers = ["on PrivateTest", "accuracy", "macro-F1", "lowest recall", "ECE"]
    return markdown_table([*headers, "parameters", "file"], rows)


def unsure_table(datasets: list[str]) -> str:
    """Format the share and the accuracy of the predictions on PrivateTest above a probability.

    Raises
    ------
    UserError
        A dataset has not been evaluated.
    """
    predictions = [_private_predictions(dataset) for dataset in datasets]
    rows = []
    for minimum in MINIMA:
        cells = []
        for private in predictions:
            kept = private[private["confidence"] >= minimum]
            correct = (kept["label"] == kept["predicted"]).mean()
            cells += [f"{len(kept) / len(private):.1%}", f"{correct:.3f}"]
        rows.append([f"{minimum:.1f}", *cells])
    headers = [f"{dataset}: {what}" for dataset in datasets for what in ("predicted", "accuracy")]
    return markdown_table(["min_probability", *headers], rows)


def agreement_table(labels: str, datasets: list[str]) -> str:
    """Format how often models predict another dataset's labels of the same PrivateTest faces.

    Raises
    ------
    UserError
        A dataset has not been evaluated.
    """
    wanted = _private_predictions(labels).set_index("row")["label"]
    rows = []
    for dataset in [labels, *datasets]:
        predicted = _private_predictions(dataset).set_index("row")["predicted"][wanted.index]
        recall = recall_score(wanted, predicted, average="macro")
        rows.append([dataset, f"{accuracy_score(wanted, predicted):.3f}", f"{recall:.3f}"])
    headers = [f"on {len(wanted):,} faces of PrivateTest", f"accuracy on {labels}' labels"]
    return markdown_table([*headers, "balanced accuracy"], rows)


def comparison_table() -> str:
    """Format our models and those of other packages, one row per model.

    A dash stands for what was not measured.
    """
    rows = [
        [
            model["name"],
            _cell(model, "accuracy"),
            _cell(model, "accuracy_deduplicated"),
            _cell(model, "macro_f1"),
            _if_measured(model["median_ms"], "{:.2f}"),
            _if_measured(model["times_fer"], "{:.2f}"),
            _if_measured(model["peak_mib"], "{:.0f} MiB"),
            _if_measured(model["import_seconds"], "{:.1f} s"),
        ]
        for model in pd.read_csv(COMPARISON).to_dict("records")
    ]
    headers = ["on PrivateTest", "accuracy", "without duplicates", "macro-F1", "ms a face"]
    return markdown_table([*headers, "relative to fer's", "peak memory", "import"], rows)


def detection_table() -> str:
    """Format the accuracy after detection, one row per size and tilt of the face."""
    table = pd.read_csv(DETECTION).sort_values(["size", "rotation"])
    table = table.query(
        "size in (96, 192) and lighting == 'even' and detector == 'yunet' and align"
    )
    rows = [
        [
            f"{row['size']} px, {row['rotation']}°",
            row["faces"],
            f"{row['recall']:.1%}",
            f"{row['accuracy_raw']:.3f}",
            f"{row['accuracy']:.3f}",
            f"{100 * (row['accuracy_raw'] - row['accuracy']):.1f} ± {100 * row['lost_error']:.1f}",
        ]
        for row in table.to_dict("records")
    ]
    headers = ["on PublicTest: size, tilt", "faces", "detected", "accuracy of the original crops"]
    return markdown_table([*headers, "accuracy after detection", "points lost"], rows)


def detection_sentence() -> str:
    """What is left of the accuracy of `fer2013` where the face has to be detected first."""
    upright = "size == 96 and rotation == 0 and lighting == 'even' and detector == 'yunet'"
    (row,) = pd.read_csv(DETECTION).query(f"{upright} and align").to_dict("records")
    return (
        "Where faces of 96 pixels in larger pictures are detected first, the accuracy of `fer2013`"
        f" is {row['accuracy']:.3f}, not {row['accuracy_raw']:.3f} (PublicTest)."
    )


def ensemble_table() -> str:
    """Format the networks that experiments/ensemble trained, and the means of their probabilities.

    Raises
    ------
    UserError
        They have not been trained.
    """
    rows = [
        [name, *(f"{metrics[key]:.3f}" for key in ("accuracy", "macro_f1"))]
        for name, metrics in _read(ENSEMBLE).items()
    ]
    return markdown_table(["on PublicTest", "accuracy", "macro-F1"], rows)


def balancing_table() -> str:
    """Format the experiments' runs that differ in the balancing strategy."""
    runs = pd.read_csv(EXPERIMENTS)
    names = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
    names |= {
        column: column.removeprefix("recall.") for column in runs if column.startswith("recall.")
    }
    rows = [
        [
            "no balancing" if run["run"] == "base" else run["run"].removeprefix("balance-"),
            *(f"{run[column]:.3f}" for column in names),
        ]
        for run in runs.to_dict("records")
        if run["run"] == "base" or run["run"].startswith("balance-")
    ]
    return markdown_table(["on PublicTest", *names.values()], rows)


def duplicates_table() -> str:
    """Format the two runs that keep and remove train–test duplicates."""
    runs = pd.read_csv(EXPERIMENTS, index_col="run")
    columns = {
        "accuracy": "accuracy",
        "accuracy_duplicates": "of the duplicates",
        "accuracy_deduplicated": "of the other images",
    }
    rows = [
        [f"duplicates {kind}", *(f"{runs.loc[run, column]:.3f}" for column in columns)]
        for run, kind in (("duplicates-removed", "removed"), ("duplicates-kept", "kept"))
    ]
    return markdown_table(["on PublicTest", *columns.values()], rows)


TABLES: dict[str, Callable[[list[str]], str]] = {
    "metrics": lambda datasets: metrics_table(*datasets),
    "models": models_table,
    "unsure": unsure_table,
    "agreement": lambda datasets: agreement_table(datasets[0], datasets[1:]),
    "comparison": lambda _: f"{comparison_table()}\n\n{detection_sentence()}",
    "detection": lambda _: detection_table(),
    "ensemble": lambda _: ensemble_table(),
    "balancing": lambda _: balancing_table(),
    "duplicates": lambda _: duplicates_table(),
}
"""By the first word of a mark; the other words of the mark are the arguments."""


def _private_predictions(dataset: str) -> pd.DataFrame:
    path = Artifacts(dataset).metrics / "predictions.csv"
    if not path.exists():
        raise UserError(f"{path}: not found; run dvc repro with {dataset} in datasets first")
    return pd.read_csv(path).query("split == 'PrivateTest'")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        dataset = path.parent.name
        raise UserError(f"{path}: not found; run dvc repro with {dataset} in datasets first")
    metrics: dict[str, Any] = json.loads(path.read_text())
    return metrics


def _cell(metrics: dict[str, Any], key: str) -> str:
    """A count, or a metric with its 95 % interval where it has one."""
    value = metrics[key]
    if isinstance(value, int):
        return str(value)
    if f"{key}_low" in metrics:
        return f"{value:.3f} ({metrics[f'{key}_low']:.3f} – {metrics[f'{key}_high']:.3f})"
    return f"{value:.3f}"


def _if_measured(value: float, form: str) -> str:
    return "–" if pd.isna(value) else form.format(value)


def with_fresh_tables(text: str) -> str:
    """Replace each table between a mark and `<!-- end -->` in a Markdown text.

    Raises
    ------
    UserError
        An `<!-- end -->` follows no known mark, or results are missing.
    """

    def fresh(match: re.Match[str]) -> str:
        mark, kind, arguments = match.groups()
        return f"{mark}\n{TABLES[kind](arguments.split())}\n\n{END}"

    marks = rf"(<!-- ({'|'.join(TABLES)})((?: [\w-]+)*) -->\n)(?:(?!<!-- ).)*?{END}"
    replaced, count = re.subn(marks, fresh, text, flags=re.DOTALL)
    if count != text.count(END):
        raise UserError(
            f"{text.count(END)} times {END}, but {count} marks before one;"
            f" expected one of: {', '.join(TABLES)}"
        )
    return replaced


def main() -> None:
    """Rewrite README.md and the files of docs/."""
    for page in [Path("README.md"), *sorted(Path("docs").glob("*.md"))]:
        text = page.read_text()
        try:
            fresh = with_fresh_tables(text)
        except UserError as error:
            sys.exit(f"error: {page}: {error}")
        if fresh != text:
            with written_atomically(page) as temporary:
                temporary.write_text(fresh)


if __name__ == "__main__":
    main()
