"""A release in a clone of the last commit, with real git, GTO and DVC, and served by the server."""

import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from api.models.model_source import RevisionSource
from recognizer.classifier import Classifier
from recognizer.errors import ModelError

ROOT = Path(__file__).parents[2]
MODEL = Path("models/sample/model.onnx")
METRICS = Path("metrics")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def git(folder: Path, *arguments: str) -> str:
    done = run(folder, "git", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def gto(folder: Path, *arguments: str) -> None:
    done = run(folder, str(Path(sys.executable).parent / "gto"), *arguments)
    assert done.returncode == 0, done.stderr


def release(folder: Path, version: str) -> subprocess.CompletedProcess:
    return run(folder, sys.executable, "-m", "tools.release", version)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A clone with the releases 7.0.0 and 7.1.0.

    Between them, the sample's model changes, and the dataset `mine` comes with a model.
    """
    folder = tmp_path_factory.mktemp("released") / "clone"
    git(ROOT, "clone", "--quiet", "--no-tags", f"file://{ROOT}", str(folder))
    git(folder, "config", "user.name", "Test")
    git(folder, "config", "user.email", "test@example.org")
    first = release(folder, "7.0.0")
    assert first.returncode == 0, first.stderr
    add_model(folder)
    change_model(folder)
    second = release(folder, "7.1.0")
    assert second.returncode == 0, second.stderr
    return folder, first.stdout


def change_model(folder: Path) -> None:
    """Commit another file for the sample's model, and a card and metrics that name it."""
    path = folder / MODEL
    old = sha256(path.read_bytes()).hexdigest()[:12]
    # onnxruntime ignores a second, later value of a field of the protocol buffer: doc_string.
    path.write_bytes(path.read_bytes() + b"\x32\x01x")
    new = sha256(path.read_bytes()).hexdigest()[:12]
    for name in ("models/sample/README.md", "metrics/sample/evaluation.json"):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    log = folder / "CHANGELOG.md"
    log.write_text(
        log.read_text().replace("## Unreleased\n", "## Unreleased\n\n- Another model.\n")
    )
    git(folder, "commit", "--quiet", "--all", "--message", "Train again")


def add_model(folder: Path) -> None:
    """Commit a model of the dataset `mine`, with its card and metrics: those of the sample."""
    for name in ("models/sample/model.onnx", "models/sample/README.md"):
        copy(folder / name, folder / name.replace("sample", "mine"))
    copy(folder / "metrics/sample/evaluation.json", folder / "metrics/mine/evaluation.json")
    git(folder, "add", "models/mine", "metrics/mine")
    git(folder, "commit", "--quiet", "--message", "A model of another dataset")


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def version_at(folder: Path, revision: str) -> str:
    done = subprocess.run(
        ["git", "show", f"{revision}:{MODEL}"], cwd=folder, capture_output=True, check=True
    )
    return sha256(done.stdout).hexdigest()


def test_a_release_tags_code_and_models_and_dates_the_changelog(released):
    folder, printed = released
    tags = git(folder, "tag", "--list").split()
    for dataset in ("fer2013", "fer2013-small", "ferplus", "sample"):
        assert {f"emotion-{dataset}@v7.0.0", f"emotion-{dataset}#prod#1"} <= set(tags)
        assert f"emotion-{dataset}@v7.0.0" in printed
    assert {"v7.0.0", "v7.1.0"} <= set(tags)
    assert 'version = "7.0.0"' in git(folder, "show", "v7.0.0:pyproject.toml")
    changelog = git(folder, "show", "v7.0.0:CHANGELOG.md")
    original = git(folder, "show", "v7.0.0~1:CHANGELOG.md")
    head, _, rest = changelog.partition("## 7.0.0 – ")
    assert head == original.partition("## Unreleased\n")[0] + "## Unreleased\n\n"
    assert rest.partition("\n")[2] == original.partition("## Unreleased\n")[2]
    changed = git(folder, "show", "--name-only", "--format=", "v7.0.0^{commit}").split()
    assert changed == ["CHANGELOG.md", "pyproject.toml"]
    assert git(folder, "status", "--porcelain") == ""


def test_the_server_loads_a_version_and_a_stage(released, monkeypatch):
    folder, _ = released
    monkeypatch.chdir(folder)
    versions = {}
    for revision in ("emotion-sample@v7.0.0", "emotion-sample@v7.1.0", "emotion-sample#prod"):
        source = RevisionSource(revision, MODEL, METRICS)
        versions[revision] = Classifier.of(source.read(), revision).version
        assert versions[revision][:12] in (source.metrics("sample", "evaluation.json") or "")
    first, second, stage = versions.values()
    assert first != second == stage
    assert first == version_at(folder, "emotion-sample@v7.0.0")
    with pytest.raises(ModelError, match="emotion-sample#dev: no such commit, tag or branch"):
        RevisionSource("emotion-sample#dev", MODEL, METRICS).read()

    # `--force`: the version was in this stage before.
    gto(folder, "assign", "emotion-sample", "--version", "v7.0.0", "--stage", "prod", "--force")
    assert (
        Classifier.of(RevisionSource("emotion-sample#prod", MODEL, METRICS).read(), "prod").version
        == first
    )
    gto(folder, "deprecate", "emotion-sample", "v7.0.0", "prod")
    gto(folder, "deprecate", "emotion-sample", "v7.1.0", "prod")
    with pytest.raises(ModelError, match="has taken the stage back"):
        RevisionSource("emotion-sample#prod", MODEL, METRICS).read()


def test_dvc_fetches_a_released_model_into_an_empty_folder(released, tmp_path):
    folder, _ = released
    dvc = str(Path(sys.executable).parent / "dvc")
    for options in (["--rev", "v7.1.0"], ["--stage", "prod"]):
        name = options[1]
        done = run(
            tmp_path, dvc, "artifacts", "get", str(folder), "emotion-fer2013-small", *options,
            *("-o", name),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        small = (folder / "models/fer2013-small/model.onnx").read_bytes()
        assert (tmp_path / name).read_bytes() == small


def test_a_release_enters_a_new_model_and_changes_no_other_line_of_dvc_yaml(released, tmp_path):
    folder, _ = released
    diff = git(folder, "diff", "--unified=0", "v7.0.0", "v7.1.0", "--", "dvc.yaml")
    changed = "".join(line[1:] + "\n" for line in diff.splitlines()[5:])
    assert yaml.safe_load(changed) == {
        "emotion-mine": {
            "path": "models/mine/model.onnx",
            "type": "model",
            "desc": "7 emotions from a 48×48 grey face, trained on mine",
            "labels": ["onnx", "facial-expression-recognition"],
        }
    }
    assert not re.search(r"(?m)^-(?!-- )", diff)
    dvc = str(Path(sys.executable).parent / "dvc")
    done = run(tmp_path, dvc, "artifacts", "get", str(folder), "emotion-mine", "-o", "got.onnx")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got.onnx").read_bytes() == (folder / "models/mine/model.onnx").read_bytes()


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("1.2", "1.2: a version is MAJOR.MINOR.PATCH"),
        ("7.1.0", "v7.1.0: the tag exists"),
        ("7.2.0", "CHANGELOG.md: the section Unreleased is empty"),
    ],
)
def test_a_release_that_cannot_be_made_changes_nothing(released, version, reason):
    folder, _ = released
    before = git(folder, "rev-parse", "HEAD"), git(folder, "tag", "--list")
    done = release(folder, version)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {reason}") and done.stderr.count("\n") == 1
    assert (git(folder, "rev-parse", "HEAD"), git(folder, "tag", "--list")) == before
    assert git(folder, "status", "--porcelain") == ""


