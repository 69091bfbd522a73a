"""Soft labels: the teachers' mean probabilities, and how targets are blended with them."""

import hashlib
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from scipy.special import softmax

from stages.dataset.faces import TrainingSet
from stages.errors import UserError
from stages.onnx_graph.conversion import convert, served_model
from stages.onnx_graph.logits import predict_logits
from stages.parameters import SelfDistillation, Teacher, TeacherDistillation, ViewDistillation
from stages.training import trainer
from stages.training.data import TrainingData, prepare_training_data
from stages.training.soft_labels import (
    predict_soft_labels,
    predict_view_soft_labels,
    predicts_own_soft_labels,
    training_targets,
)
from stages.training.views import make_view
from tests.faces_fixture import training_faces
from tests.stages.test_train import settings

ROOT = Path(__file__).parents[3]
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 48, 48), dtype=np.uint8)


def half_face_network(cropping: tuple[int, int]) -> onnx.ModelProto:
    """A linear network of one half of the face."""
    faces = keras.Input((48, 48, 1))
    half = keras.layers.Cropping2D(((0, 0), cropping))(faces)
    logits = keras.layers.Dense(7)(keras.layers.Flatten()(half / 255))
    return convert(served_model(keras.Model(faces, logits), 48))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    found = []
    for name, cropping in (("left", (0, 24)), ("right", (24, 0))):
        path = folder / f"{name}.onnx"
        onnx.save(half_face_network(cropping), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(Teacher(file=path, sha256=digest[:12]))
    return found


def distilled(share: float, teachers: list[Teacher]) -> TeacherDistillation:
    return TeacherDistillation(name="teachers", share=share, teachers=teachers)


def test_they_are_the_mean_over_teachers_faces_and_mirror_images(teachers):
    mirrored = np.ascontiguousarray(IMAGES[:, :, ::-1])
    probabilities = [
        softmax(predict_logits(onnx.load(teacher.file), faces), axis=1)
        for teacher in teachers
        for faces in (IMAGES, mirrored)
    ]
    assert np.abs(probabilities[0] - probabilities[1]).max() > 1e-3
    soft_labels = predict_soft_labels(distilled(0.5, teachers), IMAGES, 7)
    assert soft_labels.dtype == np.float32
    assert soft_labels == pytest.approx(np.mean(probabilities, axis=0), abs=1e-5)


def on_views(teachers: list[Teacher], views: int = 2) -> ViewDistillation:
    return ViewDistillation(
        name="teachers_on_views", share=0.5, teachers=teachers, views=views, seed=4
    )


def test_those_of_a_view_are_of_the_view_itself(teachers):
    probabilities = [
        softmax(predict_logits(onnx.load(teacher.file), IMAGES), axis=1) for teacher in teachers
    ]
    soft_labels = predict_view_soft_labels(on_views(teachers), IMAGES, 7)
    assert soft_labels.dtype == np.float16
    assert soft_labels == pytest.approx(np.mean(probabilities, axis=0), abs=1e-3)


def test_a_run_trains_on_views_and_on_what_teachers_predict_for_them(teachers, monkeypatch):
    """Each view is made once with its seed, its soft labels once; batches are not augmented."""
    run = settings(epochs=3, distillation=on_views(teachers).model_dump())
    labels = (np.arange(70) % 7).astype(np.uint8)
    data = TrainingData(IMAGES, labels, IMAGES[:14], labels[:14])
    seen, states = [], []

    def batches(images, targets, weights, changes, *others, **named):
        assert changes is None
        seen.append((images, targets))
        return augmentation_batches(images, targets, weights, changes, *others, **named)

    augmentation_batches = trainer.augmentation.batches
    monkeypatch.setattr(trainer.augmentation, "batches", batches)
    trainer.train(data, run, on_epoch=states.append)
    one_hot = np.eye(7, dtype=np.float32)[labels]
    for epoch, (images, targets) in enumerate(seen):
        view = make_view(IMAGES, run.augmentation, (4, epoch % 2))
        assert np.array_equal(images, view.images)
        soft_labels = predict_view_soft_labels(run.distillation, view.images, 7)
        expected = 0.5 * view.mixed(one_hot) + 0.5 * soft_labels
        assert targets == pytest.approx(expected, abs=1e-3)
    assert len(seen) == 3
    assert len(states[-1].view_soft_labels) == 2


def test_there_are_none_without_teachers():
    assert predict_soft_labels(None, IMAGES, 7) is None
    assert predict_soft_labels(SelfDistillation(name="self", share=1, every=1), IMAGES, 7) is None


def test_a_teacher_with_another_digest_is_refused(teachers, tmp_path):
    left, right = teachers
    swapped = Teacher(file=left.file, sha256=right.sha256)
    expected = rf"left\.onnx: its SHA-256 begins with {left.sha256}, .* expect {right.sha256}"
    with pytest.raises(UserError, match=expected):
        predict_soft_labels(distilled(0.5, [swapped]), IMAGES, 7)
    missing = Teacher(file=tmp_path / "none.onnx", sha256=left.sha256)
    with pytest.raises(UserError, match=r"none\.onnx: No such file"):
        predict_soft_labels(distilled(0.5, [missing]), IMAGES, 7)


def test_a_served_file_is_no_teacher():
    """Its output is probabilities: a second softmax would make nearly equal targets of them."""
    served = ROOT / "models/sample/model.onnx"
    teacher = Teacher(file=served, sha256=hashlib.sha256(served.read_bytes()).hexdigest()[:12])
    with pytest.raises(UserError, match="output is `logits`, this file's is `probabilities`"):
        predict_soft_labels(distilled(0.5, [teacher]), IMAGES, 7)
    with pytest.raises(UserError, match="output is `logits`, this file's is `probabilities`"):
        predict_view_soft_labels(on_views([teacher]), IMAGES, 7)


def test_a_teacher_of_other_emotions_is_refused(teachers):
    with pytest.raises(UserError, match="predicts 7 emotions, the dataset has 3"):
        predict_view_soft_labels(on_views(teachers), IMAGES, 3)


def test_labels_are_blended_with_what_the_votes_say_of_them(teachers, tmp_path, monkeypatch):
    """Of a row, in any order; a row that was not voted on is refused."""
    rows = np.array([9, 4, 7, 4], np.int32)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 3).astype(np.float16)
    file = tmp_path / "votes.npz"
    np.savez(file, row=np.array([7, 9, 4], np.int32), probabilities=probabilities)
    for module in ("stages.teachers", "stages.training.vote_labels"):
        monkeypatch.setattr(f"{module}.VOTES", file)
    votes = {"share": 0.6, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()[:12]}
    run = settings(distillation=on_views(teachers).model_dump() | {"votes": votes})
    labels = np.array([0, 1, 2, 1], np.uint8)
    faces = training_faces(IMAGES[:4], labels, rows)
    training = TrainingSet(IMAGES[:4], labels, rows, np.zeros(4, bool))
    data = prepare_training_data(training, faces, run)
    one_hot = np.eye(7, dtype=np.float32)[labels]
    assert data.targets == pytest.approx(
        0.4 * one_hot + 0.6 * probabilities[[1, 2, 0, 2]], abs=1e-3
    )
    assert data.targets.dtype == np.float32

    others = TrainingSet(IMAGES[:4], labels, rows + 1, np.zeros(4, bool))
    with pytest.raises(UserError, match=r"votes\.npz: it has no votes on row 10; it is"):
        prepare_training_data(others, faces, run)
    votes["sha256"] = "0" * 12
    run = settings(distillation=on_views(teachers).model_dump() | {"votes": votes})
    with pytest.raises(UserError, match=r"votes\.npz: its SHA-256 begins with"):
        prepare_training_data(training, faces, run)


