"""Train the network on the balanced faces: `python -m stages.train DATASET`.

Reads train.npz, taught.npz and the PublicTest split of faces.npz; writes
model.keras (the best epoch's weights), history.csv (one row an epoch) and
training.json. A run that was killed goes on at its last finished epoch.
"""

import hashlib
import json
import logging
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss
from tqdm import tqdm

from stages import (
    augmentation,
    checkpoint,
    losses,
    networks,
    normalization,
    optimizers,
    parameters,
    symmetry,
)
from stages.artifacts import Artifacts, write_metrics, written_atomically
from stages.checkpoint import State
from stages.errors import UserError
from stages.fer_csv import EMOTIONS, SPLITS
from stages.shell import run

log = logging.getLogger(__name__)


def train(
    images: np.ndarray,
    labels: np.ndarray,
    validation_images: np.ndarray,
    validation_labels: np.ndarray,
    settings: parameters.Train,
    state: State | None = None,
    on_epoch: Callable[[State], None] = lambda state: None,
    taught: np.ndarray | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a network and keep the weights of its best epoch on the validation images.

    Parameters
    ----------
    images, validation_images : uint8 [N, 48, 48]
    labels, validation_labels : uint8 [N]
        0 … 6; every class must occur in both.
    settings : parameters.Train
    state : State or None
        Where an earlier run with the same arguments stopped.
    on_epoch : callable
        Gets the state after each epoch.
    taught : float32 [N, 7] or None
        What the teachers say of the images, where the settings learn from them.

    Returns
    -------
    keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, 7].
    pandas.DataFrame
        One row per epoch: epoch, size, learning_rate, loss, accuracy, val_loss,
        val_accuracy, val_macro_f1. The `val_` columns are of the averaged weights.
    """
    keras.utils.set_random_seed(settings.seed)
    sizes = _sizes(settings)
    steps = augmentation.batch_count(len(images), settings.batch_size)
    network = built_in(settings.precision, settings.network, sizes[-1])
    _check_sizes(network, sizes)
    network.compile(
        optimizers.build_optimizer(settings.optimizer, settings.schedule, settings.epochs * steps),
        losses.build_loss(settings.loss, np.bincount(labels, minlength=len(EMOTIONS))),
        metrics=["categorical_accuracy"],
    )
    network.optimizer.build(network.trainable_variables)
    # What is judged and handed out: always in float32, and without an optimizer in its file.
    judged = networks.build_network(settings.network, sizes[-1], len(EMOTIONS))
    average = WeightAverage(settings.weight_average)
    if state is None:
        state = State(history=[], variables=[], average=[], best=[], beliefs=[])
    else:
        _assign(network.variables + network.optimizer.variables, state.variables)
        average.weights = state.average
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[labels]
    weights = losses.class_weights(settings.class_weight, targets.sum(axis=0))

    while len(state.history) < settings.epochs and not _stopped(state.history, settings):
        epoch = len(state.history)
        # Dropout under PyTorch draws from the global generator, which no state on disk holds.
        keras.utils.set_random_seed((settings.seed + epoch) % 2**32)
        _set_plateau_rate(network.optimizer, settings, state.history)
        figures = []
        batches = augmentation.batches(
            images,
            _blended(targets, taught, state.beliefs, settings, epoch),
            weights,
            settings.augmentation,
            sizes[epoch],
            settings.batch_size,
            seed=(settings.seed, epoch),
        )
        # Not `fit`: its tf.data generator can deadlock with Python's lock when an epoch ends,
        # and at 15 µs an image there is nothing to gain from preparing batches beside the step.
        for faces, soft_labels, sample_weights in tqdm(
            batches, f"epoch {epoch + 1}", total=steps, leave=False, disable=None
        ):
            figures.append(network.train_on_batch(faces, soft_labels, sample_weights))
            average.update(network)
        loss, accuracy = np.mean(figures, axis=0)
        if not np.isfinite(loss):
            raise UserError(
                f"train: the loss of epoch {epoch + 1} is no number any more; lower"
                " train.optimizer.learning_rate or lengthen train.schedule's warm-up"
            )
        row = {
            "epoch": epoch + 1,
            "size": sizes[epoch],
            "learning_rate": float(network.optimizer.learning_rate),
            "loss": float(loss),
            "accuracy": float(accuracy),
        }
        judged.set_weights(symmetry.untied(average.of(network), judged))
        row |= _validate(judged, validation_images, validation_labels, sizes[epoch])
        state.history.append(row)
        if _best_epoch(state.history, settings.selection.monitor) == epoch:
            state.best = judged.get_weights()
        if _looks_again(settings, epoch):
            state.beliefs = [np.float32(probabilities(judged, images, sizes[epoch]))]
        state.variables = _arrays(network.variables + network.optimizer.variables)
        state.average = average.weights
        on_epoch(state)

    judged.set_weights(state.best)
    return judged, pd.DataFrame(state.history)


class WeightAverage:
    """Exponential moving average of all weights, batch normalisation's statistics included.

    The decay rises from 0.1 to its value over the first steps, as (1 + t) / (10 + t),
    so that the random initial weights do not linger.
    """

    def __init__(self, decay: float):
        self.decay, self.weights = decay, []

    def update(self, network: keras.Model) -> None:
        """Take the network's weights after a step into the average."""
        if not self.decay:
            return
        weights = network.get_weights()
        if not self.weights:
            self.weights = weights
        step = int(network.optimizer.iterations)
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for mean, weight in zip(self.weights, weights, strict=True):
            mean += np.float32(share) * (weight - mean)

    def of(self, network: keras.Model) -> list[np.ndarray]:
        """The averaged weights, or the network's own where averaging is off."""
        return self.weights or network.get_weights()


