"""Evaluate the exported model on both test splits: `python -m stages.evaluate DATASET`.

Reads `data/D/faces.npz`, `models/D/model.onnx`, `models/D/float32.onnx` and the metrics of the
stages before; writes `metrics/D/evaluation.json`, `metrics/D/intervals.json` (95 % confidence
intervals), `metrics/D/headline.json` (what DVC compares), `metrics/D/predictions.csv` (one row per
face), `metrics/D/plots/` (of PrivateTest) and the model card `models/D/README.md`. One prediction
per face, by `recognizer` and without test-time augmentation, as it is served.

With MLFLOW_TRACKING_URI set, the results are logged to MLflow.
"""

from stages.command_line import check_parameters, run

if __name__ == "__main__":
    check_parameters()  # before the following imports, which take seconds

import json
import logging
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pandas as pd

from recognizer.atomic_file import write_atomically, written_atomically
from recognizer.classifier import Classifier
from stages.artifacts import Artifacts, write_metrics
from stages.dataset.faces import SPLITS, Faces
from stages.errors import UserError
from stages.evaluation.ablations import metrics_without_calibration, metrics_without_quantization
from stages.evaluation.metrics import bootstrap_intervals, classification_metrics, headline
from stages.evaluation.model_card import Metrics, model_card
from stages.evaluation.occlusion_sensitivity import sensitivity_pictures
from stages.evaluation.plots import mistakes_picture, plot_tables
from stages.evaluation.prediction import open_model, predict, prediction_table
from stages.evaluation.robustness import mean_accuracies, robustness_table
from stages.parameters import Int8, Parameters
from stages.teachers import read_pretraining, read_teacher_metrics
from stages.tracking import Tracker, destination

log = logging.getLogger(__name__)


def main(dataset: str, parameters: Parameters) -> None:
    """Evaluate one dataset's model and write its model card."""
    paths, settings = Artifacts(dataset), parameters.evaluate
    model, float32 = paths.models / "model.onnx", paths.models / "float32.onnx"
    emotions = Faces.read(paths.data / "faces.npz").emotions
    classifier = open_model(model, emotions)
    unquantized = open_model(float32, emotions) if isinstance(parameters.export, Int8) else None
    evaluation: dict[str, Any] = {
        "model": {"version": classifier.version[:12], "bytes": model.stat().st_size}
    }
    intervals, tables = {}, []
    for name in SPLITS[1:]:
        split = read_split(paths.data / "faces.npz", name)
        labels, probabilities = split.labels, predict(classifier, split.images, name)
        tables.append(prediction_table(split, probabilities))
        metrics = classification_metrics(labels, probabilities, split.copy_in_training, emotions)
        metrics["uncalibrated"] = metrics_without_calibration(onnx.load(model), split)
        if unquantized:
            metrics["float32"] = {
                "bytes": float32.stat().st_size,
                **metrics_without_quantization(unquantized, split),
            }
        intervals[name] = bootstrap_intervals(
            labels, probabilities, emotions, settings.bootstrap, settings.seed
        )
        for metric in ("accuracy", "macro_f1"):
            metrics[f"{metric}_low"], metrics[f"{metric}_high"] = intervals[name][metric]
        evaluation[name] = metrics
        log.info(
            "%s: %d images, accuracy %.4f (95 %% %.4f … %.4f), macro-F1 %.4f",
            name,
            metrics["images"],
            metrics["accuracy"],
            metrics["accuracy_low"],
            metrics["accuracy_high"],
            metrics["macro_f1"],
        )
    # The last split is PrivateTest.
    write_plots(paths.plots, classifier, split, probabilities)
    robustness = robustness_table(classifier, split.images, labels, settings.seed)
    write_table(paths.plots / "robustness.csv", robustness)
    evaluation["robustness"] = mean_accuracies(robustness)
    write_table(paths.metrics / "predictions.csv", pd.concat(tables))
    write_metrics(paths.metrics / "intervals.json", intervals)
    write_metrics(paths.metrics / "evaluation.json", evaluation)
    written = read_metrics(dataset, parameters)
    write_metrics(
        paths.metrics / "headline.json",
        headline(*(written.evaluation[name] for name in SPLITS[1:])),
    )
    write_atomically(paths.models / "README.md", model_card(dataset, parameters, written))
    tracker = Tracker(dataset, destination(os.environ))
    tracker.log_evaluation(parameters.model_dump(mode="json", by_alias=True))


def read_split(path: Path, name: str) -> Faces:
    """Read one split of faces.npz.

    Raises
    ------
    UserError
        The file is missing, a class has no image in the split (its recall would be undefined),
        or every image of the split is a train–test duplicate.
    """
    split = Faces.read(path).of_split(name)
    counts = np.bincount(split.labels, minlength=len(split.emotions))
    missing = [name for name, count in zip(split.emotions, counts, strict=True) if count == 0]
    if missing:
        raise UserError(
            f"{path}: {name} has no image of {', '.join(missing)}, so their recall is undefined; "
            "every emotion needs at least one image in every split: add rows to the dataset"
        )
    if split.copy_in_training.all():
        raise UserError(
            f"{path}: every image of {name} is also in Training, so none is left to measure the "
            "accuracy without train–test duplicates; check how the dataset was split"
        )
    return split


def write_plots(
    folder: Path, classifier: Classifier, split: Faces, probabilities: np.ndarray
) -> None:
    """Write the tables and pictures of one split."""
    for name, table in plot_tables(split.labels, probabilities, split.emotions).items():
        write_table(folder / f"{name}.csv", table)
    mistakes = mistakes_picture(split.images, split.labels, probabilities, split.emotions)
    write_picture(folder / "mistakes.png", mistakes)
    means, faces = sensitivity_pictures(classifier, split, probabilities)
    write_picture(folder / "sensitivity.png", means)
    write_picture(folder / "sensitivity_faces.png", faces)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file that diffs well: numbers with 4 decimals."""
    with written_atomically(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f", lineterminator="\n")


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a PNG of uint8 [H, W] (grey) or [H, W, 3] (BGR)."""
    # imwrite returns False where the disk is full; write_atomically raises an error.
    _, png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    write_atomically(path, png.tobytes())


def read_metrics(dataset: str, parameters: Parameters) -> Metrics:
    """Read what the headline and the model card show: the files of metrics/D and of the teachers.

    Both have the numbers of these files, rounded as they are, and not those in memory.

    Raises
    ------
    UserError
        A file of an earlier stage, or the metrics of a teacher, are missing.
    """
    paths = Artifacts(dataset)
    files = ("validation", "balance", "training", "evaluation", "intervals")
    emotions = tuple(pd.read_csv(paths.plots / "per_class.csv")["emotion"])
    confusion = pd.read_csv(paths.plots / "confusion.csv")
    return Metrics(
        **{name: _read_json(paths.metrics / f"{name}.json") for name in files},
        teachers=read_teacher_metrics(parameters),
        pretrained_on=read_pretraining(parameters),
        emotions=emotions,
        robustness=pd.read_csv(paths.plots / "robustness.csv"),
        labels=confusion["actual_index"].to_numpy(copy=True),
        predicted=confusion["predicted_index"].to_numpy(copy=True),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run `dvc repro`, which makes it first") from None


if __name__ == "__main__":
    run(main, "Evaluate the exported model of one dataset on its test splits.")
