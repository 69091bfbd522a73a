"""The model card: what a model file is made of, what it is worth and what it is not for.

Every figure in it comes from the metrics and parameters that it is given; the words around
them hold for any dataset of faces with these seven labels. After Mitchell et al., Model Cards
for Model Reporting, 2019.
"""

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import pandas as pd
import yaml
from sklearn.metrics import confusion_matrix
from tabulate import tabulate

from stages.dataset.faces import EMOTIONS, SPLITS
from stages.parameters import (
    Fetch,
    FolderSource,
    KaggleSource,
    Parameters,
    SampleSource,
    TeacherDistillation,
)


@dataclass(frozen=True)
class Measured:
    """The figures of one model: the content of the JSON files in metrics/D.

    `evaluation` and `intervals` are evaluate's; `validation`, `balance` and `training` are their
    stages'; `teachers` has the metrics of each file that the parameters name, by its path.
    `robustness` is a table as `robustness_table` makes it; `labels` and `predicted`, both int
    [N], are of PrivateTest.
    """

    validation: dict
    balance: dict
    teachers: dict[str, dict]
    training: dict
    evaluation: dict
    intervals: dict
    robustness: pd.DataFrame
    labels: np.ndarray
    predicted: np.ndarray


def model_card(dataset: str, parameters: Parameters, measured: Measured) -> str:
    """Write the card of models/D/model.onnx as Markdown."""
    model = measured.evaluation["model"]
    return (
        "\n\n".join(
            [
                f"# The emotion of a face: the model of `{dataset}`",
                f"`model.onnx`, version `{model['version']}`, {_megabytes(measured)}, "
                f"{served_parameters(parameters, measured.training, measured.teachers):,} "
                f"parameters{_members(parameters)}. In: grey faces, "
                "uint8 [N, 48, 48]. Out: probabilities of "
                + ", ".join(EMOTIONS)
                + ", float32 [N, 7]. One forward pass, "
                "no test-time augmentation. This page is written by `python -m stages.evaluate "
                f"{dataset}`; nothing in it is typed.",
                "## Data",
                _data(parameters, measured),
                "## Recipe",
                _recipe(parameters, measured),
                "## Figures",
                _figures(measured),
                "## Aims",
                _aims(parameters, measured),
                "## Confusion",
                _confusion(measured),
                "## Calibration",
                _calibration(parameters, measured),
                *_quantization(parameters, measured),
                "## Abstention",
                _abstention(measured),
                "## Robustness",
                _robustness(measured),
                "## What it looks at",
                f"![Mean faces, and where covering them costs the answer]"
                f"(../../metrics/{dataset}/plots/sensitivity.png)",
                "Mean of the faces of each emotion that the model gets right and is surest of, and "
                "where the probability falls when a patch is covered (red).",
                *_beyond(parameters),
                "## What it is for, and what not",
                USES,
            ]
        )
        + "\n"
    )


def served_parameters(parameters: Parameters, training: dict, teachers: dict[str, dict]) -> int:
    """Parameters of all networks in the file, by the metrics of train and of the teachers."""
    others = [teachers[str(teacher.file)]["parameters"] for teacher in parameters.export.ensemble]
    return training["parameters"] + sum(others)


USES = """\
It sorts pictures of faces by the expression that people would put on a label: to search a
collection, to count reactions to a film, to study how such models err. The intervals above say how
often it is wrong.

It does not know what anyone feels. An expression is neither proof of an emotion nor of a thought
(Barrett et al. 2019), and faces differ by age, culture, illness and habit in ways that the training
data does not show. Do not decide about people with it: not in hiring, schools, policing, insurance,
medicine or at borders. In the European Union, reading emotions at work and in education is
forbidden (Regulation 2024/1689, article 5). The data has no record of who is pictured, so nothing
is known of how the errors fall on groups of people; measure it on your own faces before you rely
on it."""


FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "min_recall": "lowest recall of a class",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "expected calibration error, 15 bins",
}


def _members(parameters: Parameters) -> str:
    if not parameters.export.ensemble:
        return ""
    return f" in an ensemble of {len(parameters.export.ensemble) + 1} networks (mean of logits)"


