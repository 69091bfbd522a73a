"""Predictions of an exported model for the faces of a dataset."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from stages.dataset.faces import SPLITS, Faces
from stages.errors import UserError

STEP = 256
"""Faces between two updates of the progress bar."""


def open_model(path: Path, emotions: tuple[str, ...]) -> Classifier:
    """Load a model of the export stage.

    Raises
    ------
    UserError
        The file is missing or damaged, or its labels are not these emotions in this order.
    """
    try:
        classifier = Classifier(path, threads=os.cpu_count() or 1)
    except ModelError as error:
        raise UserError(f"{error}; run `dvc repro` or the export stage of this dataset") from None
    if tuple(classifier.labels) != emotions:
        raise UserError(
            f"{path}: the model's labels are {', '.join(classifier.labels)}, expected "
            f"{', '.join(emotions)}; export it again from this dataset"
        )
    return classifier


def predict(classifier: Classifier, images: np.ndarray, description: str) -> np.ndarray:
    """Predict with a progress bar: uint8 [N, 48, 48] to probabilities float32 [N, C]."""
    steps = []
    with tqdm(total=len(images), desc=description, unit="face", disable=None) as progress:
        for start in range(0, len(images), STEP):
            steps.append(classifier.predict(images[start : start + STEP]))
            progress.update(len(steps[-1]))
    return np.concatenate(steps)


def prediction_table(split: Faces, probabilities: np.ndarray) -> pd.DataFrame:
    """One row per face of a test split, so that two models can be compared face by face.

    Parameters
    ----------
    probabilities : float [N, C]
        Of the faces in `split`; each row sums to 1.

    Returns
    -------
    DataFrame
        `split` (name), `row` (line of raw.csv; the header is line 1), `label` and `predicted`
        (names), `confidence` (probability of the predicted class, 0 … 1). No pixels.
    """
    names = np.array(split.emotions)
    return pd.DataFrame(
        {
            "split": np.array(SPLITS)[split.split],
            "row": split.row,
            "label": names[split.labels],
            "predicted": names[probabilities.argmax(axis=1)],
            "confidence": probabilities.max(axis=1),
        }
    )
