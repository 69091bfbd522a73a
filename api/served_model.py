"""The model file that is served: loading, ready, or failed with a reason."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import Annotated

import numpy as np
from fastapi import Depends, HTTPException, Request, Response

from api.schemas import ImageSize
from api.settings import Settings
from recognizer.classifier import Classifier
from recognizer.errors import ImageError, ModelError
from recognizer.faces import DETECTORS, SIZE
from recognizer.image import decode
from recognizer.recognizer import RecognizedFace, Recognizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recognition:
    """What was found in one image."""

    image: ImageSize
    faces: list[RecognizedFace]
    truncated: bool
    """Whether there were more faces than the settings allow."""
    seconds: dict[str, float]
    """Time of each step: decode, detect, classify."""


class ServedModel:
    """One model file behind every detector.

    Attributes
    ----------
    problem : str or None
        Why it cannot answer; None once a warm-up inference has passed.
    classifier : Classifier
        Present once `problem` is None, as is `evaluation`.
    evaluation : dict or None
        The committed metrics, if this very file is the one they were measured on.
    """

    name = "emotion"

    def __init__(self, settings: Settings):
        self.settings = settings
        self.problem: str | None = "the model is still loading"

    def load(self) -> None:
        """Load the file and warm it up. What goes wrong is logged and becomes `problem`."""
        try:
            self.classifier = Classifier(self.settings.model_path)
            self._recognizers = {
                name: Recognizer(self.classifier, detector())
                for name, detector in DETECTORS.items()
            }
            self.evaluation = self._read_evaluation()
            self._warm_up()
        except ModelError as error:
            self.problem = str(error)
            log.error("not ready: %s", error)
        except Exception:
            self.problem = f"{self.settings.model_path}: failed to load; the server's log says why"
            log.exception("not ready: %s: failed to load", self.settings.model_path)
        else:
            self.problem = None
            log.info("ready: %s, version %s", self.settings.model_path, self.classifier.version)

    def _read_evaluation(self) -> dict | None:
        path = self.settings.metrics_dir / self.classifier.dataset / "evaluation.json"
        if not path.is_file():
            return None
        try:
            evaluation = json.loads(path.read_text())
            measured = evaluation["model"]["version"]
        except (ValueError, KeyError) as error:  # no reason to stop recognizing
            log.error("%s: GET /model shows no evaluation, because it is damaged: %r", path, error)
            return None
        if not self.classifier.version.startswith(measured):
            log.warning("%s is of model %s, not of the served one; not shown", path, measured)
            return None
        return evaluation

    def _warm_up(self) -> None:
        """Run every detector and the model once, and look at what the model answers."""
        blank = np.zeros((SIZE, SIZE), np.uint8)
        try:
            for recognizer in self._recognizers.values():
                recognizer.recognize(blank)
            probabilities = self.classifier.predict(blank[None])
        except Exception as error:  # onnxruntime's exceptions have no other class in common
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{self.settings.model_path}: the warm-up inference failed: {reason}"
            ) from error
        if not abs(probabilities.sum() - 1) < 1e-3:
            raise ModelError(
                f"{self.settings.model_path}: the warm-up inference gave no probabilities"
            )

    def recognize(self, data: bytes, detector: str, min_confidence: float = 0) -> Recognition:
        """Decode an image file and recognize its faces; safe to call from many threads.

        Parameters
        ----------
        data : bytes
            The whole file.
        detector : str
            A key of `DETECTORS`.
        min_confidence : float
            Faces of which the detector is less sure are left out, 0 … 1.

        Raises
        ------
        ImageError
            The bytes are no image that can be used.
        """
        recognizer = self._recognizers[detector]
        times = [perf_counter()]
        image = decode(data, self.settings.max_pixels)
        times.append(perf_counter())
        found = recognizer.detector.detect(image)
        times.append(perf_counter())
        sure = [face for face in found if face.confidence >= min_confidence]
        faces = recognizer.classify(image, sure[: self.settings.max_faces])
        times.append(perf_counter())
        seconds = [end - start for start, end in pairwise(times)]
        return Recognition(
            ImageSize(width=image.shape[1], height=image.shape[0]),
            faces,
            len(sure) > len(faces),
            dict(zip(("decode", "detect", "classify"), seconds, strict=True)),
        )

    def recognize_each(
        self, files: Sequence[bytes], detector: str, min_confidence: float = 0
    ) -> list[Recognition | ImageError]:
        """Recognize one file after the other; what is no image becomes its error."""
        results = []
        for data in files:
            try:
                results.append(self.recognize(data, detector, min_confidence))
            except ImageError as error:
                results.append(error)
        return results


async def ready_model(request: Request, response: Response) -> ServedModel:
    """The model, or an answer 503 that says why there is none. Its version becomes a header."""
    model: ServedModel = request.app.state.model
    if model.problem:
        raise HTTPException(503, model.problem)
    response.headers["X-Model-Version"] = model.classifier.version
    return model


ReadyModel = Annotated[ServedModel, Depends(ready_model)]