def test_a_name_that_the_registry_does_not_take_changes_nothing(released):
    folder, _ = released
    head = git(folder, "rev-parse", "HEAD").strip()
    for name in ("models/mine/model.onnx", "models/mine/README.md", "metrics/mine/evaluation.json"):
        copy(folder / name, folder / name.replace("mine", "my.faces"))
    log = folder / "CHANGELOG.md"
    log.write_text(log.read_text().replace("## Unreleased\n", "## Unreleased\n\n- A model.\n"))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A dataset with a dot in its name")
    done = release(folder, "7.3.0")
    changed = git(folder, "status", "--porcelain")
    git(folder, "reset", "--quiet", "--hard", head)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: models/my.faces/model.onnx: Invalid value 'emotion-my.fa")
    assert changed == ""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("README.md", "README.md: not committed"),
        (str(MODEL), "models/sample/README.md: not of models/sample/model.onnx"),
    ],
)
def test_a_release_needs_committed_files_and_cards_of_their_models(released, path, reason):
    folder, _ = released
    head = git(folder, "rev-parse", "HEAD").strip()
    with (folder / path).open("ab") as file:
        file.write(b"\x32\x01y")
    if path == str(MODEL):
        git(folder, "commit", "--quiet", "--all", "--message", "A model without its card")
    done = release(folder, "7.3.0")
    git(folder, "reset", "--quiet", "--hard", head)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {reason}"), done.stderr