def built_in(precision: str, network: parameters.Network, size: int) -> keras.Model:
    """Build a network whose steps compute in a precision of `parameters.Train`.

    Its weights are float32 all the same.
    """
    fused = precision == "fused_bfloat16"
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if fused else precision)
    try:
        built = networks.build_network(network, size, len(EMOTIONS))
    finally:
        keras.config.set_dtype_policy(before)
    if fused:
        built = normalization.fused(built)
    return symmetry.tied(built) if isinstance(network, parameters.SymmetricResidual) else built


def _looks_again(settings: parameters.Train, epoch: int) -> bool:
    """Whether the network, after this epoch, says anew what it sees in the training faces."""
    match settings.distillation:
        case parameters.FromItself(every=every):
            return (epoch + 1) % every == 0
    return False


def _blended(targets, taught, beliefs, settings: parameters.Train, epoch: int) -> np.ndarray:
    """The labels with a share of what the teachers, or the network itself so far, say."""
    match settings.distillation:
        case parameters.FromTeachers(share=final):
            share, said = np.float32(final), taught
        case parameters.FromItself(share=final) if beliefs:
            share, said = np.float32(final * epoch / settings.epochs), beliefs[0]
        case _:
            return targets
    return (1 - share) * targets + share * said


def _sizes(settings: parameters.Train) -> list[int]:
    """The size of the faces in each epoch."""
    ends = np.cumsum([resolution.share for resolution in settings.resolutions])
    progress = (np.arange(settings.epochs) + 0.5) / settings.epochs
    phases = np.minimum(np.searchsorted(ends, progress), len(ends) - 1)
    sizes = [settings.resolutions[phase].size for phase in phases]
    # One or two epochs may fall short of the last phase, but its size is the one that is served.
    sizes[-1] = settings.resolutions[-1].size
    return sizes


def _check_sizes(network: keras.Model, sizes: list[int]) -> None:
    fixed = network.input_shape[1]
    if fixed and set(sizes) != {fixed}:
        raise UserError(
            f"train.resolutions: network {network.name} has fully connected layers and takes one"
            f" size only, but {sorted(set(sizes))} are listed; keep one resolution with share 1.0"
        )


def _validate(network, images, labels, size) -> dict[str, float]:
    said = probabilities(network, images, size)
    predicted = said.argmax(axis=1)
    return {
        "val_loss": log_loss(labels, said, labels=range(len(EMOTIONS))),
        "val_accuracy": accuracy_score(labels, predicted),
        "val_macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
    }


def probabilities(network: keras.Model, images: np.ndarray, size: int) -> np.ndarray:
    """What a network says of unchanged faces.

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


def _best_epoch(history: list[dict], monitor: str) -> int:
    """Index of the best row; the earliest of equals."""
    values = [row[monitor] for row in history]
    return values.index(min(values) if monitor == "val_loss" else max(values))


def _stopped(history: list[dict], settings: parameters.Train) -> bool:
    patience, monitor = settings.selection.patience, settings.selection.monitor
    if not history or patience is None:
        return False
    return len(history) - 1 - _best_epoch(history, monitor) >= patience


def _set_plateau_rate(optimizer, settings: parameters.Train, history: list[dict]) -> None:
    """Replay the history through Keras's own plateau rule, so that a resumed run agrees."""
    if not isinstance(settings.schedule, parameters.Plateau):
        return
    optimizer.learning_rate = settings.optimizer.learning_rate
    monitor = settings.selection.monitor
    rule = keras.callbacks.ReduceLROnPlateau(
        monitor,
        factor=settings.schedule.factor,
        patience=settings.schedule.patience,
        mode="min" if monitor == "val_loss" else "max",
    )
    # The rule reads nothing of a model but its optimizer.
    rule.set_model(keras.Sequential())
    rule.model.optimizer = optimizer
    rule.on_train_begin()
    for row in history:
        rule.on_epoch_end(row["epoch"], dict(row))


