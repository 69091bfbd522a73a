"""One served version of the model: loading, ready, or failed with a reason."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from operator import itemgetter
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from api.models.evaluation import read_confidence, read_emotion_shares, read_evaluation
from api.models.model_source import CANDIDATE, STABLE, Alias, Source
from api.models.snapshot import Snapshot
from api.options import EmotionOptions, FaceOptions
from api.schemas import ConfidenceBin, Face, ImageSize, ModelIdentity
from api.slots import Check
from recognizer.classifier import SIZE, Classifier
from recognizer.detectors.base import Detector
from recognizer.errors import ImageError, ModelError
from recognizer.image import Image, decode
from recognizer.recognizer import Recognizer

log = logging.getLogger(__name__)

ModelName = Literal["emotion"]

LOADING = "the model is still loading"
"""The `problem` of a model that has not been loaded yet."""


@dataclass(frozen=True)
class Recognition:
    """The faces in one image."""

    image: ImageSize
    detector: str
    faces: list[Face]
    """The largest face comes first."""
    truncated: bool
    """Whether more faces were detected than the limit allows."""
    seconds: dict[str, float]
    """Duration of each step: decode, detect, classify."""
    crops: NDArray[np.uint8]
    """uint8 [N, 48, 48], what was classified of each face."""

    @property
    def predictions(self) -> list[tuple[str, float]]:
        """The most probable emotion of each face, also where `emotion` is None."""
        return [max(face.probabilities.items(), key=itemgetter(1)) for face in self.faces]


class ServedModel:
    """One model file together with every detector.

    Attributes
    ----------
    problem : str or None
        Why the model is not ready; None once a warm-up inference has passed.
    classifier : Classifier
        Present once `problem` is None, as are the following.
    evaluation : dict or None
        The committed metrics, if they were measured on this file.
    confidence : list of ConfidenceBin or None
        The distribution of the confidence in that evaluation.
    emotion_shares : dict or None
        The share of each predicted emotion in that evaluation.
    """

    name: ModelName = "emotion"

    classifier: Classifier
    evaluation: dict[str, Any] | None
    confidence: list[ConfidenceBin] | None
    emotion_shares: dict[str, float] | None

    def __init__(
        self,
        source: Source,
        detectors: dict[str, Detector],
        max_pixels: int,
        max_faces: int,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.source = source
        self.snapshot = snapshot
        self.detectors = detectors
        self.max_pixels = max_pixels
        self.max_faces = max_faces
        self.problem: str | None = LOADING

    def __str__(self) -> str:
        return str(self.source)

    @property
    def version(self) -> str:
        """SHA-256 of the model file's bytes, in hexadecimal digits."""
        return self.classifier.version

    @property
    def alias(self) -> Alias | None:
        """The role of this model, by the name of its file in MODEL_DIR."""
        return next((alias for alias in (STABLE, CANDIDATE) if alias == self.source.name), None)

    @property
    def identity(self) -> ModelIdentity:
        """The name, the version, the dataset and the alias, as responses contain them."""
        return ModelIdentity(
            name=self.name,
            version=self.version,
            dataset=self.classifier.dataset,
            alias=self.alias,
        )

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a response of this model."""
        alias = {"X-Model-Alias": self.alias} if self.alias else {}
        return {"X-Model-Version": self.version, **alias}

    def load(self, loaded: Mapping[str, Classifier]) -> None:
        """Load the file and run the warm-up. An error is logged and becomes `problem`.

        Parameters
        ----------
        loaded : mapping of str to Classifier
            By version. A file with the same bytes is not loaded again.
        """
        try:
            content = self.snapshot.read() if self.snapshot else self.source.read()
            known = loaded.get(sha256(content).hexdigest())
            self.classifier = known or Classifier.of(content, str(self.source))
            self.evaluation = read_evaluation(self.source, self.classifier)
            self.confidence = self.emotion_shares = None
            if self.evaluation:
                self.confidence = read_confidence(self.source, self.classifier)
                self.emotion_shares = read_emotion_shares(self.source, self.classifier)
            self._warm_up()
        except ModelError as error:
            self.problem = str(error)
            log.error("not ready: %s", error)
        except Exception:
            self.problem = f"{self}: failed to load; see the server's log"
            log.exception("not ready: %s: failed to load", self)
        else:
            self.problem = None
            log.info("ready: %s, version %s", self, self.version)

    def _warm_up(self) -> None:
        """Run every detector and the model once; check that the outputs are probabilities."""
        blank = np.zeros((SIZE, SIZE, 3), np.uint8)
        try:
            for detector in self.detectors.values():
                Recognizer(self.classifier, detector).recognize(Image.of(blank))
            probabilities = self.classifier.predict(blank[None, ..., 0])
        except Exception as error:  # the exceptions of ONNX Runtime have no other base class
            reason = " ".join(str(error).split())
            raise ModelError(f"{self}: the warm-up inference failed: {reason}") from error
        if not abs(probabilities.sum() - 1) < 1e-3:
            raise ModelError(f"{self}: the outputs of the warm-up inference are no probabilities")

    def recognize(
        self, check: Check, data: bytes, options: FaceOptions, max_faces: int | None = None
    ) -> Recognition:
        """Decode an image file and recognize its faces; thread-safe.

        Parameters
        ----------
        check : Check
            Called before each step.
        data : bytes
            The image file.
        options : FaceOptions
            Without EmotionOptions, each face gets its most probable emotion.
        max_faces : int, optional
            Most faces that are classified and returned; the limit of the settings by default.

        Raises
        ------
        ImageError
            The file cannot be decoded.
        """
        least = options.min_probability if isinstance(options, EmotionOptions) else 0
        detector = self.detectors[options.faces]
        recognizer = Recognizer(self.classifier, detector, options.align, least)
        check()
        times = [perf_counter()]
        image = decode(data, self.max_pixels)
        check()
        times.append(perf_counter())
        detected = recognizer.detect(image)
        times.append(perf_counter())
        confident = [face for face in detected if face.confidence >= options.min_confidence]
        kept = confident[: max_faces or self.max_faces]
        squares, crops = recognizer.crop(image, kept)
        faces = recognizer.classify_crops(kept, squares, crops)
        times.append(perf_counter())
        seconds = [end - start for start, end in pairwise(times)]
        return Recognition(
            image=ImageSize(width=image.width, height=image.height),
            detector=options.faces,
            faces=[Face.model_validate(face) for face in faces],
            truncated=len(confident) > len(faces),
            seconds=dict(zip(("decode", "detect", "classify"), seconds, strict=True)),
            crops=crops,
        )

    def recognize_each(
        self, check: Check, files: Sequence[bytes], options: FaceOptions
    ) -> list[Recognition | ImageError]:
        """Recognize several files; for a file that cannot be decoded, the result is its error."""
        results: list[Recognition | ImageError] = []
        for data in files:
            try:
                results.append(self.recognize(check, data, options))
            except ImageError as error:
                results.append(error)
        return results
