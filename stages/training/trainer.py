"""The training loop: augmented batches, an EMA model, the best epoch on PublicTest.

A run keeps its state on disk after every epoch. A killed run resumes there and ends with the
same weights.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss
from tqdm import tqdm

from stages import parameters
from stages.errors import UserError
from stages.training import (
    augmentation,
    checkpoint,
    fine_tuning,
    losses,
    networks,
    normalization,
    optimizers,
    symmetry,
    views,
)
from stages.training.checkpoint import State
from stages.training.data import TrainingData
from stages.training.ema import ModelEma
from stages.training.initial_weights import InitialWeights
from stages.training.soft_labels import (
    predict_view_soft_labels,
    predicts_own_soft_labels,
    training_targets,
)

log = logging.getLogger(__name__)


def train(
    data: TrainingData,
    settings: parameters.Train,
    state: State | None = None,
    on_epoch: Callable[[State], None] = lambda state: None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a network and keep the weights of its best epoch on the validation images.

    Parameters
    ----------
    data : TrainingData
    settings : parameters.Train
    state : State or None
        Where an earlier run with the same arguments stopped.
    on_epoch : callable
        Gets the state after each epoch.

    Returns
    -------
    keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, C].
    pandas.DataFrame
        One row per epoch: epoch, size, learning_rate, loss, accuracy, val_loss,
        val_accuracy, val_macro_f1. The `val_` columns are of the EMA model.

    Raises
    ------
    UserError
        The training diverges, or the network takes one size only and several are listed.
    """
    keras.utils.set_random_seed(settings.seed)
    sizes = _sizes(settings)
    steps = augmentation.batch_count(len(data.images), settings.batch_size)
    network = _compiled(data, settings, sizes, steps)
    # The EMA model is validated and returned: in float32, and without an optimizer in its file.
    ema_model = networks.build_network(settings.network, sizes[-1], data.classes)
    ema = ModelEma(settings.ema_decay)
    if state is None:
        state = State()
    else:
        _assign(network.variables + network.optimizer.variables, state.variables)
        ema.weights = state.average

    while len(state.history) < settings.epochs and not _stopped(state.history, settings):
        epoch = len(state.history)
        # Random numbers drawn in an epoch depend on the epoch alone, so that a run can resume.
        keras.utils.set_random_seed((settings.seed + epoch) % 2**32)
        fine_tuning.freeze(network, settings, epoch)
        batches = _batches(data, settings, state, sizes[epoch])
        loss, accuracy = _train_epoch(
            network, ema, tqdm(batches, f"epoch {epoch + 1}", steps, leave=False, disable=None)
        )
        ema_model.set_weights(symmetry.ordinary_weights(ema.of(network), ema_model))
        probabilities = predict_probabilities(ema_model, data.validation_images, sizes[epoch])
        # The mean loss of an epoch can be finite where its last step has diverged.
        if not (np.isfinite(loss) and np.isfinite(probabilities).all()):
            raise UserError(
                f"train: the training diverged in epoch {epoch + 1}: the loss or a weight is not"
                f" finite; lower train.optimizer.{settings.optimizer.name}.learning_rate or"
                " lengthen train.schedule's warm-up"
            )
        row = {
            "epoch": epoch + 1,
            "size": sizes[epoch],
            "learning_rate": float(network.optimizer.learning_rate),
            "loss": float(loss),
            "accuracy": float(accuracy),
        }
        row |= _validation_metrics(data, probabilities)
        state.history.append(row)
        if best_epoch(state.history, settings.selection.monitor) == epoch:
            state.best = ema_model.get_weights()
        if predicts_own_soft_labels(settings, epoch):
            predicted = predict_probabilities(ema_model, data.images, sizes[epoch])
            state.own_soft_labels = [predicted.astype(np.float32)]
        state.variables = [
            keras.ops.convert_to_numpy(variable)
            for variable in network.variables + network.optimizer.variables
        ]
        state.average = ema.weights
        on_epoch(state)

    ema_model.set_weights(state.best)
    return ema_model, pd.DataFrame(state.history)


