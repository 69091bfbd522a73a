"""Train one run with every seed and measure it on PublicTest: `python -m experiments.run NAME`.

Writes experiments/results/NAME.json. Every run is measured in the epoch that its own selection
picks. A killed run resumes after its last finished epoch. PrivateTest is not read.
"""

import argparse
import logging
import sys
from pathlib import Path
from time import monotonic

import numpy as np
import pandas as pd
from joblib import parallel_config

from experiments.settings import RESULTS, Settings, load_experiments
from stages.artifacts import Artifacts, write_metrics
from stages.balancing.strategies import balance
from stages.dataset.faces import SPLITS, Faces
from stages.dataset.fer_csv import read_faces
from stages.errors import UserError
from stages.evaluation.metrics import classification_metrics
from stages.training import checkpoint, trainer
from stages.training.checkpoint import State
from stages.training.data import prepare_training_data

log = logging.getLogger(__name__)


def measure(settings: Settings, faces: Faces, resume: Path) -> dict:
    """Balance, train, and measure on PublicTest.

    Parameters
    ----------
    settings : Settings
    faces : Faces
    resume : Path
        Where the state of the training is kept until it ends.

    Returns
    -------
    dict
        `accuracy`, `accuracy_deduplicated` (images without an exact copy in Training),
        `accuracy_duplicates` (images with one, if any), `macro_f1`, `min_recall`, `recall`
        by emotion, `parameters`, `images` it was trained on, and the `minutes` of the training,
        loading and balancing left out.
    """
    training, public = faces.of_split("Training"), faces.of_split("PublicTest")
    with parallel_config(n_jobs=-1):
        balanced = balance(training, settings.balance)
    data = prepare_training_data(balanced, public, settings.train)
    clock = Clock(resume, trainer.run_fingerprint(data, settings.train))
    network, _ = trainer.train(data, settings.train, clock.state, clock.tick)
    size = settings.train.resolutions[-1].size
    probabilities = trainer.predict_probabilities(network, public.images, size)
    duplicated = public.copy_in_training
    metrics = classification_metrics(public.labels, probabilities, duplicated, public.emotions)
    names = ("accuracy", "accuracy_deduplicated", "macro_f1", "min_recall", "recall")
    measured = {name: metrics[name] for name in names}
    if duplicated.any():
        correct = probabilities.argmax(axis=1) == public.labels
        measured["accuracy_duplicates"] = correct[duplicated].mean()
    resume.unlink(missing_ok=True)
    return {
        **measured,
        "parameters": network.count_params(),
        "images": len(balanced.labels),
        "minutes": clock.seconds / 60,
    }


def with_duplicates(faces: Faces, files: Artifacts) -> Faces:
    """The faces, followed by the Training faces that validate removed: test duplicates."""
    quarantine = pd.read_csv(files.data / "quarantine.csv")
    removed = quarantine.loc[quarantine["check"] == "copy_of_test_image", "row"]
    rows, images = read_faces(files.data / "raw.csv")
    is_duplicate = rows["row"].isin(removed).to_numpy()
    labels = rows.loc[is_duplicate, "emotion"].astype(np.uint8)
    return faces.followed_by(
        Faces(
            images=images[is_duplicate],
            labels=labels.to_numpy(),
            split=np.full(is_duplicate.sum(), SPLITS.index("Training"), np.uint8),
            row=rows.loc[is_duplicate, "row"].to_numpy(np.int32),
            copy_in_training=np.zeros(is_duplicate.sum(), bool),
        )
    )


class Clock:
    """Saves the state after each epoch and sums the epochs' seconds, those of killed runs too."""

    def __init__(self, resume: Path, fingerprint: str):
        self.resume, self.fingerprint = resume, fingerprint
        self.state = checkpoint.load(resume, fingerprint)
        self.seconds = sum(row["seconds"] for row in self.state.history) if self.state else 0.0
        self._last = monotonic()

    def tick(self, state: State) -> None:
        now = monotonic()
        row = state.history[-1]
        row["seconds"], self._last = now - self._last, now
        self.seconds += row["seconds"]
        checkpoint.save(self.resume, self.fingerprint, state)
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
    trainer.make_repeatable()
    try:
        experiments = load_experiments()
        settings = experiments.settings(name)
        files = Artifacts(experiments.dataset)
        faces = Faces.read(files.data / "faces.npz")
        if settings.duplicates == "kept":
            faces = with_duplicates(faces, files)
        results = {}
        for seed in settings.seeds:
            log.info("%s, seed %d", name, seed)
            seeded = settings.model_copy(
                update={"train": settings.train.model_copy(update={"seed": seed})}
            )
            results[f"seed {seed}"] = measure(seeded, faces, RESULTS / f".{name}.{seed}.resume.npz")
        write_metrics(RESULTS / f"{name}.json", results)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
