"""The teach stage: teachers are trained as `train` trains, asked twice, and never trained again."""

import shutil
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import yaml
from scipy.special import softmax

from stages import teach, train
from stages.errors import UserError
from stages.onnx_graph.conversion import convert, served_model, to_precision
from stages.onnx_graph.ensemble import read_teachers
from stages.onnx_graph.logits import predict_logits
from stages.parameters import load_parameters
from stages.train import train_resumably
from stages.training.networks import build_network
from tests.stages.killed_fixture import killed

ROOT = Path(__file__).parents[2]

RNG = np.random.default_rng(0)
LABELS = np.arange(70, dtype=np.uint8) % 7
IMAGES = np.stack([RNG.normal(90 + 12 * label, 20, (48, 48)) for label in LABELS])
IMAGES = IMAGES.clip(0, 255).astype(np.uint8)
PUBLIC = IMAGES[:21, ::-1], LABELS[:21]


def write_files(folder: Path, *teachers: dict) -> None:
    """params.yaml with these teachers, and the arrays as balance and validate leave them."""
    tiny = yaml.safe_load((ROOT / "params.yaml").read_text())["sample"]
    small = {"network": {"name": "residual", "widths": [4, 8], "blocks": 1, "dropout": 0}}
    small |= {"batch_size": 14, "distillation": None, "epochs": 2}
    tiny["train"] |= small
    tiny["teach"] = [tiny["train"] | teacher for teacher in teachers]
    tiny["train"]["distillation"] = {"name": "teachers", "share": 0.5} if teachers else None
    (folder / "params.yaml").write_text(yaml.safe_dump({"tiny": tiny}))
    data = folder / "data" / "tiny"
    data.mkdir(parents=True, exist_ok=True)
    np.savez(data / "train.npz", images=IMAGES, labels=LABELS)
    np.savez(
        data / "faces.npz",
        images=np.concatenate([PUBLIC[0], IMAGES]),
        labels=np.concatenate([PUBLIC[1], LABELS]),
        split=np.repeat(np.array([1, 0], np.uint8), [21, 70]),
    )


def taught(folder: Path) -> np.ndarray:
    with np.load(folder / "data" / "tiny" / "taught.npz") as arrays:
        return arrays["probabilities"]


def metrics(folder: Path) -> dict:
    return yaml.safe_load((folder / "metrics" / "tiny" / "teach.json").read_text())


def teachers(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "models/tiny/teachers").iterdir()}


def as_kept(recipe, settings, said=None) -> onnx.ModelProto:
    """What the stage should keep of a teacher."""
    network, _ = train.train(IMAGES, LABELS, *PUBLIC, recipe, taught=said)
    converted = convert(served_model(network, recipe.resolutions[-1].size))
    return to_precision(converted, settings.export, IMAGES)


