"""The candidate classifies faces that the default model has answered, for the metrics only."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from api.metrics import Metrics
from api.models.served_model import ServedModel
from api.models.served_models import ServedModels

log = logging.getLogger(__name__)

MAX_WAITING = 32
"""Most images whose faces wait for the candidate; those of further images are skipped."""


class Shadow:
    """Compares the candidate with the default model on the same crops.

    It has one thread, so it takes at most one processor, and no response waits for it.
    """

    def __init__(self, models: ServedModels, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "shadow")
        self._places = threading.Semaphore(MAX_WAITING)

    def compare(
        self, model: ServedModel, crops: NDArray[np.uint8], emotions: Sequence[str]
    ) -> None:
        """Classify faces with the candidate, and count how often both models agree; thread-safe.

        Parameters
        ----------
        model : ServedModel
            The model that has answered; only the default model is compared.
        crops : uint8 [N, 48, 48]
        emotions : sequence of str
            Its N predictions.
        """
        candidate = self._models.candidate
        if candidate is None or model is not self._models.default or not len(crops):
            return
        if not self._places.acquire(blocking=False):
            self._metrics.shadow_skipped.labels("busy").inc(len(crops))
            return
        self._thread.submit(self._classify, candidate, crops, emotions)

    def _classify(
        self, candidate: ServedModel, crops: NDArray[np.uint8], emotions: Sequence[str]
    ) -> None:
        try:
            rows = candidate.classifier.predict(crops)
            for emotion, place in zip(emotions, rows.argmax(axis=1), strict=True):
                agrees = str(candidate.classifier.labels[place] == emotion).lower()
                self._metrics.shadow.labels(emotion, agrees, candidate.version).inc()
        except Exception:
            self._metrics.shadow_skipped.labels("failed").inc(len(crops))
            log.exception("the candidate failed on %d faces", len(crops))
        finally:
            self._places.release()
