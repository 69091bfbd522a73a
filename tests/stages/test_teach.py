"""The teach stage: teachers are trained as `train` trains, asked twice, and never trained again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from stages import teach, train
from stages.errors import UserError
from stages.parameters import load_parameters

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
    small |= {"batch_size": 14, "distillation": None}
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


def stage(folder: Path, name: str = "teach") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", f"stages.{name}", "tiny"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def taught(folder: Path) -> np.ndarray:
    with np.load(folder / "data" / "tiny" / "taught.npz") as arrays:
        return arrays["probabilities"]


def metrics(folder: Path) -> dict:
    return yaml.safe_load((folder / "metrics" / "tiny" / "teach.json").read_text())


def test_it_asks_about_the_face_and_its_mirror_image():
    # A network that looks at the left half alone.
    faces = keras.Input((24, 24, 1))
    half = keras.layers.Cropping2D(((0, 0), (0, 12)))(faces)
    logits = keras.layers.Dense(7)(keras.layers.Flatten()(half / 255))
    network = keras.Model(faces, logits)
    straight = train.probabilities(network, IMAGES, 24)
    mirrored = train.probabilities(network, IMAGES[:, :, ::-1], 24)
    said = teach.what_it_says(network, IMAGES, 24)
    assert said.dtype == np.float32
    assert said == pytest.approx((straight + mirrored) / 2, abs=1e-6)
    assert np.abs(straight - mirrored).max() > 1e-3


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        write_files(folder, {"epochs": 2, "seed": 1}, {"epochs": 8, "seed": 2})
    process = stage(whole)
    _, log = process.communicate()
    assert process.returncode == 0, log
    assert "teacher 2 of 2" in log

    process = stage(killed)
    models = killed / "models" / "tiny"
    # The first teacher is done, the second has begun.
    while process.poll() is None and len(list(models.glob(".teacher-*"))) < 2:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    _, log = process.communicate()
    assert process.returncode == -signal.SIGKILL, log
    assert not (killed / "data" / "tiny" / "taught.npz").exists()
    process = stage(killed)
    _, log = process.communicate()
    assert process.returncode == 0, log
    assert log.count("resuming after epoch ") == 1
    assert "of 8\n" in log
    assert "epoch 1 of 2" not in log

    one, other = (folder / "data/tiny/taught.npz" for folder in (whole, killed))
    assert one.read_bytes() == other.read_bytes()
    assert metrics(whole) == metrics(killed)
    assert not list(models.iterdir())


def test_train_learns_from_the_mean_of_what_they_say(tmp_path, monkeypatch):
    write_files(tmp_path, {"epochs": 1, "seed": 1}, {"epochs": 1, "seed": 2})
    monkeypatch.chdir(tmp_path)
    settings = load_parameters("tiny")
    teach.main("tiny", settings)
    said = []
    for recipe in settings.teach:
        network, _ = train.train(IMAGES, LABELS, *PUBLIC, recipe)
        said.append(teach.what_it_says(network, IMAGES, 32))
    assert taught(tmp_path) == pytest.approx(np.mean(said, axis=0), abs=1e-6)
    assert set(metrics(tmp_path)) == {"teacher 1", "teacher 2", "together"}
    assert metrics(tmp_path)["teacher 2"]["parameters"] == network.count_params()

    train.main("tiny", settings)
    learned = keras.saving.load_model("models/tiny/model.keras", compile=False)
    expected, _ = train.train(IMAGES, LABELS, *PUBLIC, settings.train, taught=taught(tmp_path))
    assert all(map(np.array_equal, learned.get_weights(), expected.get_weights()))


def test_without_teachers_there_is_nothing_to_learn_from_them(tmp_path, monkeypatch):
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    teach.main("tiny", load_parameters("tiny"))
    assert taught(tmp_path).shape == (0, 7)
    assert metrics(tmp_path) == {}


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
        ({"teach": "itself"}, "tiny: a teacher cannot learn from teachers itself"),
    ],
)
def test_a_lesson_that_cannot_be_held_is_refused(tmp_path, monkeypatch, changes, expected):
    write_files(tmp_path, {"epochs": 1})
    document = yaml.safe_load((tmp_path / "params.yaml").read_text())
    if changes["teach"] == "itself":
        changes = {"teach": [document["tiny"]["train"]]}
    document["tiny"] |= changes
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        load_parameters("tiny")
    assert str(error.value) == f"params.yaml: {expected}"
