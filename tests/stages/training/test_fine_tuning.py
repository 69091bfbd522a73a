"""Fine-tuning: a training starts from given weights, keeps frozen groups, and resumes."""

import keras
import numpy as np
import pytest

from stages import parameters
from stages.errors import UserError
from stages.training import checkpoint, trainer
from stages.training.data import TrainingData
from stages.training.fine_tuning import layer_groups, learning_rate_scales
from stages.training.initial_weights import read_initial_weights
from stages.training.networks import build_network
from stages.training.symmetry import equivariant_weights
from stages.training.trainer import build_for_training
from tests.stages.test_train import IMAGES, LABELS, SLOW, STILL, TINY, VALIDATION, settings

SYMMETRIC = TINY["network"] | {"name": "symmetric_late_pooling", "widths": [4, 8, 8]}
INIT = {"name": "weights", "freeze": 0, "frozen_epochs": 0, "learning_rate_scale": 1.0}
OF_THREE = (LABELS % 3).astype(np.uint8), (VALIDATION[1] % 3).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def deterministic():
    trainer.make_repeatable()


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """The file of a mirror-equivariant network of seven classes, trained for an epoch."""
    path = tmp_path_factory.mktemp("source") / "model.keras"
    changes = {"network": SYMMETRIC, "epochs": 1, "distillation": None, **STILL}
    network, _ = trainer.train(TrainingData(IMAGES, LABELS, *VALIDATION), settings(**changes))
    network.save(path)
    return str(path)


def tuned(source: str, init: dict, state=None, on_epoch=lambda state: None, **changes):
    """A network of three classes that starts from the file `source`, after its best epoch."""
    usual = {"network": SYMMETRIC, "distillation": None, "ema_decay": 0, "epochs": 1, **STILL}
    tuning = settings(**{**usual, "init": INIT | {"from": source} | init, **changes})
    data = TrainingData(
        IMAGES,
        OF_THREE[0],
        VALIDATION[0],
        OF_THREE[1],
        initial_weights=read_initial_weights(tuning),
    )
    return trainer.train(data, tuning, state, on_epoch)[0].get_weights()


def weights_of(file: str) -> list[np.ndarray]:
    return keras.saving.load_model(file, compile=False).get_weights()


def changed(source: str, init: dict, **changes) -> list[bool]:
    """Whether each weight but the head's differs from `source` after the last epoch."""
    states = []
    tuned(source, init, on_epoch=states.append, **changes)
    before = weights_of(source)[:-2]
    after = states[-1].variables[: len(before)]
    halves = equivariant_weights(before, [weight.shape for weight in after])
    return [not np.array_equal(*pair) for pair in zip(halves, after, strict=True)]


FIRST_KERNELS = [0, 5, 20]
"""Of the groups of SYMMETRIC."""
GROUPS = {
    "residual, equal widths": (TINY["network"] | {"widths": [4, 8, 8], "blocks": 2}, [5, 25, 25]),
    "symmetric": (SYMMETRIC, [5, 15, 15]),
    "five_layer": ({"name": "five_layer", "dropout": 0}, [2, 2, 2, 2]),
    "five_block": ({"name": "five_block", "dropout": 0}, [5, 5, 5, 5, 5, 2]),
}


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("precision", ["float32", "fused_bfloat16"])
def test_the_groups_are_the_stem_and_the_stages(name, precision):
    network, expected = GROUPS[name]
    typed = settings(network=network).network
    for built in (build_network(typed, 32, 7), build_for_training(precision, typed, 32, 7)):
        groups = layer_groups(built, typed)
        assert [sum(len(layer.weights) for layer in group) for group in groups] == expected
        # In the order of the network's weights, and without the head.
        order = [weight.path for group in groups for layer in group for weight in layer.weights]
        assert order == [weight.path for weight in built.weights[:-2]]


def test_a_training_starts_from_the_weights_with_a_new_head(source):
    after = tuned(source, {"freeze": 3}, optimizer=SLOW)
    before = weights_of(source)
    assert all(map(np.array_equal, before[:-2], after[:-2]))
    assert before[-2].shape == (8, 7)
    assert after[-2].shape == (8, 3)


