"""Train one run with every seed and judge it on PublicTest: `python -m experiments.run NAME`.

Writes experiments/results/NAME.json. The network is judged in the epoch that its own selection
picks, the same way for every run. A run that was killed goes on at its last finished epoch.
PrivateTest stays closed.
"""

import argparse
import logging
import sys
from pathlib import Path
from time import monotonic

import numpy as np
import pandas as pd
from joblib import parallel_config

from experiments.settings import Settings, load_experiments
from stages import train
from stages.artifacts import Artifacts, write_metrics
from stages.balance import balance
from stages.dataset.fer_csv import EMOTIONS, SPLITS, read_faces
from stages.errors import UserError
from stages.evaluation.metrics import classification_figures
from stages.training import checkpoint
from stages.training.checkpoint import State

RESULTS = Path("experiments/results")

log = logging.getLogger(__name__)


def judge(settings: Settings, faces: dict[str, np.ndarray], resume: Path) -> dict:
    """Balance, train, and measure on PublicTest.

    Parameters
    ----------
    settings : Settings
    faces : dict of arrays
        The content of faces.npz.
    resume : Path
        Where the state of the training is kept until it ends.

    Returns
    -------
    dict
        `accuracy`, `accuracy_deduplicated` and `accuracy_copies` (of the images without and with
        an exact copy in Training, the latter if there are any), `macro_f1`, `min_recall`, `recall`
        by emotion, `parameters`, `images` it was trained on, and the `minutes` of the training,
        loading and balancing left out.
    """
    training, public = (faces["split"] == SPLITS.index(name) for name in SPLITS[:2])
    with parallel_config(n_jobs=-1):
        balanced = balance(
            faces["images"][training],
            faces["labels"][training],
            faces["row"][training],
            settings.balance,
        )
    arrays = balanced.images, balanced.labels, faces["images"][public], faces["labels"][public]
    key = train.run_key(settings.train, *arrays)
    clock = Clock(resume, key)
    network, _ = train.train(*arrays, settings.train, clock.state, clock.tick)
    said = train.probabilities(network, arrays[2], settings.train.resolutions[-1].size)
    copies = faces["copy_in_training"][public]
    figures = classification_figures(arrays[3], said, copies, EMOTIONS)
    names = ("accuracy", "accuracy_deduplicated", "macro_f1", "min_recall", "recall")
    measured = {name: figures[name] for name in names}
    if copies.any():
        correct = said.argmax(axis=1) == arrays[3]
        measured["accuracy_copies"] = correct[copies].mean()
    resume.unlink(missing_ok=True)
    return {
        **measured,
        "parameters": network.count_params(),
        "images": len(balanced.labels),
        "minutes": clock.seconds / 60,
    }


def with_copies(faces: dict[str, np.ndarray], files: Artifacts) -> dict[str, np.ndarray]:
    """The faces, and those that were taken out of Training because a test split has them too."""
    quarantine = pd.read_csv(files.data / "quarantine.csv")
    taken_out = quarantine.loc[quarantine["check"] == "copy_of_test_image", "row"]
    rows, images = read_faces(files.data / "raw.csv")
    is_copy = rows["row"].isin(taken_out).to_numpy()
    copies = {
        "images": images[is_copy],
        "labels": rows.loc[is_copy, "emotion"],
        "split": np.full(is_copy.sum(), SPLITS.index("Training")),
        "row": rows.loc[is_copy, "row"],
        "copy_in_training": np.zeros(is_copy.sum()),
    }
    return {
        name: np.concatenate([array, np.asarray(copies[name]).astype(array.dtype)])
        for name, array in faces.items()
    }


class Clock:
    """Saves the state after each epoch, and counts the seconds of all epochs, killed runs' too."""

    def __init__(self, resume: Path, key: str):
        self.resume, self.key = resume, key
        self.state = checkpoint.load(resume, key)
        self.seconds = sum(row["seconds"] for row in self.state.history) if self.state else 0.0
        self._last = monotonic()

    def tick(self, state: State) -> None:
        now = monotonic()
        row = state.history[-1]
        row["seconds"], self._last = now - self._last, now
        self.seconds += row["seconds"]
        checkpoint.save(self.resume, self.key, state)
        log.info(
            "epoch %d: PublicTest %.3f, macro-F1 %.3f",
            row["epoch"],
            row["val_accuracy"],
            row["val_macro_f1"],
        )


def main() -> None:
    """Run one experiment with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a key of `runs` in experiments/params.yaml")
    name = parser.parse_args().name
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    train.make_repeatable()
    try:
        experiments = load_experiments()
        settings = experiments.settings(name)
        files = Artifacts(experiments.dataset)
        path = files.data / "faces.npz"
        if not path.exists():
            raise UserError(f"{path}: not found; run `dvc repro validate@{experiments.dataset}`")
        with np.load(path) as arrays:
            faces = dict(arrays)
        if settings.copies == "kept":
            faces = with_copies(faces, files)
        results = {}
        for seed in settings.seeds:
            log.info("%s, seed %d", name, seed)
            seeded = settings.model_copy(
                update={"train": settings.train.model_copy(update={"seed": seed})}
            )
            results[f"seed {seed}"] = judge(seeded, faces, RESULTS / f".{name}.{seed}.resume.npz")
        write_metrics(RESULTS / f"{name}.json", results)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
