"""Print the committed metrics as a table: `python -m stages.report`.

`python -m stages.report --readme` writes the tables of README.md anew instead. They stand
between the lines `<!-- metrics DATASET -->` and `<!-- end -->`, and no figure in them is typed.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import yaml
from tabulate import tabulate

from stages.artifacts import Artifacts, written_atomically
from stages.errors import UserError
from stages.fer_csv import EMOTIONS

README = Path("README.md")
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
    path = Artifacts(dataset).metrics / "evaluation.json"
    if not path.exists():
        raise UserError(f"{path}: not found; run dvc repro with {dataset} in datasets first")
    evaluation = json.loads(path.read_text())
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


def _cell(split: dict, key: str) -> str:
    value = split[key]
    if isinstance(value, int):
        return str(value)
    if f"{key}_low" in split:
        return f"{value:.3f} ({split[f'{key}_low']:.3f} – {split[f'{key}_high']:.3f})"
    return f"{value:.3f}"


def with_fresh_tables(text: str) -> str:
    """Replace each table between its two marks in a Markdown text."""
    return re.sub(
        r"(?<=<!-- metrics )(\w+)( -->\n).*?(?=<!-- end -->)",
        lambda match: f"{match[1]}{match[2]}\n{metrics_table(match[1])}\n\n",
        text,
        flags=re.DOTALL,
    )


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
    print("next:  `make serve` serves a model; change params.yaml, `dvc repro`, `dvc metrics diff`")


if __name__ == "__main__":
    main()