def _data(parameters: Parameters, measured: Measured) -> str:
    validation = measured.validation
    rows, twins = validation["rows"], validation["duplicates"]["copies_in_training"]
    reasons = ", ".join(
        f"{count:,} {name.replace('_', ' ')}"
        for name, count in validation["rejected"].items()
        if count
    )
    pretrained = getattr(parameters.train.network, "weights", None)
    return "\n\n".join(
        [
            f"{_origin(parameters.fetch)} {rows['read']:,} rows were read and "
            f"{rows['rejected']:,} rejected{f' ({reasons})' if reasons else ''}. Of the test "
            f"images, {twins['PublicTest']:,} in PublicTest and {twins['PrivateTest']:,} in "
            "PrivateTest stood in Training too; those copies were taken out of Training. "
            + (
                f"Training began with weights from {pretrained}."
                if pretrained
                else "Neither other images nor pretrained weights were used."
            ),
            _table(
                [
                    [emotion]
                    + [f"{validation['kept'][split][emotion]:,}" for split in SPLITS]
                    + [f"{measured.balance['after'][emotion]:,}"]
                    for emotion in EMOTIONS
                ],
                ["images", *SPLITS, "Training, balanced"],
            ),
        ]
    )


def _origin(fetch: Fetch) -> str:
    match fetch:
        case SampleSource():
            return "Rendered faces, which prove the pipeline and say nothing about people."
        case KaggleSource(handle=handle):
            return f"FER-2013's images and labels, as in `{handle}`, or a copy of the same rows."
        case FolderSource(path=path):
            return f"Images in the folder `{path}`."
        case _:
            return f"The file `{fetch.path}`."


def _recipe(parameters: Parameters, measured: Measured) -> str:
    training = measured.training
    sections = {
        "balance": parameters.balance.model_dump(exclude={"augmentation"}),
        "train": parameters.train.model_dump(),
        "export": parameters.export.model_dump(),
    }
    settings = yaml.safe_dump(sections, sort_keys=False, default_flow_style=None, width=100)
    return (
        f"{training['epochs']} epochs of {training['images']:,} images; the weights are those of "
        f"epoch {training['best_epoch']}, the best on PublicTest."
        f"{_teachers(parameters, measured)}\n\n```yaml\n{settings}```"
    )


def _teachers(parameters: Parameters, measured: Measured) -> str:
    if not measured.teachers:
        return ""
    learning = ""
    if isinstance(parameters.train.distillation, TeacherDistillation):
        share = parameters.train.distillation.share
        learning = f" {share:.0%} of each target are the mean probabilities of teachers."
    served = {str(teacher.file) for teacher in parameters.export.ensemble}
    rows = [
        [
            PurePath(file).stem,
            f"{metrics['parameters']:,}",
            f"{metrics['accuracy']:.3f}",
            f"{metrics['macro_f1']:.3f}",
            "yes" if file in served else "",
        ]
        for file, metrics in measured.teachers.items()
    ]
    return (
        f"{learning} Networks of `experiments/teachers` that took part, with their metrics on "
        "PublicTest:\n\n"
        + _table(rows, ["teacher", "parameters", "accuracy", "macro-F1", "in the file"])
    )


def _figures(measured: Measured) -> str:
    names = dict(FIGURES)
    for measure in ("recall", "f1"):
        names |= {f"{measure}.{emotion}": f"{measure} of {emotion}" for emotion in EMOTIONS}
    rows = [
        [name, *(_cell(measured, split, key) for split in SPLITS[1:])]
        for key, name in names.items()
    ]
    unseen = [f"{measured.evaluation[split]['accuracy_deduplicated']:.3f}" for split in SPLITS[1:]]
    rows.insert(1, ["accuracy without copies of Training images", *unseen])
    return (
        "Everything was chosen on PublicTest; only `evaluate` opens PrivateTest. In brackets: "
        "95 % bootstrap intervals.\n\n" + _table(rows, ["", *SPLITS[1:]])
    )


def _aims(parameters: Parameters, measured: Measured) -> str:
    private = measured.evaluation["PrivateTest"]
    rows = []
    for figure, aim in parameters.evaluate.targets.items():
        gap = private[figure] - aim if figure == "ece" else aim - private[figure]
        missed = f"{gap:.3f}" if gap > 0 else "–"
        rows.append([FIGURES[figure], f"{aim:.3f}", f"{private[figure]:.3f}", missed])
    return "Set before it was trained, for PrivateTest:\n\n" + _table(
        rows, ["", "aim", "reached", "missed by"]
    )


