"""Print the committed metrics as a table: `python -m stages.report`.

`python -m stages.report --readme` writes the tables of README.md anew instead. They stand
between `<!-- metrics DATASET -->` (one model in full), `<!-- models DATASET DATASET … -->` (a row
for each), `<!-- peers -->` (what `python -m benchmarks.peers` measured), `<!-- detection -->`
(what `python -m benchmarks.detection` measured), `<!-- balancing -->` or `<!-- copies -->` (what
experiments/ compared) and `<!-- end -->`. No figure in them is typed.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import pandas as pd
import yaml
from tabulate import tabulate

from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts
from stages.dataset.faces import EMOTIONS
from stages.errors import UserError
from stages.evaluation.model_card import served_parameters
from stages.parameters import load_parameters
from stages.teachers import read_teacher_metrics

README = Path("README.md")
PEERS = Path("benchmarks/peers.csv")
DETECTION = Path("benchmarks/detection.csv")
EXPERIMENTS = Path("experiments/comparison.csv")
FIGURES = {
    "images": "images",
    "accuracy": "accuracy",
    "accuracy_deduplicated": "accuracy without copies of Training images",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "min_recall": "lowest recall of a class",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "expected calibration error",
}


def metrics_table(dataset: str) -> str:
    """Format one dataset's evaluation.json as a Markdown table.

    Raises
    ------
    UserError
        The dataset has not been evaluated.
    """
    evaluation = _read(Artifacts(dataset).metrics / "evaluation.json")
    splits = [evaluation["PublicTest"], evaluation["PrivateTest"]]
    rows = [[name, *(_cell(split, key) for split in splits)] for key, name in FIGURES.items()]
    for emotion in EMOTIONS:
        rows.append(
            [f"recall of {emotion}", *(f"{split['recall'][emotion]:.3f}" for split in splits)]
        )
    return tabulate(
        rows,
        headers=["on " + dataset, "PublicTest", "PrivateTest"],
        tablefmt="github",
        disable_numparse=True,
    )


def models_table(datasets: list[str]) -> str:
    """Format several models' figures on PrivateTest as a Markdown table, a row for each.

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
        training, parameters = _read(files.metrics / "training.json"), load_parameters(dataset)
        teachers = read_teacher_metrics(parameters)
        rows.append(
            [
                f"[{dataset}]({files.models}/README.md)",
                *(_cell(private, key) for key in ("accuracy", "macro_f1", "min_recall", "ece")),
                f"{served_parameters(parameters, training, teachers):,}",
                f"{model['bytes'] / 1e6:.2f} MB",
            ]
        )
    headers = ["on PrivateTest", "accuracy", "macro-F1", "lowest recall", "ECE"]
    return tabulate(
        rows,
        headers=[*headers, "parameters", "file"],
        tablefmt="github",
        disable_numparse=True,
    )


def peers_table() -> str:
    """Format what the peers are worth beside our models as a Markdown table."""
    rows = [
        [
            peer["name"],
            f"{peer['accuracy']:.3f} ({peer['accuracy_low']:.3f} – {peer['accuracy_high']:.3f})",
            f"{peer['macro_f1']:.3f} ({peer['macro_f1_low']:.3f} – {peer['macro_f1_high']:.3f})",
            f"{peer['median_ms']:.2f}",
            "–" if pd.isna(peer["times_fer"]) else f"{peer['times_fer']:.2f}",
            f"{peer['peak_mib']:.0f} MiB",
            f"{peer['import_seconds']:.1f} s",
        ]
        for peer in pd.read_csv(PEERS).to_dict("records")
    ]
    costs = ["ms a face", "times fer", "peak memory", "import"]
    headers = ["on PrivateTest", "accuracy", "macro-F1", *costs]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def detection_table() -> str:
    """Format the accuracy from photo to answer as a Markdown table, a row for each condition."""
    rows = []
    for row in pd.read_csv(DETECTION).sort_values(["size", "rotation"]).to_dict("records"):
        shown = row["size"] in (96, 192) and row["lighting"] == "even"
        if shown and row["detector"] == "yunet" and row["align"]:
            lost = 100 * (row["accuracy_raw"] - row["accuracy"])
            rows.append(
                [
                    f"{row['size']} px, {row['rotation']}°",
                    str(row["faces"]),
                    f"{row['recall']:.1%}",
                    f"{row['accuracy_raw']:.3f}",
                    f"{row['accuracy']:.3f}",
                    f"{lost:.1f} ± {100 * row['lost_error']:.1f}",
                ]
            )
    headers = ["on PublicTest: size, tilt", "faces", "found", "accuracy of cut-out faces"]
    return tabulate(
        rows,
        headers=[*headers, "from photo to answer", "points lost"],
        tablefmt="github",
        disable_numparse=True,
    )


