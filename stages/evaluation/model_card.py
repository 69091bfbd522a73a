"""The model card: data, recipe, metrics, limits and uses of one model file, as Markdown.

After Mitchell et al., Model Cards for Model Reporting, 2019. All numbers come from the metrics and
parameters; the fixed sentences hold for any dataset of faces and labels.
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from stages.dataset.faces import SPLITS
from stages.evaluation.markdown_table import markdown_table
from stages.parameters import (
    Application,
    FerPlusSource,
    Fetch,
    FolderSource,
    KaggleSource,
    NamedLabels,
    Network,
    Parameters,
    SampleSource,
    SelfDistillation,
    TeacherDistillation,
    ViewDistillation,
)


@dataclass(frozen=True)
class Metrics:
    """What the card shows of one model: the JSON files of metrics/D, parsed, and more."""

    validation: dict[str, Any]
    balance: dict[str, Any]
    training: dict[str, Any]
    evaluation: dict[str, Any]
    intervals: dict[str, Any]
    teachers: dict[str, dict[str, Any]]
    """Metrics of each teacher that the parameters name, by the path of its file."""
    pretrained_on: str | None
    """What the weights that the training started from had learned from before."""
    emotions: tuple[str, ...]
    """Names of the labels 0 … C - 1."""
    robustness: pd.DataFrame
    """As `robustness_table` returns it."""
    labels: np.ndarray
    """int [N], labels of PrivateTest."""
    predicted: np.ndarray
    """int [N], predicted labels of PrivateTest."""


def model_card(dataset: str, parameters: Parameters, metrics: Metrics) -> str:
    """Write the card of models/D/model.onnx as Markdown."""
    sections = [
        f"# Facial expression recognition: the model `{dataset}`",
        _summary(dataset, parameters, metrics),
        "## Data",
        _data(parameters, metrics),
        "## Recipe",
        _recipe(dataset, parameters, metrics),
        "## Metrics",
        _metrics(parameters, metrics),
        "## Classes",
        _classes(dataset, metrics),
        "## Calibration and quantization",
        _export(parameters, metrics),
        "## Robustness",
        _robustness(metrics),
        "## Sensitivity",
        f"![Mean faces and occlusion maps](../../metrics/{dataset}/plots/sensitivity.png)",
        "Mean of the correctly classified faces of highest confidence per emotion. Red: covering "
        "this place lowers the probability of the emotion.",
        *_further_results(parameters),
        "## Uses and limits",
        USES,
    ]
    return "\n\n".join(sections) + "\n"


METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "min_recall": "lowest recall of a class",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "expected calibration error, 15 bins",
}
"""Key in evaluation.json and name of each metric that has a confidence interval."""

USES = """\
For sorting pictures of faces by the expression that most people would name: searching a \
collection, counting reactions to a film, studying the errors of such models. The metrics above \
show how often it is wrong.