def test_they_are_asked_about_the_face_and_its_mirror_image():
    # Networks that look at one half alone.
    members = []
    for cropping in ((0, 24), (24, 0)):
        faces = keras.Input((48, 48, 1))
        half = keras.layers.Cropping2D(((0, 0), cropping))(faces)
        logits = keras.layers.Dense(7)(keras.layers.Flatten()(half / 255))
        members.append(convert(served_model(keras.Model(faces, logits), 48)))
    straight = [softmax(predict_logits(member, IMAGES), axis=1) for member in members]
    turned = np.ascontiguousarray(IMAGES[:, :, ::-1])
    mirrored = [softmax(predict_logits(member, turned), axis=1) for member in members]
    assert np.abs(straight[0] - mirrored[0]).max() > 1e-3
    said = teach.what_they_say(members, IMAGES)
    assert said.dtype == np.float32
    assert said == pytest.approx(np.mean([*straight, *mirrored], axis=0), abs=1e-6)
    assert teach.what_they_say([], IMAGES).shape == (0, 7)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch, caplog):
    whole, broken = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, broken):
        folder.mkdir()
        write_files(folder, {"epochs": 1, "seed": 1}, {"epochs": 2, "seed": 2})
    caplog.set_level("INFO", "stages")
    monkeypatch.chdir(whole)
    teach.main("tiny", load_parameters("tiny"))
    assert "teacher 2 of 2" in caplog.text

    # The first teacher is done, the second has begun.
    killed(broken, "stages.teach", ".2-", epoch=1)
    models = broken / "models" / "tiny"
    assert len(list(models.glob("teachers/1-*.onnx"))) == len(list(models.glob(".2-*"))) == 1
    assert not (broken / "data" / "tiny" / "taught.npz").exists()
    caplog.clear()
    monkeypatch.chdir(broken)
    teach.main("tiny", load_parameters("tiny"))
    assert "resuming after epoch 1 of 2" in caplog.text
    assert "epoch 1 of 1" not in caplog.text

    one, other = (folder / "data/tiny/taught.npz" for folder in (whole, broken))
    assert one.read_bytes() == other.read_bytes()
    assert metrics(whole) == metrics(broken)
    assert teachers(whole) == teachers(broken)
    assert [path.name for path in models.iterdir()] == ["teachers"]


def test_train_learns_from_the_mean_of_what_they_say(tmp_path, monkeypatch):
    write_files(tmp_path, {"epochs": 1, "seed": 1}, {"epochs": 1, "seed": 2})
    monkeypatch.chdir(tmp_path)
    settings = load_parameters("tiny")
    teach.main("tiny", settings)
    expected = [as_kept(recipe, settings) for recipe in settings.teach]
    assert taught(tmp_path) == pytest.approx(teach.what_they_say(expected, IMAGES), abs=1e-6)
    said = teach.what_they_say(expected, PUBLIC[0]).argmax(axis=1)
    assert metrics(tmp_path)["together"]["accuracy"] == pytest.approx(
        (said == PUBLIC[1]).mean(), abs=1e-4
    )
    network = build_network(settings.train.network, 32, 7)
    assert metrics(tmp_path)["teacher 2"]["parameters"] == network.count_params()

    train.main("tiny", settings)
    learned = keras.saving.load_model("models/tiny/model.keras", compile=False)
    expected, _ = train.train(IMAGES, LABELS, *PUBLIC, settings.train, taught=taught(tmp_path))
    assert all(map(np.array_equal, learned.get_weights(), expected.get_weights()))


def test_a_teacher_that_is_kept_is_not_trained_again(tmp_path, monkeypatch):
    first, second, third = ({"epochs": 1, "seed": seed} for seed in (1, 2, 3))
    write_files(tmp_path, first, second)
    monkeypatch.chdir(tmp_path)
    teach.main("tiny", load_parameters("tiny"))
    before = teachers(tmp_path)
    assert len(before) == 3
    assert "README.md" in before

    trained = []
    monkeypatch.setattr(
        teach, "train_resumably", lambda *args: trained.append(args[1]) or train_resumably(*args)
    )
    write_files(tmp_path, first, third)
    settings = load_parameters("tiny")
    teach.main("tiny", settings)
    assert trained == settings.teach[1:]
    after = teachers(tmp_path)
    assert len(after) == 3
    # The first stayed; the second is gone, and its successor in its place.
    assert [name for name in after if after[name] == before.get(name)] == [
        name for name in after if name.startswith(("1-", "README"))
    ]


