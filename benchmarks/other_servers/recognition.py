"""The recognizer without a server around it: no limits, no queue, no checks of the request."""

from base64 import b64decode
from dataclasses import asdict
from os import environ
from pathlib import Path

from recognizer.classifier import Classifier
from recognizer.detectors.registry import DETECTORS, build_detector
from recognizer.image import decode
from recognizer.recognizer import Recognizer

DEFAULT = "yunet"
"""The detector of a request that names none, as in `api`."""


class Recognition:
    """The model file in `MODEL_PATH` behind every detector, as `api` uses them."""

    def __init__(self):
        classifier = Classifier(Path(environ["MODEL_PATH"]))
        self.recognizers = {
            name: Recognizer(classifier, build_detector(name)) for name in DETECTORS
        }

    def __call__(self, image: str, faces: str | None) -> list[dict]:
        """Recognize the faces in an image file in base64; `faces` names the detector."""
        found = self.recognizers[faces or DEFAULT].recognize(decode(b64decode(image)))
        return [{"box": asdict(face.box), "probabilities": face.probabilities} for face in found]