def _arrays(variables) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables, arrays: list[np.ndarray]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def make_repeatable() -> None:
    """Set this process up so that the same run gives the same weights on the same machine."""
    # One warp of a 48-pixel face only loses time on OpenCV's own threads.
    cv2.setNumThreads(0)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def read_arrays(files: Artifacts) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images and labels of train.npz, then those of PublicTest, as `train` takes them.

    Raises
    ------
    UserError
        A file is missing.
    """
    for path in (files.data / "train.npz", files.data / "faces.npz"):
        if not path.exists():
            raise UserError(f"{path}: not found; run `dvc repro`, which makes it first")
    with np.load(files.data / "train.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    with np.load(files.data / "faces.npz") as arrays:
        public = arrays["split"] == SPLITS.index("PublicTest")
        return images, labels, arrays["images"][public], arrays["labels"][public]


def train_resumably(
    arrays: tuple[np.ndarray, ...],
    settings: parameters.Train,
    resume: Path,
    taught: np.ndarray | None = None,
    on_epoch: Callable[[State], None] = lambda state: None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train, or go on training, with the state kept in the file `resume` after each epoch.

    The file stays; whoever has written the results removes it. The other arguments and the
    result are those of `train`.
    """
    key = run_key(settings, *arrays, *([] if taught is None else [taught]))
    state = checkpoint.load(resume, key)
    if state:
        log.info("resuming after epoch %d of %d", len(state.history), settings.epochs)

    def keep(state: State) -> None:
        checkpoint.save(resume, key, state)
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

    return train(*arrays, settings, state, keep, taught)


def main(dataset: str, settings: parameters.Parameters) -> None:
    """Read the arrays, train or go on training, write the model and its history."""
    make_repeatable()
    files = Artifacts(dataset)
    arrays = read_arrays(files)
    taught = None
    if isinstance(settings.train.distillation, parameters.FromTeachers):
        path = files.data / "taught.npz"
        if not path.exists():
            raise UserError(f"{path}: not found; run `dvc repro`, which makes it first")
        with np.load(path) as said:
            taught = said["probabilities"]

    resume = files.models / ".resume.npz"
    network, history = train_resumably(
        arrays,
        settings.train,
        resume,
        taught,
        lambda state: _write_history(files.models / "history.csv", state.history),
    )
    _save(network, files.models / "model.keras")
    _write_history(files.models / "history.csv", history)
    best = history.iloc[_best_epoch(history.to_dict("records"), settings.train.selection.monitor)]
    write_metrics(
        files.metrics / "training.json",
        {
            "epochs": len(history),
            "best_epoch": int(best["epoch"]),
            "images": len(arrays[0]),
            "parameters": network.count_params(),
            **{
                name: float(best[name])
                for name in history.columns
                if "loss" in name or "acc" in name
            },
            "val_macro_f1": float(best["val_macro_f1"]),
        },
    )
    resume.unlink(missing_ok=True)


def _save(network: keras.Model, path: Path) -> None:
    """Write Keras's archive so that the same weights give the same bytes.

    Keras puts the hour of saving into it, and numbers shared objects by their address in memory.
    """
    with written_atomically(path) as temporary:
        network.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        metadata = json.loads(files["metadata.json"])
        del metadata["date_saved"]
        files["metadata.json"] = json.dumps(metadata).encode()
        numbers: dict[bytes, int] = {}
        files["config.json"] = re.sub(
            rb'(?<="shared_object_id": )\d+',
            lambda address: b"%d" % numbers.setdefault(address[0], len(numbers) + 1),
            files["config.json"],
        )
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, content in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(name), content)


def _write_history(path: Path, history) -> None:
    with written_atomically(path) as temporary:
        pd.DataFrame(history).round(5).to_csv(temporary, index=False, lineterminator="\n")


def run_key(settings: parameters.Train, *arrays: np.ndarray) -> str:
    """Digest of what a run depends on: parameters, arrays and the code that uses them."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    for module in (augmentation, losses, networks, normalization, optimizers):
        digest.update(Path(module.__file__).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    run(main, "Train the network on the balanced faces.")
