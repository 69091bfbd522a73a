"""One version of the model that is served: loading, ready, or failed with a reason."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np

from api.model_source import Files, Revision
from api.options import Options
from api.schemas import ImageSize
from recognizer.errors import ImageError, ModelError
from recognizer.faces import SIZE, Detector
from recognizer.image import Image, decode
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
        """Load the file and warm it up. What goes wrong is logged and becomes `problem`."""
        try:
            self.classifier = self.source.load()
            self.evaluation = self._read_evaluation()
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
        text = self.source.evaluation(self.classifier.dataset)
        if text is None:
            return None
        try:
            evaluation = json.loads(text)
            measured = evaluation["model"]["version"]
        except (ValueError, KeyError) as error:  # no reason to stop recognizing
            log.error("%s: its evaluation is not shown, because it is damaged: %r", self, error)
            return None
        if not self.version.startswith(measured):
            log.warning("%s: the evaluation is of model %s; it is not shown", self, measured)
            return None
        return evaluation

    def __str__(self) -> str:
        return str(self.source)

    def _warm_up(self) -> None:
        """Run every detector and the model once, and look at what the model answers."""
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

    def recognize(self, data: bytes, options: Options) -> Recognition:
        """Decode an image file and recognize its faces; safe to call from many threads.

        Raises
        ------
        ImageError
            The bytes are no image that can be used.
        """
        recognizer = Recognizer(self.classifier, self.detectors[options.faces], options.align)
        times = [perf_counter()]
        image = decode(data, self.max_pixels)
        times.append(perf_counter())
        found = recognizer.detect(image)
        times.append(perf_counter())
        sure = [face for face in found if face.confidence >= options.min_confidence]
        faces = recognizer.classify(image, sure[: self.max_faces])
        times.append(perf_counter())
        seconds = [end - start for start, end in pairwise(times)]
        return Recognition(
            ImageSize(width=image.width, height=image.height),
            faces,
            len(sure) > len(faces),
            dict(zip(("decode", "detect", "classify"), seconds, strict=True)),
        )

    def recognize_each(
        self, files: Sequence[bytes], options: Options
    ) -> list[Recognition | ImageError]:
        """Recognize one file after the other; what is no image becomes its error."""
        results = []
        for data in files:
            try:
                results.append(self.recognize(data, options))
            except ImageError as error:
                results.append(error)
        return results


LOADING = "the model is still loading"
"""The problem of a model that has not been loaded yet."""
