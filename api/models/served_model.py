"""One version of the model that is served: loading, ready, or failed with a reason."""

import csv
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np

from api.models.model_source import Files, Revision
from api.options import FaceOptions
from api.schemas import CONFIDENCE_BINS, ConfidenceBin, ImageSize
from recognizer.classifier import SIZE
from recognizer.detectors.base import Detector
from recognizer.errors import ImageError, ModelError
from recognizer.image import Image, decode
from recognizer.recognizer import RecognizedFace, Recognizer

log = logging.getLogger(__name__)

EVALUATION = "evaluation.json"
"""The committed metrics of a dataset's model."""

RELIABILITY = "plots/reliability.csv"
"""The test images by the probability of the predicted emotion, in the bins of CONFIDENCE_BINS."""


@dataclass(frozen=True)
class Recognition:
    """The faces in one image."""

    image: ImageSize
    detector: str
    faces: list[RecognizedFace]
    truncated: bool
    """Whether there were more faces than the limit."""
    seconds: dict[str, float]
    """Time of each step: decode, detect, classify."""


class ServedModel:
    """One model file behind every detector.

    Attributes
    ----------
    problem : str or None
        Why it cannot answer; None once a warm-up inference has passed.
    classifier : Classifier
        Present once `problem` is None, as are `evaluation` and `confidence`.
    evaluation : dict or None
        The committed metrics, if they were measured on this very file.
    confidence : list of ConfidenceBin or None
        How sure the model was of its predictions in that evaluation.
    """

    name = "emotion"

    def __init__(
        self,
        source: Files | Revision,
        detectors: dict[str, Detector],
        max_pixels: int,
        max_faces: int,
    ):
        self.source = source
        self.detectors = detectors
        self.max_pixels = max_pixels
        self.max_faces = max_faces
        self.problem: str | None = LOADING

    @property
    def version(self) -> str:
        """SHA-256 of the model file's bytes, in hexadecimal digits."""
        return self.classifier.version

    def load(self) -> None:
        """Load the file and warm it up. An error is logged and becomes `problem`."""
        try:
            self.classifier = self.source.load()
            self.evaluation = self._read_evaluation()
            self.confidence = self._read_confidence() if self.evaluation else None
            self._warm_up()
        except ModelError as error:
            self.problem = str(error)
            log.error("not ready: %s", error)
        except Exception:
            self.problem = f"{self.source}: failed to load; the server's log says why"
            log.exception("not ready: %s: failed to load", self.source)
        else:
            self.problem = None
            log.info("ready: %s, version %s", self.source, self.version)

    def _read_evaluation(self) -> dict | None:
        text = self.source.metrics(self.classifier.dataset, EVALUATION)
        if text is None:
            return None
        try:
            evaluation = json.loads(text)
            measured = evaluation["model"]["version"]
        except (ValueError, KeyError) as error:  # the model can be served without it
            log.error("%s: %s is not shown, because it is damaged: %r", self, EVALUATION, error)
            return None
        if not self.version.startswith(measured):
            log.warning("%s: the evaluation is of model %s; it is not shown", self, measured)
            return None
        return evaluation

    def _read_confidence(self) -> list[ConfidenceBin] | None:
        """The reliability table of `evaluate` as cumulative shares of the images."""
        text = self.source.metrics(self.classifier.dataset, RELIABILITY)
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
            log.error("%s: %s is not shown, because it is damaged: %r", self, RELIABILITY, error)
            return None

    def __str__(self) -> str:
        return str(self.source)

    def _warm_up(self) -> None:
        """Run every detector and the model once, and check that the model gives probabilities."""
        blank = np.zeros((SIZE, SIZE, 3), np.uint8)
        try:
            for detector in self.detectors.values():
                Recognizer(self.classifier, detector).recognize(Image.of(blank))
            probabilities = self.classifier.predict(blank[None, ..., 0])
        except Exception as error:  # onnxruntime's exceptions have no other class in common
            reason = " ".join(str(error).split())
            raise ModelError(f"{self}: the warm-up inference failed: {reason}") from error
        if not abs(probabilities.sum() - 1) < 1e-3:
            raise ModelError(f"{self}: the warm-up inference gave no probabilities")

    def recognize(
        self, data: bytes, options: FaceOptions, max_faces: int | None = None
    ) -> Recognition:
        """Decode an image file and recognize its faces; safe to call from many threads.

        Parameters
        ----------
        data : bytes
            The image file.
        options : FaceOptions
        max_faces : int, optional
            Faces that are classified and answered, the largest first; by default the limit of
            the settings.

        Raises
        ------
        ImageError
            The file cannot be decoded.
        """
        recognizer = Recognizer(self.classifier, self.detectors[options.faces], options.align)
        times = [perf_counter()]
        image = decode(data, self.max_pixels)
        times.append(perf_counter())
        found = recognizer.detect(image)
        times.append(perf_counter())
        sure = [face for face in found if face.confidence >= options.min_confidence]
        faces = recognizer.classify(image, sure[: max_faces or self.max_faces])
        times.append(perf_counter())
        seconds = [end - start for start, end in pairwise(times)]
        return Recognition(
            ImageSize(width=image.width, height=image.height),
            options.faces,
            faces,
            len(sure) > len(faces),
            dict(zip(("decode", "detect", "classify"), seconds, strict=True)),
        )

    def recognize_each(
        self, files: Sequence[bytes], options: FaceOptions
    ) -> list[Recognition | ImageError]:
        """Recognize one file after the other; a file that cannot be decoded gives its error."""
        results = []
        for data in files:
            try:
                results.append(self.recognize(data, options))
            except ImageError as error:
                results.append(error)
        return results


LOADING = "the model is still loading"
"""The problem of a model that has not been loaded yet."""
