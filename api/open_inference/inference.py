"""Runs the model for a parsed request: the outputs of cropped faces or of photos."""

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from api.models.served_model import ServedModel
from api.open_inference.schemas import BOX_SIDES, BOXES, CONFIDENCE
from api.open_inference.tensors import Inference, Output, TensorError, read_request, write_response
from api.options import FaceOptions
from api.pixels import claimed_pixels
from api.settings import Settings
from api.slots import Check
from api.state import ServerState
from recognizer.classifier import BATCH, INPUT, OUTPUT, SIZE
from recognizer.errors import ImageError


def parse(body: bytes, header_length: str | None, limits: Settings) -> tuple[Inference, int]:
    """A parsed request, and the sum of its photos' pixels.

    Parameters
    ----------
    body : bytes
        The body of the request.
    header_length : str or None
        The length of its JSON if binary data follows it.
    limits : Settings

    Raises
    ------
    TensorError
        The request is invalid.
    HTTPException
        413: too many values, faces, files or pixels.
    """
    inference = read_request(body, header_length, limits)
    photos = inference.faces
    return inference, claimed_pixels(photos, limits) if isinstance(photos, list) else 0


def infer(
    check: Check, inference: Inference, name: str, model: ServedModel, server: ServerState
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of the response to a request; it runs in the thread of a slot.

    Parameters
    ----------
    check : Check
        Called before each photo and each batch of faces.
    inference : Inference
    name : str
        The name of the model in the address.
    model : ServedModel
    server : ServerState
        The predictions are counted there.

    Raises
    ------
    TensorError
        No face was detected in a photo.
    ImageError
        An image file cannot be decoded.
    """
    faces = inference.faces
    if isinstance(faces, list):
        outputs = _classify_photos(check, model, faces, inference.options, server)
    else:
        outputs = _classify_crops(check, model, faces, server)
    return write_response(inference, name, model.version, outputs)


def _classify_crops(
    check: Check, model: ServedModel, faces: NDArray[np.uint8], server: ServerState
) -> dict[str, Output]:
    """The outputs for cropped faces."""
    start = perf_counter()
    probabilities = np.empty((len(faces), len(model.classifier.labels)), np.float32)
    for first in range(0, len(faces), BATCH):
        check()
        batch = slice(first, first + BATCH)
        probabilities[batch] = model.classifier.predict(faces[batch])
    server.metrics.steps.labels("classify").observe(perf_counter() - start)
    predictions = [
        (model.classifier.labels[row.argmax()], float(row.max())) for row in probabilities
    ]
    server.metrics.count_predictions(faces, predictions, model.version)
    if server.shadow:
        server.shadow.compare(model, faces, [emotion for emotion, _ in predictions])
    count = len(probabilities)
    return {
        OUTPUT: probabilities,
        BOXES: np.tile(np.array([0, 0, SIZE, SIZE], np.int32), (count, 1)),
        CONFIDENCE: np.ones(count, np.float32),
    }


def _classify_photos(
    check: Check, model: ServedModel, photos: list[bytes], options: FaceOptions, server: ServerState
) -> dict[str, Output]:
    """The outputs for the largest face of each photo."""
    count = len(photos)
    probabilities = np.empty((count, len(model.classifier.labels)), np.float32)
    boxes = np.empty((count, len(BOX_SIDES)), np.int32)
    confidence = np.empty(count, np.float32)
    for number, data in enumerate(photos):
        try:
            result = model.recognize(check, data, options, max_faces=1)
        except ImageError as error:
            raise type(error)(f"{INPUT}[{number}]: {error}") from error
        server.observe(result, model)
        if not result.faces:
            raise TensorError(
                f"{INPUT}[{number}]: no face was detected; send a clearer photo, or the parameter"
                " faces = 'whole' to take the whole image as one face"
            )
        face = result.faces[0]
        probabilities[number] = list(face.probabilities.values())
        boxes[number] = [getattr(face.box, side) for side in BOX_SIDES]
        confidence[number] = face.confidence
    return {OUTPUT: probabilities, BOXES: boxes, CONFIDENCE: confidence}