def _cell(measured: Measured, split: str, key: str) -> str:
    group, _, emotion = key.partition(".")
    value = measured.evaluation[split][group]
    low, high = measured.intervals[split][key]
    return f"{value[emotion] if emotion else value:.3f} ({low:.3f} – {high:.3f})"


def _confusion(measured: Measured) -> str:
    counts = confusion_matrix(measured.labels, measured.predicted, labels=range(len(EMOTIONS)))
    rows = [[emotion, *row] for emotion, row in zip(EMOTIONS, counts, strict=True)]
    return "PrivateTest: rows are labels, columns answers.\n\n" + _table(rows, ["", *EMOTIONS])


def _calibration(parameters: Parameters, measured: Measured) -> str:
    private = measured.evaluation["PrivateTest"]
    names = {
        "ece": "ECE",
        "log_loss": "log loss",
        "brier": "Brier score",
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "min_recall": "lowest recall of a class",
    }
    rows = [
        [name, f"{private['uncalibrated'][key]:.4f}", f"{private[key]:.4f}"]
        for key, name in names.items()
    ]
    floor = parameters.export.recall_floor
    raised = (
        " Then the biases of the classes with the lowest recall were raised until each had at "
        f"least {floor} on PublicTest."
        if floor
        else ""
    )
    return (
        "Each class's logit has a scale and a bias, fitted on PublicTest (vector scaling)."
        f"{raised} On PrivateTest:\n\n" + _table(rows, ["", "before", "after"])
    )


def _quantization(parameters: Parameters, measured: Measured) -> list[str]:
    public, private = (measured.evaluation[split] for split in SPLITS[1:])
    if "float32" not in private:
        return []
    rows = [
        ["size", f"{private['float32']['bytes'] / 1e6:.2f} MB", _megabytes(measured), ""],
        *(
            [
                f"{name} on {split}",
                f"{figures['float32'][key]:.4f}",
                f"{figures[key]:.4f}",
                f"{100 * (figures[key] - figures['float32'][key]):+.2f}",
            ]
            for split, figures in (("PublicTest", public), ("PrivateTest", private))
            for key, name in (("accuracy", "accuracy"), ("macro_f1", "macro-F1"))
        ),
    ]
    beside = " beside the same others" if parameters.export.ensemble else ""
    return [
        "## Quantisation",
        f"The convolutions compute in eight bits. The same network in 32 bits{beside}, calibrated "
        "in the same way, is `float32.onnx` in DVC's cache.\n\n"
        + _table(rows, ["", "float32", "int8, served", "points"]),
    ]


def _megabytes(measured: Measured) -> str:
    return f"{measured.evaluation['model']['bytes'] / 1e6:.2f} MB"


def _abstention(measured: Measured) -> str:
    private = measured.evaluation["PrivateTest"]
    return (
        "Where it may decline the fifth of PrivateTest's faces of which it is least sure, "
        f"{private['accuracy_answering_80']:.3f} of the other answers are right, against "
        f"{private['accuracy']:.3f} of all. The whole curve is in `plots/abstention.csv`."
    )


def _robustness(measured: Measured) -> str:
    table = measured.robustness.set_index("strength")
    means = table.loc[1:].mean()
    rows = [
        [name, *(f"{accuracy:.3f}" for accuracy in [*table[name], means[name]])]
        for name in table.columns
    ]
    return (
        "Accuracy on PrivateTest, worsened at five strengths (`stages/evaluation/robustness.py` "
        "says how):\n\n" + _table(rows, ["", "clean", *map(str, table.index[1:]), "mean of 1 … 5"])
    )


def _beyond(parameters: Parameters) -> list[str]:
    """Where to find what is measured outside of the pipeline, for FER-2013 alone."""
    if not isinstance(parameters.fetch, KaggleSource):
        return []
    return [
        "## Beyond these figures",
        "\n".join(
            [
                "- [What ten other people say of the labels](../../benchmarks/ferplus.md): how "
                "often their votes and the release model find FER-2013's label, and what its "
                "noise allows at best.",
                "- [What was tried](../../experiments/README.md): networks, optimisers and ways of "
                "balancing, each with the same budget of epochs.",
                "- [Comparison](../../benchmarks/comparison.md): accuracy, time and memory of "
                "these models and of the package `fer`.",
                "- [In scenes](../../benchmarks/detection.md): what is left of the accuracy after "
                "a detector has found, turned and cut out the face.",
            ]
        ),
    ]


def _table(rows: list[list], headers: list[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