def balancing_table() -> str:
    """Format what the ways of balancing are worth in the experiments as a Markdown table."""
    names = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
    names |= {f"recall.{emotion}": emotion for emotion in EMOTIONS}
    rows = [
        [
            "no balancing" if run["run"] == "base" else run["run"].partition("-")[2],
            *(f"{run[column]:.3f}" for column in names),
        ]
        for run in pd.read_csv(EXPERIMENTS).to_dict("records")
        if run["run"] == "base" or run["run"].startswith("balance-")
    ]
    headers = ["on PublicTest", *names.values()]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def copies_table() -> str:
    """Format what copies of test images in Training are worth as a Markdown table."""
    runs = pd.read_csv(EXPERIMENTS, index_col="run")
    columns = {
        "accuracy": "accuracy",
        "accuracy_duplicates": "of the copies",
        "accuracy_deduplicated": "of the others",
    }
    rows = [
        [f"copies {kind}", *(f"{runs.loc[run, column]:.3f}" for column in columns)]
        for run, kind in (("duplicates-removed", "left out"), ("duplicates-kept", "kept"))
    ]
    headers = ["on PublicTest", *columns.values()]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def _read(path: Path) -> dict:
    if not path.exists():
        dataset = path.parent.name
        raise UserError(f"{path}: not found; run dvc repro with {dataset} in datasets first")
    return json.loads(path.read_text())


def _cell(split: dict, key: str) -> str:
    value = split[key]
    if isinstance(value, int):
        return str(value)
    if f"{key}_low" in split:
        return f"{value:.3f} ({split[f'{key}_low']:.3f} – {split[f'{key}_high']:.3f})"
    return f"{value:.3f}"


def with_fresh_tables(text: str) -> str:
    """Replace each table between its two marks in a Markdown text."""

    def fresh(match: re.Match) -> str:
        mark, kind, names = match.groups()
        match kind:
            case "metrics":
                table = metrics_table(names.strip())
            case "models":
                table = models_table(names.split())
            case "peers":
                table = peers_table()
            case "detection":
                table = detection_table()
            case "balancing":
                table = balancing_table()
            case "copies":
                table = copies_table()
        return f"{mark}\n{table}\n\n"

    kinds = "metrics|models|peers|detection|balancing|copies"
    marks = rf"(<!-- ({kinds})((?: [\w-]+)*) -->\n).*?(?=<!-- end -->)"
    return re.sub(marks, fresh, text, flags=re.DOTALL)


def main() -> None:
    """Print the tables of the datasets in params.yaml, or rewrite those of README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readme", action="store_true", help="rewrite the tables of README.md")
    try:
        if parser.parse_args().readme:
            fresh = with_fresh_tables(README.read_text())
            with written_atomically(README) as temporary:
                temporary.write_text(fresh)
            return
        for dataset in yaml.safe_load(Path("params.yaml").read_text())["datasets"]:
            print(f"\n{metrics_table(dataset)}\n\nmodel: {Artifacts(dataset).models}/model.onnx")
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