def test_the_head_can_be_kept_where_the_emotions_are_the_same(source):
    keeping = settings(
        network=SYMMETRIC,
        distillation=None,
        epochs=1,
        optimizer=SLOW,
        init=INIT | {"from": source, "freeze": 3, "keep_head": True},
        **STILL,
    )
    data = TrainingData(IMAGES, LABELS, *VALIDATION, initial_weights=read_initial_weights(keeping))
    after = trainer.train(data, keeping)[0].get_weights()
    for before, weight in zip(weights_of(source), after, strict=True):
        np.testing.assert_allclose(before, weight, atol=1e-4)
    message = "keep_head: .*model.keras predicts 7 emotions, the dataset has 3; set it to false"
    with pytest.raises(UserError, match=message):
        tuned(source, {"keep_head": True})


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "fused_bfloat16"])
def test_frozen_groups_keep_weights_and_statistics(source, precision):
    assert changed(source, {"freeze": 2}, precision=precision) == [False] * 20 + [True] * 15


def test_the_first_epochs_can_train_the_head_alone(source):
    assert not any(changed(source, {"frozen_epochs": 1}, epochs=1))
    # Afterwards only a group that is frozen for good stays frozen.
    found = changed(source, {"frozen_epochs": 1, "freeze": 1}, epochs=2)
    assert found == [False] * 5 + [True] * 30


def test_an_interrupted_fine_tuning_in_bfloat16_ends_with_the_same_weights(source, tmp_path):
    def keep(state) -> None:
        checkpoint.save(tmp_path / f"{len(state.history)}.npz", "key", state)

    init = {"frozen_epochs": 1, "freeze": 1, "learning_rate_scale": 0.1}
    changes = {"epochs": 3, "ema_decay": 0.9, "precision": "fused_bfloat16"}
    whole = tuned(source, init, on_epoch=keep, **changes)
    state = checkpoint.load(tmp_path / "1.npz", "key")
    assert all(map(np.array_equal, whole, tuned(source, init, state, **changes)))


def test_learning_rates_rise_geometrically_to_the_head(source):
    tuning = settings(network=SYMMETRIC, init=INIT | {"from": source, "learning_rate_scale": 0.001})
    network = build_for_training("float32", tuning.network, 32, 3)
    scales = dict.fromkeys(round(scale, 6) for _, scale in learning_rate_scales(network, tuning))
    assert list(scales) == [0.001, 0.01, 0.1]
    assert len(learning_rate_scales(network, tuning)) == len(network.trainable_weights) - 2
    even = settings(network=SYMMETRIC, init=INIT | {"from": source})
    assert learning_rate_scales(network, even) == []


def test_a_small_learning_rate_scale_moves_the_first_group_least(source):
    def moved(scale: float) -> np.ndarray:
        after = tuned(source, {"learning_rate_scale": scale})
        before = weights_of(source)
        return np.array([np.abs(after[k] - before[k]).mean() for k in FIRST_KERNELS])

    ratio = moved(0.001) / moved(1.0)
    assert ratio[0] < 0.01
    assert ratio[0] < ratio[1] / 3 < ratio[2] / 9


def test_the_fingerprint_of_a_run_covers_the_initial_weights(source, tmp_path):
    def fingerprint(file: str) -> str:
        tuning = settings(network=SYMMETRIC, init=INIT | {"from": source})
        read = parameters.InitialWeights.model_validate(INIT | {"from": file})
        initial = read_initial_weights(tuning.model_copy(update={"init": read}))
        data = TrainingData(IMAGES, LABELS, *VALIDATION, initial_weights=initial)
        return trainer.run_fingerprint(data, tuning)

    other = tmp_path / "model.keras"
    network = keras.saving.load_model(source, compile=False)
    network.set_weights([2 * weight for weight in network.get_weights()])
    network.save(other)
    assert fingerprint(source) == fingerprint(source) != fingerprint(str(other))


def test_a_pretrained_application_in_bfloat16_is_frozen_in_the_first_epochs(tmp_path):
    pretrained = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    path = tmp_path / "mobilenet.weights.h5"
    pretrained.save_weights(path)
    network = {
        "name": "application",
        "model": "MobileNet",
        "weights": path,
        "input_size": 32,
        "dropout": 0,
        "frozen_epochs": 1,
    }

    states = []
    trainer.train(
        TrainingData(IMAGES, LABELS, *VALIDATION),
        settings(
            network=network,
            epochs=2,
            distillation=None,
            ema_decay=0,
            precision="fused_bfloat16",
            **STILL,
        ),
        on_epoch=lambda state: states.append(state.variables),
    )
    before = pretrained.get_weights()
    first, second = (
        [not np.array_equal(*pair) for pair in zip(before, after[: len(before)], strict=True)]
        for after in states
    )
    assert not any(first)
    # The other weights of a network that was never trained have no gradient.
    assert all(second[-5:])
