"""The train stage: it learns, repeats itself, goes on after a kill, and stops where it should."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import accuracy_score, f1_score, log_loss

from stages import parameters, train
from stages.dataset.faces import Faces, TrainingSet
from stages.errors import UserError
from stages.parameters import load_parameters
from stages.training import augmentation, checkpoint, networks, trainer
from stages.training.checkpoint import State
from stages.training.data import TrainingData
from stages.training.ema import ModelEma
from tests.faces_fixture import write_faces, write_training_set
from tests.stages.killed_fixture import killed

ROOT = Path(__file__).parents[2]

TINY = {
    "network": {"name": "residual", "widths": [4, 8], "blocks": 1, "dropout": 0.2},
    "epochs": 3,
    "batch_size": 16,
    "resolutions": [{"size": 32, "share": 1.0}],
    "ema_decay": 0.9,
    "distillation": {"name": "self", "share": 0.5, "every": 1},
    "precision": "float32",
    "augmentation": {
        "flip": 0,
        "rotation": 4,
        "shift": 2,
        "scale": 0.1,
        "brightness": 0.1,
        "contrast": 0.1,
        "erasing": 0.2,
        "mixup": 0.1,
        "downscale": 0.2,
        "noise": 0.2,
    },
}
SYMMETRIC = TINY["network"] | {"name": "symmetric_residual"}
STILL = {"augmentation": dict.fromkeys(TINY["augmentation"], 0)}
BRIEF = {"epochs": 4, "ema_decay": 0, "batch_size": 8, **STILL}
SLOW = {"name": "sgd", "learning_rate": 1e-9, "momentum": 0, "nesterov": False, "weight_decay": 0}


def settings(**changes) -> parameters.Train:
    """The sample's training parameters, with what makes them tiny, with these changes."""
    sample = load_parameters("sample", ROOT / "params").train.model_dump()
    return parameters.Train.model_validate(sample | TINY | changes)


