"""The pipeline as DVC runs it, in a copy of the repository."""

import json
import re

import pytest
import yaml


def ran(log: str) -> set[str]:
    """Names of the stages that a `dvc repro` ran."""
    return set(re.findall(r"Running stage '(\w+)@", log))


def test_the_sample_is_learned(built):
    evaluation = json.loads((built.folder / "metrics/sample/evaluation.json").read_text())
    assert evaluation["PrivateTest"]["accuracy"] >= 0.90
    assert evaluation["PrivateTest"]["min_recall"] >= 0.75


def test_a_second_repro_runs_nothing(built):
    assert ran(built.run("dvc repro")) == set()


def test_a_changed_parameter_reruns_what_depends_on_it_and_shows_in_the_diff(built):
    path = built.folder / "params.yaml"
    built.run("git switch -q -c shorter")
    block, epochs = re.search(r"(sample:.*?    epochs: )(\d+)", path.read_text(), re.S).groups()
    path.write_text(path.read_text().replace(block + epochs, block + "1"))
    assert ran(built.run("dvc repro")) == {"train", "export", "evaluate"}
    built.run("git commit -qam shorter")

    rows = json.loads(built.run("dvc metrics diff --json main"))
    private = rows["metrics/sample/evaluation.json"]["PrivateTest.accuracy"]
    assert private["old"] >= 0.90 > private["new"]
    fewer = {"old": int(epochs), "new": 1, "diff": 1 - int(epochs)}
    assert rows["metrics/sample/training.json"]["epochs"] == fewer
    changed = json.loads(built.run("dvc params diff --json main"))
    assert changed["params.yaml"]["sample.train.epochs"] == fewer

    built.run("git switch -q main && dvc checkout -q")
    assert ran(built.run("dvc repro")) == set()


def test_committed_results_belong_to_committed_code_and_parameters(copy):
    path = copy.folder / "params.yaml"
    committed = path.read_text()
    every = "datasets: [sample, fer2013, fer2013-small]"
    path.write_text(re.sub(r"^datasets:.*$", every, committed, flags=re.M))
    try:
        log = copy.run("dvc repro --allow-missing --dry")
    finally:
        path.write_text(committed)
    assert log.count("didn't change") + log.count("skipping") >= 21, log
    assert ran(log) == set(), log


@pytest.mark.parametrize("dataset", ["sample", "fer2013", "fer2013-small"])
def test_the_committed_model_is_the_one_that_was_measured(copy, dataset):
    evaluation = json.loads((copy.folder / f"metrics/{dataset}/evaluation.json").read_text())
    model = copy.folder / f"models/{dataset}/model.onnx"
    assert evaluation["model"]["bytes"] == model.stat().st_size
    digest = copy.run(f"sha256sum models/{dataset}/model.onnx")
    assert digest.startswith(evaluation["model"]["version"])


def test_nothing_of_the_data_is_tracked(copy):
    tracked = copy.run("git ls-files data models metrics").split()
    assert "data/README.md" in tracked
    assert [name for name in tracked if name.endswith((".npz", ".keras", "raw.csv"))] == []
    faces = ("contact_sheet", "mistakes", "sensitivity_faces")
    assert [name for name in tracked if name.endswith(tuple(f"{x}.png" for x in faces))] == []


def test_every_stage_file_is_a_stage_and_depends_on_itself(copy):
    stages = yaml.safe_load((copy.folder / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        assert stage["cmd"] == f"python -m stages.{name} ${{item.dataset}}"
        assert f"stages/{name}.py" in stage["deps"]


def test_plots_are_drawn(built):
    drawn = built.run("dvc plots show --out drawn")
    page = (built.folder / "drawn/index.html").read_text()
    assert "index.html" in drawn
    for plot in (
        "confusion on PrivateTest",
        "reliability on PrivateTest",
        "ROC",
        "accuracy while training",
    ):
        assert f"sample: {plot}" in page
    for picture in ("balance.png", "contact_sheet.png", "mistakes.png", "sensitivity.png"):
        assert picture in page