It does not measure what a person feels: an expression is no proof of an emotion (Barrett et al. \
2019), and faces differ by age, culture, illness and habit in ways that the training data does not \
cover. Do not use it for decisions about people, as in hiring, schools, policing, insurance, \
medicine or border control. The European Union prohibits emotion recognition at work and in \
education (Regulation 2024/1689, article 5). The data does not record who is pictured, so the \
errors by group of people are unknown: measure them on your own faces before you rely on it."""


def _summary(dataset: str, parameters: Parameters, metrics: Metrics) -> str:
    return (
        f"`model.onnx`, version `{metrics.evaluation['model']['version']}`, "
        f"{_megabytes(metrics.evaluation['model'])}, {metrics.training['parameters']:,} "
        "parameters. Input: grey faces, uint8 [N, 48, 48]. Output: probabilities of "
        f"{', '.join(metrics.emotions)}, float32 [N, {len(metrics.emotions)}]. "
        "One forward pass, no test-time augmentation. "
        f"`python -m stages.evaluate {dataset}` writes this card from metrics and parameters."
    )


def _data(parameters: Parameters, metrics: Metrics) -> str:
    validation = metrics.validation
    rows, duplicates = validation["rows"], validation["duplicates"]["copies_in_training"]
    reasons = ", ".join(
        f"{count:,} `{name}`" for name, count in validation["rejected"].items() if count
    )
    table = markdown_table(
        ["images", *SPLITS, "Training, balanced"],
        [
            [
                emotion,
                *(f"{validation['kept'][split][emotion]:,}" for split in SPLITS),
                f"{metrics.balance['after'][emotion]:,}",
            ]
            for emotion in metrics.emotions
        ],
    )
    return (
        f"{_origin(parameters.fetch)} {rows['read']:,} rows were read and {rows['rejected']:,} "
        f"rejected{f' ({reasons})' if reasons else ''}. Train–test duplicates: "
        f"{duplicates['PublicTest']:,} images of PublicTest and {duplicates['PrivateTest']:,} of "
        "PrivateTest were in Training too, and were removed from Training. "
        f"{_drawn(parameters.fetch, validation)}"
        + _initial_weights(parameters, metrics)
        + _corrections(parameters, validation)
        + f"\n\n{table}"
    )


def _corrections(parameters: Parameters, validation: dict[str, Any]) -> str:
    if "corrected" not in validation:
        return ""
    return (
        f" A person has corrected the predicted emotion of {validation['corrected']['Training']:,} "
        "faces of Training; each has the weight "
        f"{parameters.train.corrected_weight:g} in the loss, the others 1."
    )


def _origin(fetch: Fetch) -> str:
    match fetch:
        case SampleSource():
            return "Rendered faces: they test the pipeline and are no evidence about real faces."
        case KaggleSource(handle=handle):
            return f"FER-2013's images and labels, as in `{handle}`, or a copy of the same rows."
        case FerPlusSource(handle=handle, targets=targets):
            return (
                f"FER-2013's images, as in `{handle}` or a copy of the same rows, with the labels "
                "of FER+ (Barsoum et al. 2016): ten people voted on each face. In both test splits "
                "the label is the emotion with more than half of the votes, after single votes "
                "are left out; other rows are rejected, as are those of no face. "
                + (
                    "In Training, the targets are the shares of the votes."
                    if targets == "votes"
                    else "The same holds for Training."
                )
            )
        case FolderSource(path=path):
            return f"Images in the folder `{path}`."
        case _:
            return f"The file `{fetch.path}`."


def _drawn(fetch: Fetch, validation: dict[str, Any]) -> str:
    """Which splits the source did not have."""
    if not any(validation.get("drawn", {}).values()) or not isinstance(fetch, NamedLabels):
        return ""
    drawn = " and ".join(
        f"{validation['drawn'][split]:,} of {split}"
        for split in SPLITS
        if validation["drawn"].get(split)
    )
    person = " and grouped by person" if fetch.draw.person else ""
    return (
        f"The source has not all splits: {drawn} were drawn from its other images, stratified by "
        f"emotion{person}, with seed {fetch.draw.seed}. "
    )


def _initial_weights(parameters: Parameters, metrics: Metrics) -> str:
    train = parameters.train
    if train.init:
        initial = metrics.training["initial_weights"]
        frozen = f"; the first {train.init.freeze} groups of layers kept theirs" * (
            train.init.freeze > 0
        )
        return (
            f"Training started from the weights of `{initial['file']}` (SHA-256 "
            f"`{initial['sha256'][:12]}`) with {'their' if train.init.keep_head else 'a new'}"
            f" head{frozen}."
            + f" A network that taught them was pretrained on {metrics.pretrained_on}."
            * (metrics.pretrained_on is not None)
        )
    if isinstance(train.network, Application) and train.network.weights:
        return f"Training started from weights pretrained on {train.network.weights}."
    return "No other images and no pretrained weights were used."


def _recipe(dataset: str, parameters: Parameters, metrics: Metrics) -> str:
    balance, train, training = parameters.balance, parameters.train, metrics.training
    sizes = ", then ".join(
        f"{resolution.size}×{resolution.size}" for resolution in train.resolutions
    )
    settings = [
        f"balancing `{balance.strategy}`"
        + (f" to {balance.target} of the largest class" if balance.strategy != "none" else ""),
        f"network `{_network(train.network)}`, faces scaled to {sizes} pixels",
        f"{training['epochs']} epochs of {training['images']:,} images, optimizer "
        f"`{train.optimizer.name}`, schedule `{train.schedule.name}`, loss `{train.loss.name}`; "
        f"weights of epoch {training['best_epoch']}, "
        + (
            "the last"
            if train.selection.monitor == "epoch"
            else f"the best on PublicTest by `{train.selection.monitor}`"
        ),
    ]
    match train.distillation:
        case SelfDistillation(share=share):
            settings.append(f"self-distillation: up to {share:.0%} of each target")
        case TeacherDistillation(share=share):
            settings.append(f"distillation: {share:.0%} of each target is the teachers' prediction")
        case ViewDistillation(share=share, views=views, votes=votes):
            settings.append(
                f"distillation: {share:.0%} of each target is the teachers' prediction for the"
                f" augmented face, in {views} views of each"
            )
            if votes:
                settings.append(
                    f"votes: {(1 - share) * votes.share:.0%} of each target is the label as a"
                    " regression predicts it from the votes of ten people on the face (FER+,"
                    " Barsoum et al. 2016, MIT licence; those on Training alone)"
                )
    return (
        f"All settings are in [`params/{dataset}.yaml`](../../params/{dataset}.yaml): a commit "
        "holds this card, the model and their parameters together. The main ones:\n\n"
        + "\n".join(f"- {setting}" for setting in settings)
        + _teachers(parameters, metrics)
    )


def _network(network: Network) -> str:
    return network.model if isinstance(network, Application) else network.name


def _teachers(parameters: Parameters, metrics: Metrics) -> str:
    if not metrics.teachers:
        return ""
    rows = [
        [
            PurePath(file).stem,
            f"{of_teacher['parameters']:,}",
            f"{of_teacher['accuracy']:.3f}",
            f"{of_teacher['macro_f1']:.3f}",
        ]
        for file, of_teacher in metrics.teachers.items()
    ]
    return (
        "\n\nTeachers (`experiments/teachers`), with metrics on PublicTest:\n\n"
        + markdown_table(["teacher", "parameters", "accuracy", "macro-F1"], rows)
    )


def _metrics(parameters: Parameters, metrics: Metrics) -> str:
    targets = {str(key): target for key, target in parameters.evaluate.targets.items()}
    private = metrics.evaluation["PrivateTest"]
    rows = []
    for key, name in METRICS.items():
        target, missed = "", ""
        if key in targets:
            gap = (private[key] - targets[key]) * (1 if key == "ece" else -1)
            target, missed = f"{targets[key]:.3f}", f"{gap:.3f}" if gap > 0 else "–"
        cells = [_with_interval(metrics, split, key) for split in SPLITS[1:]]
        rows.append([name, *cells, target, missed])
    without_interval = {
        "accuracy_deduplicated": "accuracy without train–test duplicates",
        "accuracy_answering_80": "accuracy at 80 % coverage",
    }
    for key, name in without_interval.items():
        rows.append(
            [name, *(f"{metrics.evaluation[split][key]:.3f}" for split in SPLITS[1:]), "", ""]
        )
    return (
        "All choices were made on PublicTest; PrivateTest is read by `evaluate` alone. In "
        "brackets: 95 % bootstrap confidence intervals. Targets were set before training, for "
        "PrivateTest. Coverage: selective prediction on the most confident 80 %; "
        "`plots/abstention.csv` has the accuracy at every coverage.\n\n"
        + markdown_table(["", *SPLITS[1:], "target", "missed by"], rows)
    )


def _with_interval(metrics: Metrics, split: str, key: str) -> str:
    group, _, emotion = key.partition(".")
    value = metrics.evaluation[split][group]
    low, high = metrics.intervals[split][key]
    return f"{value[emotion] if emotion else value:.3f} ({low:.3f} – {high:.3f})"


def _classes(dataset: str, metrics: Metrics) -> str:
    counts = confusion_matrix(
        metrics.labels, metrics.predicted, labels=range(len(metrics.emotions))
    )
    rows = [
        [
            emotion,
            *(
                _with_interval(metrics, "PrivateTest", f"{key}.{emotion}")
                for key in ("recall", "f1")
            ),
            *row,
        ]
        for emotion, row in zip(metrics.emotions, counts, strict=True)
    ]
    return (
        "On PrivateTest: recall and F1 of each label, and how many of its images are predicted as "
        f"each class. Those of PublicTest are in `metrics/{dataset}/intervals.json`.\n\n"
        + markdown_table(["label", "recall", "F1", *metrics.emotions], rows)
    )


def _export(parameters: Parameters, metrics: Metrics) -> str:
    private = metrics.evaluation["PrivateTest"]
    floor = parameters.export.recall_floor
    text = "Calibration, on PublicTest: a scale and a bias per class (vector scaling)"
    if floor:
        text += f"; then the weakest class's bias is raised until each recall is at least {floor}"
    text += ". "
    headers, ablations = ["on PrivateTest", "without calibration"], [private["uncalibrated"]]
    if "float32" in private:
        text += (
            "Quantization: the convolutions after the first compute in 8 bits; `float32.onnx` in "
            "DVC's cache is the file without it. "
        )
        headers.append("without quantization")
        ablations.append(private["float32"])
    rows = [
        [name, *(f"{one[key]:.4f}" if key in one else "" for one in (*ablations, private))]
        for key, name in METRICS.items()
        if key in private["uncalibrated"]
    ]
    sizes = [_megabytes(one) if "bytes" in one else "" for one in ablations]
    rows.append(["size", *sizes, _megabytes(metrics.evaluation["model"])])
    return text.strip() + "\n\n" + markdown_table([*headers, "served"], rows)


def _megabytes(file: dict[str, Any]) -> str:
    return f"{file['bytes'] / 1e6:.2f} MB"


def _robustness(metrics: Metrics) -> str:
    table = metrics.robustness.set_index("severity")
    means = metrics.evaluation["robustness"]
    rows = [
        [name, *(f"{accuracy:.3f}" for accuracy in [*table[name], means[name]])]
        for name in table.columns
    ]
    return (
        "Accuracy on PrivateTest by corruption and severity, as "
        "[`robustness.py`](../../stages/evaluation/robustness.py) defines them:\n\n"
        + markdown_table(
            ["severity", "0 (clean)", *map(str, table.index[1:]), "mean of 1 … 5"], rows
        )
    )


def _further_results(parameters: Parameters) -> list[str]:
    """Links to what is measured outside of the pipeline; FER-2013 alone has such results."""
    if not isinstance(parameters.fetch, KaggleSource):
        return []
    return [
        "## Further results",
        "\n".join(
            [
                "- [Votes of ten people](../../benchmarks/ferplus.md): agreement of FER+ votes and "
                "of this model with FER-2013's labels, and the limit that label noise sets.",
                "- [Experiments](../../experiments/README.md): networks, optimizers and balancing "
                "strategies compared with the same budget of epochs.",
                "- [Comparison](../../benchmarks/comparison.md) with other packages: accuracy, "
                "time and memory.",
                "- [Detection](../../benchmarks/detection.md): accuracy in scenes, after detection "
                "and alignment.",
            ]
        ),
    ]