def test_a_teacher_learns_from_those_before_it(tmp_path, monkeypatch):
    lesson = {"distillation": {"name": "teachers", "share": 0.9}}
    write_files(tmp_path, {"epochs": 1, "seed": 1}, {"epochs": 1, "seed": 2} | lesson)
    monkeypatch.chdir(tmp_path)
    settings = load_parameters("tiny")
    teach.main("tiny", settings)
    first, second = read_teachers(Path("models/tiny/teachers"), [1, 2])
    said = teach.what_they_say([first], IMAGES)
    expected = as_kept(settings.teach[1], settings, said)
    assert predict_logits(second, IMAGES) == pytest.approx(predict_logits(expected, IMAGES))
    assert taught(tmp_path) == pytest.approx(teach.what_they_say([first, second], IMAGES))

    # Another first teacher makes another second one; one that learns alone it does not touch.
    before = teachers(tmp_path)
    write_files(tmp_path, {"epochs": 1, "seed": 3}, {"epochs": 1, "seed": 2} | lesson)
    teach.main("tiny", load_parameters("tiny"))
    assert set(teachers(tmp_path)) & set(before) == {"README.md"}


def test_nobody_is_asked_where_train_learns_from_no_teachers(tmp_path, monkeypatch):
    write_files(tmp_path, {"epochs": 1})
    monkeypatch.chdir(tmp_path)
    settings = load_parameters("tiny")
    alone = settings.train.model_copy(update={"distillation": None})
    teach.main("tiny", settings.model_copy(update={"train": alone}))
    assert taught(tmp_path).shape == (0, 7)
    assert len(teachers(tmp_path)) == 2
    assert metrics(tmp_path)["teacher 1"]["accuracy"] > 0


@pytest.mark.parametrize("change", ["faces", "precision"])
def test_a_teacher_of_other_faces_or_another_precision_is_not_kept(tmp_path, monkeypatch, change):
    write_files(tmp_path, {"epochs": 1})
    settings = load_parameters("tiny", tmp_path / "params.yaml")
    arrays = IMAGES, LABELS, *PUBLIC
    digest = teach.recipe_digest(settings.teach[0], settings.export, arrays)
    export = settings.export
    if change == "faces":
        arrays = IMAGES[::-1], *arrays[1:]
    else:
        export = export.model_copy(update={"calibration": 3})
    assert teach.recipe_digest(settings.teach[0], export, arrays) != digest
    floor = settings.export.model_copy(update={"recall_floor": 0.4, "committee": [1]})
    assert teach.recipe_digest(settings.teach[0], floor, (IMAGES, LABELS, *PUBLIC)) == digest


def test_without_teachers_there_is_nothing_to_learn_from_them(tmp_path, monkeypatch):
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    teach.main("tiny", load_parameters("tiny"))
    assert taught(tmp_path).shape == (0, 7)
    assert metrics(tmp_path) == {}
    assert list(teachers(tmp_path)) == ["README.md"]


def test_what_the_teachers_say_must_be_there(tmp_path, monkeypatch):
    write_files(tmp_path, {"epochs": 1})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"data/tiny/taught.npz: not found; run `dvc repro`"):
        train.main("tiny", load_parameters("tiny"))
    shutil.rmtree("data")
    with pytest.raises(UserError, match=r"data/tiny/train.npz: not found"):
        teach.main("tiny", load_parameters("tiny"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"teach": []}, "tiny: train.distillation learns from teachers, but teach lists none"),
        (
            {"teach": [{"distillation": {"name": "teachers", "share": 0.5}}]},
            "tiny: teach: the first teacher has no other before it to learn from",
        ),
        ({"committee": [1, 2]}, "tiny: export.committee names teacher 2, but teach lists 1"),
        ({"committee": [1, 1]}, "tiny: export.committee names a teacher twice"),
    ],
)
def test_a_lesson_that_cannot_be_held_is_refused(tmp_path, monkeypatch, changes, expected):
    write_files(tmp_path, {"epochs": 1})
    document = yaml.safe_load((tmp_path / "params.yaml").read_text())
    tiny = document["tiny"]
    if "teach" in changes:
        tiny["teach"] = [tiny["train"] | teacher for teacher in changes["teach"]]
    tiny["export"]["committee"] = changes.get("committee", [])
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        load_parameters("tiny")
    assert str(error.value) == f"params.yaml: {expected}"