def gratings(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An easy problem: stripes in seven directions, one for each label."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 7).astype(np.uint8)
    rows, columns = np.mgrid[:48, :48]
    angles = (labels * np.pi / 7)[:, None, None]
    phases = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    waves = np.sin(1.2 * (columns * np.cos(angles) + rows * np.sin(angles)) + phases)
    images = 128 + 80 * waves + rng.normal(0, 10, waves.shape)
    return images.clip(0, 255).astype(np.uint8), labels


IMAGES, LABELS = gratings(64, 0)
VALIDATION = gratings(35, 1)
# Flat faces: their predictions never change.
BLANK = np.full((14, 48, 48), 99, np.uint8), np.arange(14, dtype=np.uint8) % 7


def fitted(settings, state: State | None = None, on_epoch=lambda state: None):
    return trainer.train(TrainingData(IMAGES, LABELS, *VALIDATION), settings, state, on_epoch)


def fitted_on_nothing(settings, state: State | None = None, on_epoch=lambda state: None):
    return trainer.train(TrainingData(*BLANK, *BLANK), settings, state, on_epoch)[1]


def same_weights(one: keras.Model, other: keras.Model) -> bool:
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


@pytest.fixture(scope="module", autouse=True)
def deterministic():
    trainer.make_repeatable()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run with everything on that depends on the step, and its state after every epoch."""
    folder = tmp_path_factory.mktemp("states")

    def keep(state: State) -> None:
        checkpoint.save(folder / f"{len(state.history)}.npz", "key", state)

    network, history = fitted(settings(), on_epoch=keep)
    return network, history, folder


# ---------------------------------------------------------------- learning


def test_it_learns_what_is_easy():
    changes = {"epochs": 10, "ema_decay": 0, "batch_size": 8, **STILL}
    network, history = fitted(settings(**changes))
    assert list(history["epoch"]) == list(range(1, 11))
    assert history["loss"].iloc[-1] < 0.6 * history["loss"].iloc[0]
    assert history["accuracy"].iloc[-1] > 0.5
    assert history["val_accuracy"].max() > 0.7
    # The model that comes back is the best epoch's, not the last.
    images, labels = VALIDATION
    logits = network.predict(augmentation.resize(images, 32)[..., None], verbose=0)
    predicted = logits.argmax(axis=1)
    best = history.iloc[history["val_macro_f1"].argmax()]
    assert f1_score(labels, predicted, average="macro") == pytest.approx(best["val_macro_f1"])
    assert accuracy_score(labels, predicted) == pytest.approx(best["val_accuracy"])


def test_corrected_faces_count_as_much_as_their_weight_says():
    """Each face is there twice: with a wrong label, and with the one that a person chose."""
    images, labels = np.concatenate([IMAGES, IMAGES]), np.concatenate([(LABELS + 1) % 7, LABELS])
    corrected = np.arange(len(images)) >= len(IMAGES)
    data = TrainingData(images, labels, *VALIDATION, corrected=corrected)
    changes = {"epochs": 8, "ema_decay": 0, "batch_size": 8, "distillation": None, **STILL}
    agreement = {}
    for weight in (0.05, 20):
        network, _ = trainer.train(data, settings(corrected_weight=weight, **changes))
        logits = network.predict(augmentation.resize(IMAGES, 32)[..., None], verbose=0)
        agreement[weight] = accuracy_score(LABELS, logits.argmax(axis=1))
    assert agreement[20] > agreement[0.05] + 0.2


def test_the_lowest_val_loss_can_be_the_best():
    selection = {"monitor": "val_loss", "patience": None}
    optimizer = {"name": "adam", "learning_rate": 0.02, "weight_decay": 0}
    changes = {"epochs": 4, "selection": selection, "optimizer": optimizer, **STILL}
    network, history = fitted(settings(**changes))
    images, labels = VALIDATION
    logits = network.predict(augmentation.resize(images, 32)[..., None], verbose=0)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    assert log_loss(labels, probabilities) == pytest.approx(history["val_loss"].min(), rel=1e-4)


def test_loss_and_accuracy_are_those_of_the_whole_epoch():
    network, history = fitted(
        settings(
            network={"name": "five_layer", "dropout": 0},
            optimizer=SLOW,
            loss={"name": "cross_entropy", "label_smoothing": 0},
            epochs=1,
            **STILL,
        )
    )
    logits = network.predict(augmentation.resize(IMAGES, 32)[..., None], verbose=0)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    row = history.iloc[0]
    assert row["loss"] == pytest.approx(log_loss(LABELS, probabilities), rel=1e-4)
    assert row["accuracy"] == pytest.approx(accuracy_score(LABELS, logits.argmax(axis=1)))


@pytest.mark.parametrize(
    "changes",
    [
        {
            "loss": {"name": "focal", "gamma": 2, "label_smoothing": 0.1},
            "class_weight": "effective_number",
            "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.01},
            "schedule": {"name": "cosine", "warmup": 0.2},
        },
        {
            "network": {"name": "five_layer", "dropout": 0.2},
            "class_weight": "balanced",
            "optimizer": {
                "name": "rmsprop",
                "learning_rate": 0.001,
                "rho": 0.9,
                "weight_decay": 0,
            },
            "schedule": {"name": "inverse_time", "decay": 0.01},
            "ema_decay": 0,
        },
    ],
    ids=["focal, adamw, cosine", "balanced, rmsprop, inverse time"],
)
def test_the_choices_go_together(changes):
    network, history = fitted(settings(epochs=2, **changes))
    assert len(history) == 2
    assert np.isfinite(history.to_numpy(float)).all()
    assert history["learning_rate"].nunique() == 2
    assert all(np.isfinite(weight).all() for weight in network.get_weights())


def test_faces_grow_as_the_resolutions_say():
    resolutions = [{"size": 16, "share": 0.5}, {"size": 24, "share": 0.5}]
    _, history = fitted(settings(epochs=3, resolutions=resolutions))
    assert list(history["size"]) == [16, 16, 24]
    # However few the epochs, the last is spent at the size that is served.
    _, history = fitted(settings(epochs=1, resolutions=resolutions))
    assert list(history["size"]) == [24]


@pytest.mark.parametrize("name", ["five_layer", "five_block"])
def test_a_network_with_one_size_refuses_two(name):
    changes = {
        "network": {"name": name, "dropout": 0},
        "resolutions": [{"size": 32, "share": 0.5}, {"size": 48, "share": 0.5}],
    }
    with pytest.raises(UserError, match=rf"{name} .* one size only, but \[32, 48\] are listed"):
        fitted(settings(**changes))


@pytest.fixture(scope="module")
def in_float32():
    """The network of BRIEF."""
    return fitted(settings(**BRIEF))[0]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "fused_bfloat16"])
def test_the_steps_may_be_taken_in_bfloat16_but_what_comes_out_is_float32(precision, in_float32):
    network, history = fitted(settings(precision=precision, **BRIEF))
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert not same_weights(network, in_float32)


# ---------------------------------------------------------------- distillation


def test_own_soft_labels_are_the_ema_models_probabilities():
    own = {}

    def keep(state: State) -> None:
        own[len(state.history)] = [array.copy() for array in state.own_soft_labels]

    distillation = {"name": "self", "share": 0.5, "every": 2}
    fitted(settings(epochs=5, distillation=distillation, **STILL), on_epoch=keep)
    assert own[1] == []
    assert np.array_equal(own[2], own[3])
    assert not np.array_equal(own[3], own[4])
    assert own[4][0].shape == (64, 7)
    assert own[4][0].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_it_learns_from_soft_labels_alone():
    changes = {"epochs": 10, "ema_decay": 0, "batch_size": 8, **STILL}
    teacher = {"file": "teacher.onnx", "sha256": "0" * 12}
    distillation = {"name": "teachers", "share": 1, "teachers": [teacher]}
    # The labels are shuffled; the soft labels are right.
    soft_labels = np.eye(7, dtype=np.float32)[LABELS]
    shuffled = np.random.default_rng(0).permutation(LABELS)
    data = TrainingData(IMAGES, shuffled, *VALIDATION, soft_labels)
    _, history = trainer.train(data, settings(distillation=distillation, **changes))
    assert history["val_accuracy"].max() > 0.7


def test_a_share_of_nothing_changes_nothing(uninterrupted):
    with_none, _ = fitted(settings(distillation=None))
    itself = {"name": "self", "share": 0, "every": 1}
    with_nothing, _ = fitted(settings(distillation=itself))
    assert same_weights(with_none, with_nothing)
    assert not same_weights(with_none, uninterrupted[0])


# ---------------------------------------------------------------- the same again


def test_the_same_seed_gives_the_same_weights(uninterrupted):
    network, history, _ = uninterrupted
    again, history_again = fitted(settings())
    assert same_weights(network, again)
    pd.testing.assert_frame_equal(history, history_again, check_exact=True)


def test_another_seed_gives_other_weights(uninterrupted):
    network, history, _ = uninterrupted
    other, history_other = fitted(settings(seed=1))
    assert not same_weights(network, other)
    assert (history["loss"] != history_other["loss"]).all()


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_an_interrupted_run_ends_with_the_same_weights(uninterrupted, epoch):
    network, history, folder = uninterrupted
    epochs = []
    resumed, history_resumed = fitted(
        settings(),
        checkpoint.load(folder / f"{epoch}.npz", "key"),
        lambda state: epochs.append(len(state.history)),
    )
    assert epochs == list(range(epoch + 1, 4))
    assert same_weights(network, resumed)
    pd.testing.assert_frame_equal(history, history_resumed, check_exact=True)


@pytest.mark.parametrize("precision", ["float32", "fused_bfloat16"])
def test_a_symmetric_network_is_handed_out_as_an_ordinary_one(tmp_path, precision):
    symmetric = settings(network=SYMMETRIC, precision=precision)

    def keep(state: State) -> None:
        checkpoint.save(tmp_path / f"{len(state.history)}.npz", "key", state)

    network, history = fitted(symmetric, on_epoch=keep)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    ordinary = networks.build_network(symmetric.network, 32, 7)
    assert [type(layer) for layer in network.layers] == [type(layer) for layer in ordinary.layers]
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    faces = IMAGES[:, :32, :32, None].astype(np.float32)
    logits = network.predict_on_batch(faces)
    assert logits == pytest.approx(network.predict_on_batch(faces[:, :, ::-1].copy()), abs=1e-4)

    resumed, _ = fitted(symmetric, checkpoint.load(tmp_path / "2.npz", "key"))
    assert same_weights(network, resumed)


# ---------------------------------------------------------------- early stopping


def test_it_stops_when_patience_is_at_its_end():
    patient = settings(
        epochs=9, optimizer=SLOW, selection={"monitor": "val_accuracy", "patience": 2}, **STILL
    )
    states = []
    history = fitted_on_nothing(patient, on_epoch=states.append)
    assert len(history) == 3
    assert history["val_accuracy"].nunique() == 1
    # A resumed run stops at once.
    assert len(fitted_on_nothing(patient, states[-1])) == 3


# ---------------------------------------------------------------- EMA of the weights


def averaged(decay: float, values: list[float]) -> list[float]:
    """The average after each step of a network whose only weight takes these values."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.compile("sgd", "mse")
    network.optimizer.build(network.trainable_variables)
    average, found = ModelEma(decay), []
    for step, value in enumerate(values, 1):
        network.set_weights([np.array([[value]], np.float32)])
        network.optimizer.iterations.assign(step)
        average.update(network)
        found.append(float(average.of(network)[0][0, 0]))
    return found


def test_the_average_starts_with_the_first_step_and_forgets_slowly():
    first, second, third = 4.0, 1.0, -2.0
    mean = first
    expected = [mean]
    for step, value in ((2, second), (3, third)):
        keep = min(0.9, (1 + step) / (10 + step))
        mean = keep * mean + (1 - keep) * value
        expected.append(mean)
    assert averaged(0.9, [first, second, third]) == pytest.approx(expected)


def test_the_average_can_be_turned_off():
    assert averaged(0, [4.0, 1.0]) == [4.0, 1.0]


# ---------------------------------------------------------------- fingerprint


def test_every_file_of_the_wing_changes_the_fingerprint(tmp_path, monkeypatch):
    wing = Path(trainer.__file__).parent
    copy = shutil.copytree(wing, tmp_path / "training")
    monkeypatch.setattr(trainer, "__file__", str(copy / "trainer.py"))
    data = TrainingData(IMAGES, LABELS, *VALIDATION)
    before = trainer.run_fingerprint(data, settings())
    found = {before}
    for path in sorted(copy.glob("*.py")):
        text = path.read_text()
        path.write_text(f"{text}\n# edited\n")
        found.add(trainer.run_fingerprint(data, settings()))
        path.write_text(text)
    assert len(found) == 1 + len(list(wing.glob("*.py"))) > 10
    assert trainer.run_fingerprint(data, settings()) == before
    assert trainer.run_fingerprint(data, settings(epochs=2)) != before
    soft = np.full((len(LABELS), 7), 1 / 7, np.float32)
    assert trainer.run_fingerprint(replace(data, soft_labels=soft), settings()) != before


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize("batch_size", [8, 4096])
def test_a_run_that_diverges_says_what_to_change(batch_size):
    """With one batch, the loss is of the weights before they diverge, and finite."""
    wild = SLOW | {"learning_rate": 1e30}
    changes = {"network": {"name": "five_layer", "dropout": 0}, "optimizer": wild}
    changes |= {"schedule": {"name": "constant"}, "batch_size": batch_size}
    with pytest.raises(UserError, match=r"epoch 1.*train\.optimizer\.sgd\.learning_rate"):
        fitted(settings(**changes))


# ---------------------------------------------------------------- on the command line


def in_file(choice: dict | None) -> dict:
    """A choice in the shape of a parameter file, with the settings under the choice's name."""
    if choice is None:
        return {"name": "none"}
    return {
        "name": choice["name"],
        choice["name"]: {k: v for k, v in choice.items() if k != "name"},
    }


def write_files(folder: Path, **changes) -> None:
    """The parameter file and the arrays of a dataset `tiny`, as the stages before leave them."""
    tiny = yaml.safe_load((ROOT / "params/sample.yaml").read_text())
    for key, value in (TINY | changes).items():
        is_choice = value is None or (isinstance(value, dict) and "name" in value)
        tiny["train"][key] = in_file(value) if is_choice else value
    (folder / "params").mkdir(exist_ok=True)
    (folder / "params/tiny.yaml").write_text(yaml.safe_dump(tiny))
    data = folder / "data" / "tiny"
    data.mkdir(parents=True, exist_ok=True)
    write_training_set(data / "train.npz", IMAGES, LABELS)
    images = np.concatenate([VALIDATION[0], IMAGES])
    labels = np.concatenate([VALIDATION[1], LABELS])
    split = np.repeat(np.array([1, 0], np.uint8), [len(VALIDATION[0]), len(IMAGES)])
    write_faces(data / "faces.npz", images, labels, split)


def start(folder: Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "stages.train", "tiny"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished_epochs(folder: Path) -> list[int]:
    return list(pd.read_csv(folder / "models" / "tiny" / "history.csv")["epoch"])


def run(folder: Path) -> str:
    """Run the stage to its end in a process of its own; returns its log."""
    process = start(folder)
    _, log = process.communicate()
    assert process.returncode == 0, log
    return log


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch, caplog):
    folder, changed, whole = (tmp_path / name for name in ("killed", "changed", "whole"))
    for one in (folder, whole):
        one.mkdir()
        write_files(one)
    models = folder / "models" / "tiny"
    killed(folder, "stages.train", ".resume", epoch=2)
    assert {path.name for path in models.iterdir()} == {".resume.npz", "history.csv"}
    assert finished_epochs(folder) == [1]
    live = folder / "metrics/.live/tiny.json"
    assert [path for path in (folder / "metrics").rglob("*") if path.is_file()] == [live]
    assert json.loads(live.read_text())["epoch"] == 1
    shutil.copytree(folder, changed)

    log = run(folder)
    assert "resuming after epoch 2 of 3\n" in log
    assert "epoch 3 of 3, 32 px: loss" in log
    assert "epoch 2 of 3" not in log.partition("resuming after epoch 2 of 3")[2]
    assert finished_epochs(folder) == [1, 2, 3]
    assert "resuming" not in run(whole)
    names = ("models/tiny/model.keras", "models/tiny/history.csv", "metrics/tiny/training.json")
    for name in names:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert '"epochs": 3' in (folder / names[-1]).read_text()
    assert not live.exists()
    assert {path.name for path in models.iterdir()} == {"history.csv", "model.keras"}

    # With other parameters, training starts again.
    write_files(changed, epochs=2)
    monkeypatch.chdir(changed)
    caplog.set_level("INFO", "stages.training")
    train.main("tiny", load_parameters("tiny"))
    assert "resuming" not in caplog.text
    assert "epoch 1 of 2, 32 px: loss" in caplog.text
    assert finished_epochs(changed) == [1, 2]
    assert not (changed / "models" / "tiny" / ".resume.npz").exists()


def test_the_stage_trains_as_the_function_does(uninterrupted, tmp_path, monkeypatch):
    network, history, _ = uninterrupted
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    train.main("tiny", load_parameters("tiny"))
    models = tmp_path / "models" / "tiny"
    assert same_weights(keras.saving.load_model(models / "model.keras", compile=False), network)
    assert pd.read_csv(models / "history.csv")["loss"].to_numpy() == pytest.approx(
        history["loss"].to_numpy(), abs=1e-5
    )


def test_without_a_network_imagenet_weights_are_asked_for_in_vain(tmp_path):
    network = {
        "name": "application",
        "model": "MobileNetV3Small",
        "weights": "imagenet",
        "input_size": 96,
        "dropout": 0,
        "frozen_epochs": 1,
    }
    write_files(tmp_path, network=network, epochs=1)
    nowhere = "http://127.0.0.1:9"
    process = start(
        tmp_path, KERAS_HOME=str(tmp_path / "keras"), HTTPS_PROXY=nowhere, https_proxy=nowhere
    )
    _, log = process.communicate()
    assert process.returncode == 1
    last = log.splitlines()[-1]
    assert last.startswith(
        "error: train.network.application.weights: no imagenet weights for MobileNetV3Small ("
    )
    assert last.endswith("or name a local file; null starts from random weights")
    assert "Traceback" not in log
    assert not (tmp_path / "models").exists()


def test_the_targets_are_the_shares_of_the_votes_where_people_voted():
    labels = np.array([0, 1, 2], np.uint8)
    data = TrainingData(IMAGES[:3], labels, *VALIDATION)
    assert data.targets.tolist() == np.eye(3).tolist()
    votes = np.array([[8, 2, 0], [0, 3, 0], [1, 1, 2]], np.uint8)
    data = dataclasses.replace(data, votes=votes)
    assert data.targets == pytest.approx(np.array([[0.8, 0.2, 0], [0, 1, 0], [0.25, 0.25, 0.5]]))
    assert data.targets.dtype == np.float32


def test_a_network_learns_the_votes_and_not_only_the_majority(tmp_path):
    votes = np.zeros((len(LABELS), 7), np.uint8)
    votes[np.arange(len(LABELS)), LABELS] = 6
    votes[:, 0] += 4
    data = TrainingData(IMAGES, LABELS, *VALIDATION)
    first = []
    for voted in (None, votes):
        network, _ = trainer.train(
            dataclasses.replace(data, votes=voted), settings(epochs=6, ema_decay=0)
        )
        probabilities = trainer.predict_probabilities(network, IMAGES, 32)
        first.append(probabilities[LABELS != 0, 0].mean())
    assert first[1] > first[0] + 0.1


def test_an_emotion_without_faces_is_named_before_the_training(tmp_path, monkeypatch):
    write_files(tmp_path)
    training = TrainingSet.read(tmp_path / "data/tiny/train.npz")
    without = training.take(training.labels != 6)
    without.write(tmp_path / "data/tiny/train.npz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="Training has no face of neutral; every emotion needs"):
        train.main("tiny", load_parameters("tiny"))


def test_teachers_of_another_number_of_emotions_are_an_error(tmp_path, monkeypatch):
    teachers = {"name": "teachers", "share": 0.5, "teachers": {"residual_narrow": "46829a5205f6"}}
    write_files(tmp_path, distillation=teachers)
    for name, kind in (("train.npz", TrainingSet), ("faces.npz", Faces)):
        faces = kind.read(tmp_path / "data/tiny" / name)
        few = dataclasses.replace(faces, labels=faces.labels % 3, emotions=("a", "b", "c"))
        few.write(tmp_path / "data/tiny" / name)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="this teacher predicts 7 emotions, the dataset has 3"):
        train.main("tiny", load_parameters("tiny"))


@pytest.mark.parametrize("name", ["train.npz", "faces.npz"])
def test_a_missing_input_is_named(tmp_path, monkeypatch, name):
    write_files(tmp_path)
    (tmp_path / "data" / "tiny" / name).unlink()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"data/tiny/{name}: not found"):
        train.main("tiny", load_parameters("tiny"))
