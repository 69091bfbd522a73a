"""Predictions of an exported model for the faces of a dataset."""

import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from stages.dataset.faces import EMOTIONS
from stages.errors import UserError

STEP = 256
"""Faces between two updates of the progress bar."""


def open_model(path: Path) -> Classifier:
    """Load a model of the export stage.

    Raises
    ------
    UserError
        The file is missing or damaged, or its labels are not EMOTIONS in the same order.
    """
    try:
        classifier = Classifier(path, threads=os.cpu_count() or 1)
    except ModelError as error:
        raise UserError(f"{error}; run `dvc repro` or the export stage of this dataset") from None
    if tuple(classifier.labels) != EMOTIONS:
        raise UserError(
            f"{path}: the model's labels are {', '.join(classifier.labels)}, expected "
            f"{', '.join(EMOTIONS)}; export it again from this dataset"
        )
    return classifier


def predict(classifier: Classifier, images: np.ndarray, description: str) -> np.ndarray:
    """Predict with a progress bar: uint8 [N, 48, 48] to probabilities float32 [N, 7]."""
    steps = []
    with tqdm(total=len(images), desc=description, unit="face", disable=None) as progress:
        for start in range(0, len(images), STEP):
            steps.append(classifier.predict(images[start : start + STEP]))
            progress.update(len(steps[-1]))
    return np.concatenate(steps)
