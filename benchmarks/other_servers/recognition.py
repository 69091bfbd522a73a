"""The same steps as in `recognizer`, as a short script would write them: no checks, no limits."""

from base64 import b64decode
from os import environ

import cv2
import numpy as np
import onnxruntime

from recognizer.faces import DETECTORS, crop, cut_out, eye_square

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


class Recognition:
    """The model file in `MODEL_PATH` behind the detectors `haar` and `whole`."""

    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(environ["MODEL_PATH"], options)
        self.detectors = {name: DETECTORS[name]() for name in ("haar", "whole")}

    def __call__(self, image: str, faces: str) -> list[dict]:
        """Boxes and probabilities of the faces in an image file in base64."""
        pixels = cv2.imdecode(np.frombuffer(b64decode(image), np.uint8), cv2.IMREAD_GRAYSCALE)
        detector = self.detectors[faces]
        found = detector.detect(pixels)
        if not found:
            return []
        crops = [
            cut_out(pixels, eye_square(face.box, face.eyes, detector.frame))
            if face.eyes
            else crop(pixels, face.box, detector.frame)
            for face in found
        ]
        (rows,) = self.session.run(None, {"faces": np.array(crops)})
        return [
            {"box": vars(face.box), "probabilities": dict(zip(LABELS, row.tolist(), strict=True))}
            for face, row in zip(found, rows, strict=True)
        ]