def train_resumably(
    data: TrainingData,
    settings: parameters.Train,
    resume: Path,
    fingerprint: str,
    on_epoch: Callable[[State], None] = lambda state: None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train, or resume training, with the state kept in the file `resume` after each epoch.

    A state with another `fingerprint` than that of this run is not used. The file stays; the caller
    removes it once the results are written. The other arguments and the result are those of
    `train`.
    """
    state = checkpoint.load(resume, fingerprint)
    if state:
        log.info("resuming after epoch %d of %d", len(state.history), settings.epochs)

    def keep(state: State) -> None:
        checkpoint.save(resume, fingerprint, state)
        on_epoch(state)
        row = state.history[-1]
        log.info(
            "epoch %d of %d, %d px: loss %.3f, accuracy %.3f; PublicTest %.3f, macro-F1 %.3f",
            row["epoch"],
            settings.epochs,
            row["size"],
            row["loss"],
            row["accuracy"],
            row["val_accuracy"],
            row["val_macro_f1"],
        )

    return train(data, settings, state, keep)


def run_fingerprint(data: TrainingData, settings: parameters.Train) -> str:
    """SHA-256 of everything that a run depends on: parameters, data, all files of this wing."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for field in vars(data).values():
        if isinstance(field, InitialWeights):
            digest.update(field.sha256.encode())
        elif field is not None:
            digest.update(np.ascontiguousarray(field).data)
    match settings.network:
        case parameters.Application(weights=Path() as weights) if weights.is_file():
            digest.update(weights.read_bytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def make_repeatable() -> None:
    """Set this process up so that the same run gives the same weights on the same machine."""
    # OpenCV's own threads cost more than they save on a 48-pixel face.
    cv2.setNumThreads(0)
    tf.config.experimental.enable_op_determinism()


def build_for_training(
    precision: str, network: parameters.Network, size: int, classes: int
) -> keras.Model:
    """Build a network whose steps compute in a precision of `parameters.Train`.

    Its weights are float32. The symmetric networks get their mirror-equivariant layers.

    Returns
    -------
    keras.Model
        As `networks.build_network`, with half of the weights where it is symmetric.
    """
    fused = precision == "fused_bfloat16"
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if fused else precision)
    try:
        built = networks.build_network(network, size, classes)
    finally:
        keras.config.set_dtype_policy(before)
    if fused:
        weights = built.get_weights()
        built = normalization.fused(built)
        if isinstance(network, parameters.Application) and network.weights:
            built.set_weights(weights)
    if isinstance(network, parameters.MirrorEquivariant):
        return symmetry.mirror_equivariant(built)
    return built


def predict_probabilities(network: keras.Model, images: np.ndarray, size: int) -> np.ndarray:
    """Predict the probabilities of unchanged faces.

    Parameters
    ----------
    network : keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, C].
    images : uint8 [N, 48, 48]
    size : int

    Returns
    -------
    float64 [N, C], rows sum to 1.
    """
    chunks = np.array_split(images, len(images) // 256 + 1)
    logits = [
        network.predict_on_batch(augmentation.resize(chunk, size)[..., None]) for chunk in chunks
    ]
    return softmax(np.concatenate(logits).astype(np.float64), axis=1)


def best_epoch(history: list[dict[str, Any]], monitor: str) -> int:
    """Index of the best row by `monitor`; the earliest of equals."""
    values = [row[monitor] for row in history]
    return values.index(min(values) if monitor == "val_loss" else max(values))


def _compiled(
    data: TrainingData, settings: parameters.Train, sizes: list[int], steps: int
) -> keras.Model:
    network = build_for_training(settings.precision, settings.network, sizes[-1], data.classes)
    fixed = network.input_shape[1]
    if fixed and set(sizes) != {fixed}:
        raise UserError(
            f"train.resolutions: network {settings.network.name} takes one size only, but"
            f" {sorted(set(sizes))} are listed; keep one resolution with share 1.0"
        )
    if data.initial_weights is not None:
        own, initial = network.get_weights(), data.initial_weights.arrays
        if len(initial) == len(own) and initial[-1].shape != own[-1].shape:
            raise UserError(
                f"train.init.weights.keep_head: {data.initial_weights.file} predicts"
                f" {len(initial[-1])} emotions, the dataset has {data.classes}; set it to false"
            )
        shapes = [array.shape for array in own[: len(initial)]]
        initial = symmetry.equivariant_weights(initial, shapes)
        network.set_weights([*initial, *own[len(initial) :]])
    network.compile(
        optimizers.build_optimizer(
            settings.optimizer,
            settings.schedule,
            settings.epochs * steps,
            fine_tuning.learning_rate_scales(network, settings),
        ),
        losses.build_loss(settings.loss, np.bincount(data.labels, minlength=data.classes)),
        metrics=["categorical_accuracy"],
    )
    network.optimizer.build(network.trainable_variables)
    return network


def _batches(
    data: TrainingData, settings: parameters.Train, state: State, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The next epoch's batches; teachers predict a view when it is used for the first time."""
    epoch = len(state.history)
    images, targets = data.images, data.targets
    changes: parameters.TrainAugmentation | None = settings.augmentation
    sample_weights = losses.sample_weights(data.corrected, settings.corrected_weight)
    soft_labels = data.soft_labels
    own = state.own_soft_labels[0] if state.own_soft_labels else None
    if isinstance(settings.distillation, parameters.ViewDistillation):
        number, seed = epoch % settings.distillation.views, settings.distillation.seed
        view = views.make_view(images, settings.augmentation, (seed, number))
        images, targets, changes = view.images, view.mixed(targets), None
        sample_weights = None if sample_weights is None else view.mixed(sample_weights)
        if number == len(state.view_soft_labels):
            predicted = predict_view_soft_labels(settings.distillation, images, data.classes)
            state.view_soft_labels.append(predicted)
        soft_labels = state.view_soft_labels[number]
    return augmentation.batches(
        images,
        training_targets(targets, soft_labels, own, settings, epoch),
        losses.class_weights(settings.class_weight, data.one_hot.sum(axis=0)),
        changes,
        size,
        settings.batch_size,
        seed=(settings.seed, epoch),
        sample_weights=sample_weights,
    )


def _train_epoch(
    network: keras.Model,
    ema: ModelEma,
    batches: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Mean loss and accuracy of the epoch's batches."""
    results = []
    # `fit` is not used: its tf.data generator can deadlock with Python's global lock when an
    # epoch ends. Preparing batches in parallel saves nothing: a face takes 15 µs.
    for faces, targets, sample_weights in batches:
        results.append(network.train_on_batch(faces, targets, sample_weights))
        ema.update(network)
    return np.mean(results, axis=0)


def _sizes(settings: parameters.Train) -> list[int]:
    """The size of the faces in each epoch."""
    ends = np.cumsum([resolution.share for resolution in settings.resolutions])
    progress = (np.arange(settings.epochs) + 0.5) / settings.epochs
    phases = np.minimum(np.searchsorted(ends, progress), len(ends) - 1)
    sizes = [settings.resolutions[phase].size for phase in phases]
    # With one or two epochs the last phase can be without an epoch, but its size is served.
    sizes[-1] = settings.resolutions[-1].size
    return sizes


def _validation_metrics(data: TrainingData, probabilities: np.ndarray) -> dict[str, float]:
    labels = data.validation_labels
    predicted = probabilities.argmax(axis=1)
    return {
        "val_loss": log_loss(labels, probabilities, labels=range(data.classes)),
        "val_accuracy": accuracy_score(labels, predicted),
        "val_macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
    }


def _stopped(history: list[dict[str, Any]], settings: parameters.Train) -> bool:
    patience, monitor = settings.selection.patience, settings.selection.monitor
    if not history or patience is None:
        return False
    return len(history) - 1 - best_epoch(history, monitor) >= patience


def _assign(variables: list[Any], arrays: list[np.ndarray]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
