"""Compare the models of two git revisions, as Markdown for a pull request.

    python -m tools.compare main HEAD

The report has the changed parameters and, for each dataset whose results differ, the headline
metrics and the recalls on PrivateTest with their 95 % intervals, McNemar's test on the paired
predictions, and links to the changed plots. It reads what is committed, not the work tree.
"""

import argparse
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from scipy.stats import binomtest

from stages.artifacts import Artifacts
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table

HEADLINES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "min_recall": "lowest recall of a class",
    "log_loss": "log loss",
    "ece": "expected calibration error",
}
SPLIT = "PrivateTest"
SIGNIFICANT = 0.05
RULE = (
    "A difference exceeds the intervals where the value of each revision lies outside the 95 % "
    "interval of the other."
)


@dataclass(frozen=True)
class Revision:
    """A git revision, by the name that the user gave it and by its commit."""

    name: str
    commit: str

    @classmethod
    def of(cls, name: str) -> "Revision":
        """Look a revision up; raises UserError if there is none of that name."""
        done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if done.returncode:
            raise UserError(f"{name}: no such commit, tag or branch; `git fetch` may bring it")
        return cls(name, done.stdout.strip())

    def files(self, *folders: str) -> dict[str, str]:
        """Blob by path of every file in `folders`, which may be files themselves."""
        listed = _git("ls-tree", "-r", "-z", self.commit, "--", *folders).stdout
        entries = [entry.split("\t", 1) for entry in listed.split("\0") if entry]
        return {path: details.split()[2] for details, path in entries}

    def text(self, path: Path | str) -> str | None:
        """The text of a file, None if there is no such file."""
        done = _git("show", f"{self.commit}:./{path}")
        return None if done.returncode else done.stdout


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


def report(old: Revision, new: Revision, url: str | None = None) -> str:
    """Write the whole report.

    Parameters
    ----------
    url : str or None
        Address of the repository's web page, for links to files in a commit. None makes links
        relative to the repository's root.
    """
    parts = [f"# `{old.name}` ({old.commit[:7]}) → `{new.name}` ({new.commit[:7]})"]
    parts += ["## Parameters", parameters_section(old, new)]
    before, after = old.files("metrics", "models"), new.files("metrics", "models")
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    datasets = sorted({path.split("/")[1] for path in changed if path.count("/") > 1})
    for dataset in datasets:
        parts += [f"## {dataset}", *dataset_section(dataset, old, new)]
        if links := plot_links(dataset, changed & after.keys(), new, url):
            parts.append(links)
    measured = {path.split("/")[1] for path in after if path.endswith("/evaluation.json")}
    same = sorted(measured - {*datasets})
    if same:
        parts.append(f"Same results in both revisions: {', '.join(same)}.")
    return "\n\n".join(parts) + "\n"


# ---------------------------------------------------------------- parameters


def parameters_section(old: Revision, new: Revision) -> str:
    """A table of the parameters that differ, by file and dotted key."""
    before, after = parameters(old), parameters(new)
    rows = [
        [f"`{file}`", f"`{key}`", _value(before, file, key), _value(after, file, key)]
        for file, key in sorted(before.keys() | after.keys())
        if before.get((file, key)) != after.get((file, key))
    ]
    if not rows:
        return "No parameter differs."
    return markdown_table(["file", "parameter", old.name, new.name], rows, text_columns=4)


def parameters(revision: Revision) -> dict[tuple[str, str], str]:
    """JSON of every value in params.yaml and params/*.yaml, by (file, dotted key)."""
    found: dict[tuple[str, str], str] = {}
    for file in revision.files("params.yaml", "params"):
        if file.endswith(".yaml"):
            found |= {
                (file, key): json.dumps(value, ensure_ascii=False)
                for key, value in _leaves(yaml.safe_load(revision.text(file) or ""))
            }
    return found


