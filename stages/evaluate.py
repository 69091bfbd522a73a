"""Measure the exported model on both test splits, the way it is served.

    python -m stages.evaluate DATASET

`data/D/faces.npz`, `models/D/model.onnx` and `float32.onnx` become `metrics/D/evaluation.json`,
`metrics/D/intervals.json` (95 % intervals of every figure), `metrics/D/plots/` and the model
card `models/D/README.md`. Each face is judged once, without test-time augmentation. The plots
show PrivateTest.
"""

import json
import logging
import os
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
from scipy.special import softmax
from tqdm import tqdm

from recognizer.atomic_file import written_atomically
from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from stages.artifacts import Artifacts, write_metrics
from stages.command_line import run
from stages.dataset.faces import EMOTIONS, Faces
from stages.errors import UserError
from stages.evaluation import occlusion_sensitivity, plots
from stages.evaluation.metrics import bootstrap_intervals, classification_figures
from stages.evaluation.model_card import Measured, model_card
from stages.evaluation.robustness import robustness_table
from stages.onnx_graph.logits import predict_logits
from stages.parameters import Int8, Parameters
from stages.teachers import read_teacher_metrics

STEP = 256
"""Faces between two movements of the progress bar."""

log = logging.getLogger(__name__)


def read_split(path: Path, name: str) -> Faces:
    """Read one split of faces.npz.

    Raises
    ------
    UserError
        The file is missing, or the split lacks an emotion (whose recall would be undefined)
        or consists of copies of training images alone.
    """
    split = Faces.read(path).of_split(name)
    counts = np.bincount(split.labels, minlength=len(EMOTIONS))
    missing = [emotion for emotion, count in zip(EMOTIONS, counts, strict=True) if count == 0]
    if missing:
        raise UserError(
            f"{path}: {name} has no image of {', '.join(missing)}, so their recall is undefined; "
            "every emotion needs at least one image in every split: add rows to the dataset"
        )
    if split.copy_in_training.all():
        raise UserError(
            f"{path}: every image of {name} also stands in Training, so nothing unseen is left "
            "to measure; check how the dataset was split"
        )
    return split


def open_model(path: Path) -> Classifier:
    """Load the model and check that its classes are the dataset's, in the same order."""
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
    """Probabilities float32 [N, 7] of uint8 [N, 48, 48] faces, under a progress bar."""
    steps = []
    with tqdm(total=len(images), desc=description, unit="face", disable=None) as progress:
        for start in range(0, len(images), STEP):
            steps.append(classifier.predict(images[start : start + STEP]))
            progress.update(len(steps[-1]))
    return np.concatenate(steps)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file that diffs well: numbers with 4 decimals."""
    with written_atomically(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f", lineterminator="\n")


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 [H, W] grey or [H, W, 3] blue, green, red, as small as PNG gets."""
    with written_atomically(path) as temporary:
        # imencode and not imwrite, which would answer a full disk with a mere False.
        _, png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        temporary.write_bytes(png)


def write_plots(folder: Path, split: Faces, probabilities: np.ndarray) -> None:
    """Write every plot of one split."""
    labels = split.labels
    tables = {
        "confusion": plots.confusion_table(labels, probabilities, EMOTIONS),
        "per_class": plots.per_class_table(labels, probabilities, EMOTIONS),
        "reliability": plots.reliability_table(labels, probabilities),
        "roc": plots.roc_table(labels, probabilities, EMOTIONS),
        "precision_recall": plots.precision_recall_table(labels, probabilities, EMOTIONS),
        "abstention": plots.abstention_table(labels, probabilities),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    picture = plots.mistakes_picture(split.images, labels, probabilities, EMOTIONS)
    write_picture(folder / "mistakes.png", picture)


def main(dataset: str, parameters: Parameters) -> None:
    paths = Artifacts(dataset)
    model = paths.models / "model.onnx"
    classifier = open_model(model)
    metrics: dict = {"model": {"version": classifier.version[:12], "bytes": model.stat().st_size}}
    intervals: dict = {}
    for name in ("PublicTest", "PrivateTest"):
        split = read_split(paths.data / "faces.npz", name)
        probabilities = predict(classifier, split.images, name)
        metrics[name] = classification_figures(
            split.labels, probabilities, split.copy_in_training, EMOTIONS
        )
        metrics[name]["uncalibrated"] = _figures_before_calibration(model, split)
        if isinstance(parameters.export, Int8):
            metrics[name]["float32"] = _figures_before_quantization(paths.models, split)
        intervals[name] = bootstrap_intervals(
            split.labels,
            probabilities,
            EMOTIONS,
            parameters.evaluate.bootstrap,
            parameters.evaluate.seed,
        )
        for figure in ("accuracy", "macro_f1"):
            low, high = intervals[name][figure]
            metrics[name] |= {f"{figure}_low": low, f"{figure}_high": high}
        log.info(
            "%s: %d images, accuracy %.4f (95 %% %.4f … %.4f), macro-F1 %.4f",
            name,
            len(split.labels),
            metrics[name]["accuracy"],
            *intervals[name]["accuracy"],
            metrics[name]["macro_f1"],
        )
    write_plots(paths.plots, split, probabilities)
    means, faces = occlusion_sensitivity.sensitivity_pictures(
        classifier, split.images, split.labels, probabilities
    )
    write_picture(paths.plots / "sensitivity.png", means)
    write_picture(paths.plots / "sensitivity_faces.png", faces)
    robustness = robustness_table(classifier, split.images, split.labels, parameters.evaluate.seed)
    write_table(paths.plots / "robustness.csv", robustness)
    means = robustness.drop(columns="strength").loc[1:].mean()
    metrics["robustness"] = {"mean": means.mean(), **means}
    write_metrics(paths.metrics / "intervals.json", intervals)
    write_metrics(paths.metrics / "evaluation.json", metrics)
    # Read back, because the card is to agree with the files to the last digit.
    files = ("validation", "balance", "training", "evaluation", "intervals")
    measured = Measured(
        **{name: json.loads((paths.metrics / f"{name}.json").read_text()) for name in files},
        teachers=read_teacher_metrics(parameters),
        robustness=pd.read_csv(paths.plots / "robustness.csv"),
        labels=split.labels,
        predicted=probabilities.argmax(axis=1),
    )
    with written_atomically(paths.models / "README.md") as temporary:
        temporary.write_text(model_card(dataset, parameters, measured))


def _figures_before_calibration(model: Path, split: Faces) -> dict[str, float]:
    """Those figures that calibration changes."""
    probabilities = softmax(predict_logits(onnx.load(model), split.images), axis=1)
    figures = classification_figures(split.labels, probabilities, split.copy_in_training, EMOTIONS)
    names = ("accuracy", "macro_f1", "min_recall", "log_loss", "brier", "ece")
    return {name: figures[name] for name in names}


def _figures_before_quantization(models: Path, split: Faces) -> dict[str, float]:
    """What the same network says where it computes in 32 bits."""
    path = models / "float32.onnx"
    probabilities = predict(open_model(path), split.images, path.name)
    figures = classification_figures(split.labels, probabilities, split.copy_in_training, EMOTIONS)
    return {
        "bytes": path.stat().st_size,
        **{name: figures[name] for name in ("accuracy", "macro_f1", "log_loss")},
    }


if __name__ == "__main__":
    run(main, "Measure the exported model of one dataset on its test splits.")
