"""What a training run learns from: balanced faces, PublicTest and the teachers' soft labels."""

from dataclasses import dataclass

import numpy as np

from stages.artifacts import Artifacts
from stages.dataset.faces import Faces, TrainingSet
from stages.parameters import Train
from stages.training.soft_labels import predict_soft_labels


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on and selects its best epoch with.

    `images`, `validation_images` uint8 [N, 48, 48]; `labels`, `validation_labels` uint8 [N],
    0 … C - 1, every class in both; `soft_labels` float32 [N, C], the teachers' probabilities of
    `images`, or None where the settings use no teachers.
    """

    images: np.ndarray
    labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray
    soft_labels: np.ndarray | None = None

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return int(self.labels.max()) + 1


def read_training_data(files: Artifacts, settings: Train) -> TrainingData:
    """Read the balanced faces and PublicTest, and predict the soft labels of teachers.

    Raises
    ------
    UserError
        A file is missing, or a teacher is not the declared one.
    """
    training = TrainingSet.read(files.data / "train.npz")
    public = Faces.read(files.data / "faces.npz").of_split("PublicTest")
    return TrainingData(
        training.images,
        training.labels,
        public.images,
        public.labels,
        predict_soft_labels(settings.distillation, training.images),
    )
