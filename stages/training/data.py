"""What a training run starts from: faces, the teachers' soft labels and initial weights."""

from dataclasses import dataclass

import numpy as np

from stages.artifacts import Artifacts
from stages.dataset.faces import Faces, TrainingSet
from stages.errors import UserError
from stages.parameters import Train, ViewDistillation, VoteLabels
from stages.training.initial_weights import InitialWeights, read_initial_weights
from stages.training.soft_labels import predict_soft_labels
from stages.training.vote_labels import read_vote_labels


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on and selects its best epoch with.

    `images`, `validation_images` uint8 [N, 48, 48]; `labels`, `validation_labels` uint8 [N],
    0 … C - 1, every class in both; `soft_labels` float32 [N, C], the teachers' probabilities of
    `images`, or None where the settings use none; `votes` uint8 [N, C], people's votes on `images`,
    or None; `label_targets` float32 [N, C], the labels blended with what the votes of FER+ say of
    them, or None; `corrected` bool [N], whether a person has corrected the label, or None;
    `initial_weights` those of `train.init`, or None where the network starts with random ones.
    """

    images: np.ndarray
    labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray
    soft_labels: np.ndarray | None = None
    votes: np.ndarray | None = None
    label_targets: np.ndarray | None = None
    corrected: np.ndarray | None = None
    initial_weights: InitialWeights | None = None

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return int(self.labels.max()) + 1

    @property
    def one_hot(self) -> np.ndarray:
        """float32 [N, C], 1 for the label."""
        return np.eye(self.classes, dtype=np.float32)[self.labels]

    @property
    def targets(self) -> np.ndarray:
        """float32 [N, C], rows sum to 1: shares of the votes, or the label where nobody voted."""
        if self.label_targets is not None:
            return self.label_targets
        if self.votes is None:
            return self.one_hot
        return (self.votes / self.votes.sum(axis=1, keepdims=True)).astype(np.float32)


def read_training_data(files: Artifacts, settings: Train) -> TrainingData:
    """Read the balanced faces and PublicTest, and prepare a run on them.

    Raises
    ------
    UserError
        A file is missing, an emotion has no face, or as `prepare_training_data`.
    """
    training = TrainingSet.read(files.data / "train.npz")
    public = Faces.read(files.data / "faces.npz").of_split("PublicTest")
    for split, labels in (("Training", training.labels), ("PublicTest", public.labels)):
        missing = set(training.emotions) - {
            training.emotions[label] for label in set(labels.tolist())
        }
        if missing:
            raise UserError(
                f"{files.data / 'faces.npz'}: {split} has no face of {', '.join(sorted(missing))}; "
                "every emotion needs faces in every split: add some, or leave the emotion out"
            )
    return prepare_training_data(training, public, settings)


def prepare_training_data(training: TrainingSet, public: Faces, settings: Train) -> TrainingData:
    """Complete the faces of a run by the soft labels and the initial weights of its settings.

    Raises
    ------
    UserError
        A teacher is not the declared one or predicts another number of emotions, the votes of FER+
        are of other faces, or the initial weights do not fit.
    """
    return TrainingData(
        training.images,
        training.labels,
        public.images,
        public.labels,
        predict_soft_labels(settings.distillation, training.images, len(training.emotions)),
        training.votes,
        _label_targets(training, settings),
        training.corrected,
        read_initial_weights(settings),
    )


def _label_targets(training: TrainingSet, settings: Train) -> np.ndarray | None:
    match settings.distillation:
        case ViewDistillation(votes=VoteLabels() as votes):
            one_hot = np.eye(len(training.emotions), dtype=np.float32)[training.labels]
            share = np.float32(votes.share)
            return (1 - share) * one_hot + share * read_vote_labels(votes, training.row)
    return None
