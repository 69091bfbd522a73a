"""The pipeline as DVC runs it, in copies of the repository.

What is trained here is compared with bounds: another processor trains other weights.
"""

import json
import shlex
import shutil
import subprocess

import numpy as np
import pytest
import yaml

from tests.pipeline.conftest import ROOT, Repository, ran


def test_the_sample_is_learned(built):
    evaluation = json.loads((built.folder / "metrics/sample/evaluation.json").read_text())
    for split in ("PublicTest", "PrivateTest"):
        assert evaluation[split]["accuracy"] >= 0.90
        assert evaluation[split]["min_recall"] >= 0.75


def test_the_sample_is_the_same_bytes_on_every_processor(built):
    """Those of the repository's dvc.lock."""
    outputs = [
        yaml.safe_load((folder / "dvc.lock").read_text())["stages"]["fetch@sample"]["outs"]
        for folder in (ROOT, built.folder)
    ]
    assert outputs[0] == outputs[1]


def test_the_server_has_the_distribution_of_training(built):
    """Of the sample's faces, from the metadata of the file that `export` wrote."""
    with np.load(built.folder / "data/sample/faces.npz") as arrays:
        training = arrays["images"][arrays["split"] == 0]
        labels = arrays["labels"][arrays["split"] == 0]
    script = (
        "from fastapi.testclient import TestClient; from api.app import app\n"
        "with TestClient(app, base_url='http://localhost') as client:\n"
        "    print(client.get('/model').text)\n"
        "    print(client.get('/metrics').text)\n"
    )
    served = f"MODEL_PATH=models/sample/model.onnx python -c {shlex.quote(script)}"
    model, _, metrics = built.run(served).partition("\n")
    found = json.loads(model)["training_distribution"]
    assert found["faces"] == len(training)
    assert list(found["emotion_shares"].values()) == pytest.approx(
        np.bincount(labels) / len(labels), abs=1e-4
    )
    for name, values in (
        ("brightness", training.mean(axis=(1, 2))),
        ("contrast", training.std(axis=(1, 2))),
    ):
        for point in found[name]:
            assert point["share"] == pytest.approx(np.mean(values <= point["up_to"]), abs=1e-4)
            sample = f'fer_training_{name}{{le="{point["up_to"]:.1f}",model_version="'
            assert sample in metrics


def test_a_second_repro_runs_nothing(built):
    log = built.run("make repro")
    assert ran(log) == set()
    assert "Data and pipelines are up to date." in log


def test_one_value_changes_a_choice_and_no_comment(built):
    parameters = "params/sample.yaml"
    changes = {"train.optimizer.name": "adam", "train.epochs": "1"}
    options = " ".join(f"--set-param {parameters}:{key}={value}" for key, value in changes.items())
    try:
        # In a temporary folder, so that the files of this repository stay.
        log = built.run(f"dvc exp run --temp --name adam {options}")
        built.run("dvc exp branch adam adam")
        changed = built.run(f"git show adam:{parameters}").splitlines()
    finally:
        built.run("git branch -D adam; dvc exp remove adam")
    assert ran(log) == {"train", "export", "evaluate"}
    before = (built.folder / parameters).read_text().splitlines()
    differences = [
        (a.split()[:2], b.split()[:2])
        for a, b in zip(before, changed, strict=True)
        if a.rstrip() != b.rstrip()
    ]
    assert differences == [
        (["epochs:", "8"], ["epochs:", "1"]),
        (["name:", "sgd"], ["name:", "adam"]),
    ]


@pytest.mark.parametrize("dataset", ["sample", "fer2013", "fer2013-small", "ferplus"])
def test_the_committed_model_is_the_one_that_was_measured(committed, dataset):
    evaluation = json.loads((committed.folder / f"metrics/{dataset}/evaluation.json").read_text())
    model = committed.folder / f"models/{dataset}/model.onnx"
    assert evaluation["model"]["bytes"] == model.stat().st_size
    digest = committed.run(f"sha256sum models/{dataset}/model.onnx")
    assert digest.startswith(evaluation["model"]["version"])


def test_nothing_of_the_data_is_tracked():
    command = ["git", "ls-files", "data", "models", "metrics"]
    tracked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    tracked = tracked.stdout.split()
    assert "data/README.md" in tracked
    assert [name for name in tracked if name.endswith((".npz", "/model.keras", "raw.csv"))] == []
    faces = ("contact_sheet", "mistakes", "sensitivity_faces")
    assert [name for name in tracked if name.endswith(tuple(f"{x}.png" for x in faces))] == []


def test_every_stage_file_is_a_stage_and_depends_on_itself(committed):
    stages = yaml.safe_load((committed.folder / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        assert stage["cmd"] == f"python -m stages.{name} ${{item}}"
        assert f"stages/{name}.py" in stage["deps"]


@pytest.mark.parametrize(
    "name", ["x; touch PWNED", "x'; touch PWNED; '", "x\ntouch PWNED\n", "$(touch PWNED)", ".."]
)
def test_a_dataset_with_a_hostile_name_runs_no_command_and_loses_no_file(committed, tmp_path, name):
    folder = tmp_path / "clone"
    committed.run(f"git clone -q . {folder}")
    shutil.copy(folder / "params/sample.yaml", folder / "params" / f"{name}.yaml")
    (folder / "params.yaml").write_text(yaml.safe_dump({"datasets": [name]}))
    (folder / "source.json").write_text("{}")
    err = Repository(folder, committed.home).run("(! dvc repro) 2>&1")
    if "\n" not in name:  # DVC ends a command at a line end: the shell refuses the open quote
        assert "no name of a dataset; expected a small letter or a digit" in err
    assert not (folder / "PWNED").exists()
    assert (folder / "source.json").read_text() == "{}"
    assert [path.name for path in (folder / "data").iterdir()] == ["README.md"]


def test_plots_are_drawn(built):
    drawn = built.run("dvc plots show")
    page = (built.folder / "dvc_plots/index.html").read_text()
    assert "index.html" in drawn
    for plot in ("confusion on PrivateTest", "reliability on PrivateTest", "ROC", "training"):
        assert f"sample: {plot}" in page
    for picture in ("balance.png", "sensitivity.png"):
        assert f"metrics/sample/plots/{picture}" in page
