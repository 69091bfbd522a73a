"""Make a release: `python -m tools.release 1.2.0`.

Gives the section *Unreleased* of CHANGELOG.md the version, sets it in pyproject.toml, enters each
new model under `artifacts` in dvc.yaml, commits these files, and tags the commit: `v1.2.0` for the
code, and for each committed model a version `emotion-D@v1.2.0` and the stage `emotion-D#prod#N` in
the registry (GTO, whose tags `dvc artifacts get` and `gto show` read). Models and their cards stay
as they are committed. Nothing is pushed.
"""

import argparse
import datetime
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import gto.api
import yaml
from dvc.annotations import Artifact
from dvc.repo import Repo
from gto.constants import assert_name_is_valid
from gto.exceptions import GTOException

from recognizer.atomic_file import write_atomically
from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from stages.artifacts import Artifacts
from stages.errors import UserError

CHANGELOG = Path("CHANGELOG.md")
PROJECT = Path("pyproject.toml")
PIPELINE = Path("dvc.yaml")
HEADING = "## Unreleased\n"
STAGE = "prod"


def release(version: str) -> list[str]:
    """Make the release `version` (MAJOR.MINOR.PATCH) and return the names of its tags.

    Raises
    ------
    UserError
        Nothing is changed where the version is not three numbers or already tagged, a file is not
        committed, the changelog has nothing unreleased, a card is not of its model, or the registry
        takes no name of this kind.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise UserError(f"{version}: a version is MAJOR.MINOR.PATCH, for instance 1.2.0")
    if changed := _git("status", "--porcelain"):
        raise UserError(f"{changed.split()[1]}: not committed; commit or restore every file first")
    tag, datasets = f"v{version}", released_datasets()
    names = {dataset: f"emotion-{dataset}" for dataset in datasets}
    existing = set(_git("tag", "--list").split())
    for name in (tag, *(f"{name}@{tag}" for name in names.values())):
        if name in existing:
            raise UserError(f"{name}: the tag exists; choose a higher version")
    for dataset in datasets:
        check_card(dataset)
    artifacts = new_artifacts(names)
    changelog = released_changelog(CHANGELOG.read_text(), version)
    line = f'version = "{version}"'
    project = re.sub(r'(?m)^version = ".*"$', line, PROJECT.read_text(), count=1)

    write_atomically(CHANGELOG, changelog)
    write_atomically(PROJECT, project)
    with Repo() as repo:
        for name, artifact in artifacts.items():
            repo.artifacts.add(name, artifact)
    files = map(str, (CHANGELOG, PROJECT, PIPELINE))
    _git("commit", "--quiet", "--message", f"Release {version}", "--", *files)
    _git("tag", "--annotate", "--message", f"Release {version}", tag)
    tags = [tag]
    for name in names.values():
        try:
            registered = gto.api.register(".", name, "HEAD", version=tag, stdout=False)
            assigned = gto.api.assign(".", name, STAGE, version=tag, stdout=False)
        except GTOException as error:
            raise UserError(
                f"{name}: {error}; undo the release by `git tag --delete {' '.join(tags)}` and "
                "`git reset --hard HEAD~1`"
            ) from None
        tags += [event.tag for event in (registered, assigned) if event]
    return tags


def released_datasets() -> list[str]:
    """The datasets whose models are committed."""
    return [Path(path).parent.name for path in _git("ls-files", "models/*/model.onnx").split()]


def new_artifacts(names: dict[str, str]) -> dict[str, Artifact]:
    """The models that are not yet under `artifacts` in dvc.yaml, by name.

    Parameters
    ----------
    names : dict
        Name of the artifact by dataset.

    Raises
    ------
    UserError
        The registry takes no such name, or the file is not a model.
    """
    entered = yaml.safe_load(PIPELINE.read_text()).get("artifacts", {})
    artifacts = {}
    for dataset, name in names.items():
        if name in entered:
            continue
        path = Artifacts(dataset).models / "model.onnx"
        try:
            assert_name_is_valid(name)
            emotions = len(Classifier(path).labels)
        except (GTOException, ModelError) as error:
            raise UserError(f"{path}: {error}") from None
        artifacts[name] = Artifact(
            path=path.as_posix(),
            type="model",
            desc=f"{emotions} emotions from a 48×48 grey face, trained on {dataset}",
            labels=["onnx", "facial-expression-recognition"],
        )
    return artifacts


def check_card(dataset: str) -> None:
    """Raise UserError where evaluation.json or the card is of another model than model.onnx."""
    paths = Artifacts(dataset)
    version = hashlib.sha256((paths.models / "model.onnx").read_bytes()).hexdigest()[:12]
    evaluation = json.loads((paths.metrics / "evaluation.json").read_text())
    card = paths.models / "README.md"
    if evaluation["model"]["version"] != version or version not in card.read_text():
        raise UserError(
            f"{card}: not of models/{dataset}/model.onnx ({version}); run `dvc repro` for "
            f"{dataset} and commit"
        )


def released_changelog(text: str, version: str) -> str:
    """Put the heading of `version` over what is unreleased, and an empty section above it.

    Raises
    ------
    UserError
        There is no section *Unreleased*, or nothing in it.
    """
    before, heading, after = text.partition(HEADING)
    unreleased = re.split(r"(?m)^## ", after, maxsplit=1)[0]
    if not heading or not re.search(r"(?m)^- ", unreleased):
        raise UserError(f"{CHANGELOG}: the section Unreleased is empty; write one line per change")
    date = datetime.datetime.now(datetime.UTC).date()
    return f"{before}{HEADING}\n## {version} – {date}\n{after}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def main() -> None:
    """Make the release named on the command line and print how to publish it."""
    parser = argparse.ArgumentParser(description="Tag a release of the code and of the models.")
    parser.add_argument("version", help="MAJOR.MINOR.PATCH, for instance 1.2.0")
    try:
        tags = release(parser.parse_args().version)
    except UserError as error:
        sys.exit(f"error: {error}")
    print("\n".join(["Tags of this release:", *tags, "", "Publish it: git push --follow-tags"]))


if __name__ == "__main__":
    main()
