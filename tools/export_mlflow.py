"""Log the committed results of a revision to MLflow: `python -m tools.export_mlflow DATASET REV`.

REV is a commit, branch or tag of git, or the name of a DVC experiment. MLFLOW_TRACKING_URI names
the server or folder. A revision that is already there is not logged again.
"""

import argparse
import io
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from stages.artifacts import Artifacts
from stages.errors import UserError
from stages.tracking import Tracker, destination


def main() -> None:
    """Read the command line and the environment, and export."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("stages").setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", help="for instance sample or fer2013")
    parser.add_argument("rev", help="a commit, branch, tag, or the name of a DVC experiment")
    arguments = parser.parse_args()
    try:
        export(arguments.dataset, arguments.rev)
    except UserError as error:
        sys.exit(f"error: {error}")


def export(dataset: str, rev: str) -> None:
    """Log one dataset's results as they are in a revision.

    Raises
    ------
    UserError
        MLflow is not set up or fails; the revision is unknown, or has no results of the dataset.
    """
    where = destination(os.environ)
    if where is None:
        raise UserError(
            "no MLflow to log to: set MLFLOW_TRACKING_URI to a server or folder, and install the"
            " package with `make .venv/tracking`"
        )
    commit, experiment = commit_of(rev)
    tracker = Tracker(dataset, replace(where, revision=commit, experiment=experiment))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract(commit, folder)
        model = folder / Artifacts(dataset).models / "model.onnx"
        evaluation = folder / Artifacts(dataset).metrics / "evaluation.json"
        if not (model.exists() and evaluation.exists()):
            raise UserError(f"{rev}: no committed results of dataset {dataset!r}")
        if run := tracker.export(parameters_of(folder, dataset), folder):
            print(f"{dataset} of {rev} is already there: run {run}")


def commit_of(rev: str) -> tuple[str, str | None]:
    """The commit of a revision, and the experiment's name where it is one of DVC's."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    if found:
        return found, None
    # refs/exps/BASELINE/NAME, where the baseline's digest is split after two digits.
    found = _git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{rev}")
    if found:
        return found.splitlines()[-1], rev
    raise UserError(f"{rev}: neither a revision of git nor an experiment in `dvc exp list`")


def extract(commit: str, folder: Path) -> None:
    """Write the parameters and results of a commit into a folder."""
    wanted = [path for path in ("params.yaml", "params", "models", "metrics") if _in(commit, path)]
    archive = subprocess.run(
        ["git", "archive", commit, *wanted], check=True, stdout=subprocess.PIPE
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def parameters_of(folder: Path, dataset: str) -> dict[str, Any]:
    """A dataset's parameters as they are in the file, whatever keys its revision knew."""
    own = folder / "params" / f"{dataset}.yaml"
    if own.exists():
        return dict(yaml.safe_load(own.read_text()))
    return dict(yaml.safe_load((folder / "params.yaml").read_text())[dataset])


def _in(commit: str, path: str) -> bool:
    return _git("ls-tree", "--name-only", commit, path) != ""


def _git(*arguments: str) -> str:
    """Output of a git command, empty where it fails."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
