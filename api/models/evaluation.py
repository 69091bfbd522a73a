"""The committed metrics of a model, as `stages/evaluate.py` writes them."""

import csv
import json
import logging
from typing import Any

from api.models.model_source import Source
from api.schemas import ConfidenceBin
from recognizer.classifier import Classifier

log = logging.getLogger(__name__)

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
    text = source.metrics(classifier.dataset, EVALUATION)
    if text is None:
        return None
    try:
        evaluation: dict[str, Any] = json.loads(text)
        measured = evaluation["model"]["version"]
    except (ValueError, KeyError) as error:  # the model can be served without it
        log.error("%s: %s is damaged and therefore not shown: %r", source, EVALUATION, error)
        return None
    if not classifier.version.startswith(measured):
        log.warning("%s: %s is of model %s and therefore not shown", source, EVALUATION, measured)
        return None
    return evaluation


def read_confidence(source: Source, classifier: Classifier) -> list[ConfidenceBin] | None:
    """The cumulative distribution of the confidence on PrivateTest; None without a table."""
    text = source.metrics(classifier.dataset, RELIABILITY)
    if text is None:
        return None
    try:
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
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        log.error("%s: %s is damaged and therefore not shown: %r", source, RELIABILITY, error)
        return None


def read_emotion_shares(source: Source, classifier: Classifier) -> dict[str, float] | None:
    """The share of each predicted emotion on PrivateTest; None without a table.

    The number of predictions of an emotion is recall · images / precision.
    """
    text = source.metrics(classifier.dataset, PER_CLASS)
    if text is None:
        return None
    try:
        predicted = dict.fromkeys(classifier.labels, 0.0)
        for row in csv.DictReader(text.splitlines()):
            found = float(row["recall"]) * int(row["images"])
            predicted[row["emotion"]] = found / float(row["precision"]) if found else 0.0
        total = sum(predicted.values())
        return {emotion: round(number / total, 4) for emotion, number in predicted.items()}
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        log.error("%s: %s is damaged and therefore not shown: %r", source, PER_CLASS, error)
        return None
