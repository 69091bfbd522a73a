"""The committed metrics of a model, as `stages/evaluate.py` writes them."""

import csv
import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from api.models.model_source import Source
from api.schemas import ConfidenceBin
from recognizer.classifier import Classifier

log = logging.getLogger(__name__)

T = TypeVar("T")

EVALUATION = "evaluation.json"
"""The metrics of a dataset's model."""

RELIABILITY = "plots/reliability.csv"
"""The PrivateTest images by confidence, in the bins of CONFIDENCE_BINS."""

PER_CLASS = "plots/per_class.csv"
"""Recall, precision and number of the PrivateTest images of each emotion."""

CONFIDENCE_BINS = tuple(round(upper / 15, 4) for upper in range(1, 16))
"""Upper edges of the bins for the confidence, the probability of the predicted emotion.

`evaluate` counts the test images in these bins, and `GET /metrics` the faces of requests.
"""


def read_evaluation(source: Source, classifier: Classifier) -> dict[str, Any] | None:
    """The metrics of this model; None if none are committed, or only those of another model."""

    def parse(text: str) -> dict[str, Any] | None:
        evaluation: dict[str, Any] = json.loads(text)
        measured = evaluation["model"]["version"]
        if classifier.version.startswith(measured):
            return evaluation
        log.warning("%s: %s is of model %s and therefore not shown", source, EVALUATION, measured)
        return None

    return _read(source, classifier, EVALUATION, parse)


def read_confidence(source: Source, classifier: Classifier) -> list[ConfidenceBin] | None:
    """The cumulative distribution of the confidence on PrivateTest; None without a table."""

    def parse(text: str) -> list[ConfidenceBin]:
        rows = csv.DictReader(text.splitlines())
        table = [(float(row["confidence"]), int(row["images"])) for row in rows]
        total = sum(images for _, images in table)
        return [
            ConfidenceBin(
                up_to=edge,
                share=round(sum(images for mean, images in table if mean <= edge) / total, 4),
            )
            for edge in CONFIDENCE_BINS
        ]

    return _read(source, classifier, RELIABILITY, parse)


def read_emotion_shares(source: Source, classifier: Classifier) -> dict[str, float] | None:
    """The share of each predicted emotion on PrivateTest; None without a table.

    The number of predictions of an emotion is recall · images / precision.
    """

    def parse(text: str) -> dict[str, float]:
        predicted = dict.fromkeys(classifier.labels, 0.0)
        for row in csv.DictReader(text.splitlines()):
            found = float(row["recall"]) * int(row["images"])
            predicted[row["emotion"]] = found / float(row["precision"]) if found else 0.0
        total = sum(predicted.values())
        return {emotion: round(number / total, 4) for emotion, number in predicted.items()}

    return _read(source, classifier, PER_CLASS, parse)


def _read(
    source: Source, classifier: Classifier, name: str, parse: Callable[[str], T | None]
) -> T | None:
    """Parse a file; None if it is missing or damaged: the model can be served without it."""
    text = source.metrics(classifier.dataset, name)
    if text is None:
        return None
    try:
        return parse(text)
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        log.error("%s: %s is damaged and therefore not shown: %r", source, name, error)
        return None
