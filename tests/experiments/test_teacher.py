"""A teacher of experiments/ is trained, resumed after a kill, measured and used by its digest."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from sklearn.metrics import accuracy_score, f1_score

from experiments import settings
from experiments.teacher import train_teacher
from stages.artifacts import Artifacts
from stages.errors import UserError
from stages.onnx_graph.logits import predict_logits
from stages.parameters import Train, load_parameters
from stages.teachers import read_teacher_metrics
from stages.training.data import read_training_data
from tests.faces_fixture import write_faces, write_training_set
from tests.stages.killed_fixture import killed

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
LABELS = np.arange(70, dtype=np.uint8) % 7
IMAGES = np.stack([RNG.normal(90 + 12 * label, 20, (48, 48)) for label in LABELS])
IMAGES = IMAGES.clip(0, 255).astype(np.uint8)
PUBLIC = IMAGES[:21, ::-1], LABELS[:21]


def write_repository(folder: Path) -> None:
    """experiments/params.yaml with a teacher `tiny`, and the faces of a dataset `tiny`."""
    document = yaml.safe_load((ROOT / settings.PARAMETERS).read_text())
    residual = {"widths": [4, 8], "blocks": 1, "dropout": 0}
    tiny = {"network": {"name": "residual", "residual": residual}, "batch_size": 14}
    tiny |= {"distillation": {"name": "none"}, "epochs": 2, "precision": "float32"}
    document["dataset"] = "tiny"
    document["teachers"] = {"tiny": document["base"]["train"] | tiny}
    document["teacher_export"]["int8"]["calibration"] = 14
    (folder / "experiments/teachers").mkdir(parents=True)
    (folder / settings.PARAMETERS).write_text(yaml.safe_dump(document))
    data = folder / "data/tiny"
    split = np.repeat(np.array([1, 0], np.uint8), [21, 70])
    images = np.concatenate([PUBLIC[0], IMAGES])
    write_faces(data / "faces.npz", images, np.concatenate([PUBLIC[1], LABELS]), split)
    write_training_set(data / "train.npz", IMAGES, LABELS)


def test_a_killed_teacher_resumes_and_has_the_same_bytes(tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, broken):
        write_repository(folder)
    monkeypatch.chdir(whole)
    train_teacher("tiny")

    killed(broken, "experiments.teacher", ".tiny", epoch=1)
    teachers = broken / "experiments/teachers"
    assert {path.name for path in teachers.iterdir()} == {".tiny.resume.npz"}
    monkeypatch.chdir(broken)
    train_teacher("tiny")
    assert {path.name for path in teachers.iterdir()} == {"tiny.onnx", "tiny.json"}
    for path in teachers.iterdir():
        assert path.read_bytes() == (whole / "experiments/teachers" / path.name).read_bytes()


def test_a_teacher_is_measured_on_public_test_and_used_by_its_digest(tmp_path, monkeypatch):
    write_repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    train_teacher("tiny")
    path = Path("experiments/teachers/tiny.onnx")
    model = onnx.load(path)
    predicted = predict_logits(model, PUBLIC[0]).argmax(axis=1)
    metrics = json.loads(path.with_suffix(".json").read_text())
    assert metrics["accuracy"] == pytest.approx(accuracy_score(PUBLIC[1], predicted), abs=1e-4)
    macro_f1 = f1_score(PUBLIC[1], predicted, average="macro")
    assert metrics["macro_f1"] == pytest.approx(macro_f1, abs=1e-4)
    assert metrics["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()

    sample = load_parameters("sample", ROOT / "params")
    teacher = {"file": str(path), "sha256": metrics["sha256"][:12]}
    distillation = {"name": "teachers", "share": 0.5, "teachers": [teacher]}
    train = Train.model_validate(sample.train.model_dump() | {"distillation": distillation})
    data = read_training_data(Artifacts("tiny"), train)
    assert data.soft_labels.shape == (70, 7)
    assert data.soft_labels.sum(axis=1) == pytest.approx(1, abs=1e-5)
    found = read_teacher_metrics(sample.model_copy(update={"train": train}))
    assert found == {str(path): metrics}

    path.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=r"tiny\.json: not found; expected the metrics of tiny"):
        read_teacher_metrics(sample.model_copy(update={"train": train}))


def test_the_committed_parameters_name_the_committed_teachers():
    named = 0
    for dataset in ("fer2013", "fer2013-small", "sample"):
        parameters = load_parameters(dataset, ROOT / "params")
        distillation = parameters.train.distillation
        for teacher in getattr(distillation, "teachers", []):
            digest = hashlib.sha256((ROOT / teacher.file).read_bytes()).hexdigest()
            assert digest.startswith(teacher.sha256), teacher.file
            named += 1
    for path in (ROOT / "experiments/teachers").glob("*.onnx"):
        digest = json.loads(path.with_suffix(".json").read_text())["sha256"]
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert named > 0
