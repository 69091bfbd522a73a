"""The phases of the ensemble: each trains networks side by side and teaches the next phase."""

import argparse
import itertools
import json
import logging
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from experiments.ensemble.face_resnet import start_from_dlib
from experiments.ensemble.learner import Learner
from experiments.ensemble.networks import build_for_training
from experiments.ensemble.settings import Ensemble, FaceResNet, Member, Phase, load_ensemble
from experiments.ensemble.view_stream import views
from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts, write_arrays, write_metrics
from stages.dataset.faces import Faces
from stages.errors import UserError
from stages.training.views import View
from stages.training.vote_labels import read_vote_labels

EVERY = 10
"""Epochs between two measurements on PublicTest."""

log = logging.getLogger(__name__)


def main() -> None:
    """Train all phases and write the networks and their metrics."""
    parser = argparse.ArgumentParser(prog="python -m experiments.ensemble")
    parser.add_argument("out", type=Path, help="folder for NAME.npz and metrics.json")
    out = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        settings = load_ensemble()
        faces = Faces.read(Artifacts(settings.dataset).data / "faces.npz")
        training = oversampled(faces.of_split("Training"), settings)
        one_hot = np.eye(len(faces.emotions), dtype=np.float32)[training.labels]
        share = np.float32(settings.votes.share)
        labels = (1 - share) * one_hot + share * read_vote_labels(settings.votes, training.row)
        out.mkdir(parents=True, exist_ok=True)
        log.info("%d faces on %s", len(labels), jax.devices()[0].device_kind)
        Run(settings, training.images, labels, faces.of_split("PublicTest"), out).train()
    except UserError as error:
        sys.exit(f"error: {error}")


def oversampled(training: Faces, settings: Ensemble) -> Faces:
    """Repeat faces of small classes until each has `smallest_class` of the largest."""
    rng = np.random.default_rng(settings.seed)
    counts = np.bincount(training.labels)
    chosen = [np.arange(len(training.labels))]
    for label, count in enumerate(counts):
        missing = round(settings.smallest_class * counts.max()) - count
        if missing > 0:
            chosen.append(rng.choice(np.flatnonzero(training.labels == label), missing))
    return training.take(np.concatenate(chosen))


class Run:
    """The phases in order.

    Parameters
    ----------
    settings : Ensemble
    images : uint8 [N, 48, 48]
        Faces of Training; at least as many as PublicTest has.
    labels : float32 [N, C]
        Their targets, rows sum to 1.
    public : Faces
        Of PublicTest, for the metrics alone.
    out : Path
        A folder.
    """

    def __init__(
        self, settings: Ensemble, images: np.ndarray, labels: np.ndarray, public: Faces, out: Path
    ):
        self.settings, self.images, self.labels = settings, images, labels
        self.public, self.out = public, out
        self.steps = len(images) // settings.batch_size
        self.metrics: dict[str, dict[str, float]] = {}

    def train(self) -> None:
        """Train all phases; write the weights after each, and the metrics."""
        settings = self.settings
        count = sum(phase.epochs for phase in settings.phases)
        processes = max(1, (os.cpu_count() or 1) - 1)
        stream = views(self.images, settings.augmentation, settings.seed, count, processes)
        # The first view is asked for now, so that processes make views during the compilation.
        stream = itertools.chain([next(stream)], stream)
        phases = [self._learners(phase) for phase in settings.phases]
        for learner in itertools.chain(*phases):
            learner.trace(len(self.images), self.labels.shape[1], self.steps)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Learner.compile, itertools.chain(*phases)))
        rng = np.random.default_rng(settings.seed)
        teachers: list[Learner] = []
        for phase, learners in zip(settings.phases, phases, strict=True):
            self._train_phase(phase, learners, teachers, stream, rng)
            teachers += learners
        self._measure({"mean of all": teachers})
        write_metrics(self.out / "metrics.json", self.metrics)

    def _train_phase(
        self,
        phase: Phase,
        learners: list[Learner],
        teachers: list[Learner],
        stream: Iterator[View],
        rng: np.random.Generator,
    ) -> None:
        steps = phase.epochs * self.steps
        for epoch in range(phase.epochs):
            view = next(stream)
            images = jax.device_put(view.images)
            targets = view.mixed(self.labels)
            if teachers:
                soft = sum(teacher.predict(images) for teacher in teachers) / len(teachers)
                targets = phase.share * soft + (1 - phase.share) * targets
            rows = rng.permutation(len(self.images))[: self.steps * self.settings.batch_size]
            order = rows.reshape(self.steps, -1).astype(np.int32)
            losses = [learner.train(images, targets, order, steps) for learner in learners]
            for learner, loss in zip(learners, losses, strict=True):
                if not np.isfinite(loss):
                    raise UserError(f"ensemble: {learner.name} diverged; lower its learning_rate")
            if (epoch + 1) % EVERY == 0 or epoch + 1 == phase.epochs:
                log.info("epoch %d of %d", epoch + 1, phase.epochs)
                self._measure({learner.name: [learner] for learner in learners})
        for learner in learners:
            arrays = {
                f"{number:03}": array.astype(np.float16) if array.ndim == 4 else array
                for number, array in enumerate(learner.averaged_weights())
            }
            with written_atomically(self.out / f"{learner.name}.npz") as temporary:
                write_arrays(temporary, **arrays)
        self._measure({"mean of " + ", ".join(phase.members): learners})

    def _learners(self, phase: Phase) -> list[Learner]:
        return [
            Learner(name, self._network(member), member, self.settings)
            for name, member in phase.members.items()
        ]

    def _network(self, member: Member) -> keras.Model:
        keras.utils.set_random_seed(self.settings.seed)
        classes = self.labels.shape[1]
        network = build_for_training(member.network, member.size, classes, self.settings.precision)
        if isinstance(member.network, FaceResNet):
            exact = build_for_training(member.network, member.size, classes, "float32")
            shape = (len(self.images[:512]), member.size, member.size)
            faces = jax.image.resize(self.images[:512].astype(np.float32), shape, "linear")
            start_from_dlib(exact, np.asarray(faces)[..., None])
            network.set_weights(exact.get_weights())
        return network

    def _measure(self, means: dict[str, list[Learner]]) -> None:
        """Metrics of the mean probabilities of some networks, by their name."""
        known = len(self.public.images)
        # The compiled program takes as many faces as Training has.
        padded = np.zeros_like(self.images)
        padded[:known] = self.public.images
        for name, learners in means.items():
            predicted = np.mean([np.asarray(one.predict(padded)) for one in learners], axis=0)
            self.metrics[name] = _metrics(self.public.labels, predicted[:known])
            log.info("  %s: %s", name, json.dumps(self.metrics[name]))


def _metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    if not np.isfinite(probabilities).all():
        raise UserError("ensemble: a predicted probability is not finite; set precision to float32")
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
    }