def test_targets_move_from_the_labels_to_the_networks_own_probabilities():
    one_hot, own = np.eye(7, dtype=np.float32), np.full((7, 7), 1 / 7, np.float32)
    half = settings(epochs=10, distillation={"name": "self", "share": 0.5, "every": 1})
    assert np.array_equal(training_targets(one_hot, None, None, half, epoch=9), one_hot)
    assert np.array_equal(training_targets(one_hot, None, own, half, epoch=0), one_hot)
    late = training_targets(one_hot, None, own, half, epoch=8)
    assert late == pytest.approx(0.6 * one_hot + 0.4 * own)
    assert late.dtype == np.float32


def test_targets_have_the_same_share_of_the_teachers_in_every_epoch(teachers):
    one_hot, soft = np.eye(7, dtype=np.float32), np.full((7, 7), 1 / 7, np.float32)
    most = settings(epochs=10, distillation=distilled(0.8, teachers).model_dump())
    for epoch in (0, 9):
        blended = training_targets(one_hot, soft, None, most, epoch)
        assert blended == pytest.approx(0.2 * one_hot + 0.8 * soft)
        assert blended.dtype == np.float32


def test_own_soft_labels_are_predicted_every_few_epochs():
    every = settings(distillation={"name": "self", "share": 0.5, "every": 4})
    epochs = [epoch for epoch in range(9) if predicts_own_soft_labels(every, epoch)]
    assert epochs == [3, 7]
    assert not predicts_own_soft_labels(settings(distillation=None), 3)
