"""Ask the teachers what they see in the training faces: `python -m stages.teach DATASET`.

Trains the networks of the section `teach` of params.yaml, one after the other. Reads train.npz
and the PublicTest split of faces.npz; writes taught.npz and teach.json. Where the section lists
none, taught.npz is empty. A run that was killed goes on at its last finished epoch.
"""

import logging
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from stages.artifacts import Artifacts, write_arrays, write_metrics, written_atomically
from stages.fer_csv import EMOTIONS
from stages.parameters import Parameters, Train
from stages.shell import run
from stages.train import make_repeatable, probabilities, read_arrays, run_key, train_resumably

log = logging.getLogger(__name__)


def what_it_says(network, images: np.ndarray, size: int) -> np.ndarray:
    """What a network says of faces and their mirror images, on average.

    Parameters
    ----------
    network : keras.Model
        Float32 [N, size, size, 1] in 0 … 255 to logits [N, C].
    images : uint8 [N, 48, 48]
    size : int

    Returns
    -------
    float32 [N, C], rows sum to 1.
    """
    said = probabilities(network, images, size) + probabilities(network, images[:, :, ::-1], size)
    return np.float32(said / 2)


def teacher(arrays: tuple[np.ndarray, ...], settings: Train, folder: Path) -> dict[str, np.ndarray]:
    """Train one teacher, unless an earlier run did, and keep what it says.

    Parameters
    ----------
    arrays : images, labels, validation images, validation labels
        As `train` takes them.
    settings : Train
    folder : Path
        Where `.teacher-KEY.npz` is kept, and the state of the training until it ends.

    Returns
    -------
    dict
        `training` float32 [N, 7] and `public` float32 [M, 7], its probabilities; `parameters` int.
    """
    key = run_key(settings, *arrays)
    path = folder / f".teacher-{key[:16]}.npz"
    if not path.exists():
        resume = folder / f".teacher-{key[:16]}.resume.npz"
        network, _ = train_resumably(arrays, settings, resume)
        size = settings.resolutions[-1].size
        with written_atomically(path) as temporary:
            write_arrays(
                temporary,
                training=what_it_says(network, arrays[0], size),
                public=what_it_says(network, arrays[2], size),
                parameters=np.array(network.count_params()),
            )
        resume.unlink()
    with np.load(path) as said:
        return dict(said)


def main(dataset: str, settings: Parameters) -> None:
    """Train every teacher, and write the mean of what they say."""
    make_repeatable()
    files = Artifacts(dataset)
    arrays = read_arrays(files)
    figures, training, public = {}, [], []
    for number, recipe in enumerate(settings.teach, 1):
        log.info("teacher %d of %d", number, len(settings.teach))
        said = teacher(arrays, recipe, files.models)
        training.append(said["training"])
        public.append(said["public"])
        figures[f"teacher {number}"] = {
            "parameters": int(said["parameters"]),
            **_figures(arrays[3], said["public"]),
        }
    if settings.teach:
        figures["together"] = _figures(arrays[3], np.mean(public, axis=0))
    taught = np.mean(training, axis=0) if training else np.empty((0, len(EMOTIONS)), np.float32)
    with written_atomically(files.data / "taught.npz") as temporary:
        write_arrays(temporary, probabilities=taught)
    write_metrics(files.metrics / "teach.json", figures)
    for path in files.models.glob(".teacher-*"):
        path.unlink()


def _figures(labels: np.ndarray, said: np.ndarray) -> dict[str, float]:
    predicted = said.argmax(axis=1)
    return {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
    }


if __name__ == "__main__":
    run(main, __doc__)