def _leaves(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        return [(prefix, value)]
    return [
        leaf
        for key, item in value.items()
        for leaf in _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    ]


def _value(values: dict[tuple[str, str], str], file: str, key: str) -> str:
    text = values.get((file, key))
    return "–" if text is None else f"`{text}`"


# ---------------------------------------------------------------- metrics


def dataset_section(dataset: str, old: Revision, new: Revision) -> list[str]:
    """The tables of metrics and recalls of one dataset, and McNemar's test."""
    before, after = _read_metrics(dataset, old), _read_metrics(dataset, new)
    if before is None or after is None:
        missing = old if before is None else new
        return [f"`{missing.name}` has no evaluation of this dataset."]
    names = [old.name, new.name]
    labels = sorted(before["recall"].keys() & after["recall"].keys())
    headlines = [
        metric_row(title, key, before[key], after[key], before["intervals"], after["intervals"])
        for key, title in HEADLINES.items()
    ]
    recalls = [
        metric_row(
            label,
            f"recall.{label}",
            before["recall"][label],
            after["recall"][label],
            before["intervals"],
            after["intervals"],
        )
        for label in labels
    ]
    columns = [*names, "difference", "exceeds the intervals"]
    return [
        markdown_table([f"on {SPLIT}", *columns], headlines),
        markdown_table(["recall of", *columns], recalls),
        RULE,
        mcnemar_sentence(dataset, old, new),
    ]


def _read_metrics(dataset: str, revision: Revision) -> dict[str, Any] | None:
    folder = Artifacts(dataset).metrics
    evaluation = revision.text(folder / "evaluation.json")
    intervals = revision.text(folder / "intervals.json")
    if evaluation is None or intervals is None:
        return None
    return {**json.loads(evaluation)[SPLIT], "intervals": json.loads(intervals)[SPLIT]}


def metric_row(
    title: str,
    key: str,
    before: float,
    after: float,
    intervals_before: dict[str, list[float]],
    intervals_after: dict[str, list[float]],
) -> list[str]:
    """One metric: both values with intervals, the difference, whether it exceeds the intervals."""
    first, second = intervals_before[key], intervals_after[key]
    exceeds = not first[0] <= after <= first[1] and not second[0] <= before <= second[1]
    return [
        title,
        f"{before:.4f} ({first[0]:.3f} … {first[1]:.3f})",
        f"{after:.4f} ({second[0]:.3f} … {second[1]:.3f})",
        f"{after - before:+.4f}",
        "yes" if exceeds else "no",
    ]


# ---------------------------------------------------------------- McNemar's test


def mcnemar_sentence(dataset: str, old: Revision, new: Revision) -> str:
    """McNemar's test on the predictions of both revisions for the same faces, as a sentence."""
    path = Artifacts(dataset).metrics / "predictions.csv"
    tables = []
    for revision in (old, new):
        text = revision.text(path)
        if text is None:
            return f"No McNemar's test: `{revision.name}` has no `{path}`."
        table = pd.read_csv(io.StringIO(text)).query("split == @SPLIT")
        tables.append(table.set_index("row"))
    before, after = tables
    if not before["label"].equals(after["label"]):
        return f"No McNemar's test: the faces or labels of {SPLIT} differ between the revisions."
    right_before = before["predicted"] == before["label"]
    right_after = after["predicted"] == after["label"]
    lost = int((right_before & ~right_after).sum())
    won = int((right_after & ~right_before).sum())
    p = mcnemar(lost, won)
    verdict = "significant" if p < SIGNIFICANT else "not significant"
    return (
        f"McNemar's exact test on {len(before):,} paired predictions: {lost} faces are right in "
        f"`{old.name}` only, {won} in `{new.name}` only; p = {p:.2g}. The difference in accuracy "
        f"is {verdict} at {SIGNIFICANT:.0%}."
    )


def mcnemar(lost: int, won: int) -> float:
    """p-value of McNemar's exact test (McNemar 1947): two-sided binomial test of `won` in both.

    Parameters
    ----------
    lost, won : int
        Faces that the first model alone and the second model alone predicts right.
    """
    return float(binomtest(won, lost + won, 0.5).pvalue) if lost + won else 1.0


# ---------------------------------------------------------------- plots


def plot_links(dataset: str, changed: set[str], new: Revision, url: str | None) -> str:
    """Links to the model card and the plots of one dataset that differ, empty if none does."""
    paths = Artifacts(dataset)
    card = str(paths.models / "README.md")
    shown = sorted(path for path in changed if path == card or path.startswith(f"{paths.plots}/"))
    base = f"{url}/blob/{new.commit}/" if url else ""
    links = [
        f"[{'model card' if path == card else Path(path).name}]({base}{path})" for path in shown
    ]
    return f"Changed files: {', '.join(links)}" if links else ""


def main() -> None:
    """Print the report of the two revisions on the command line."""
    parser = argparse.ArgumentParser(
        description="Compare the committed models of two git revisions, as Markdown."
    )
    parser.add_argument("old", help="a commit, tag or branch, for instance main")
    parser.add_argument("new", help="the revision to compare with it, for instance HEAD")
    parser.add_argument("--url", help="the repository's web page, for links: https://…/OWNER/NAME")
    arguments = parser.parse_args()
    try:
        print(report(Revision.of(arguments.old), Revision.of(arguments.new), arguments.url), end="")
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
