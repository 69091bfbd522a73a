"""Runs the model for a parsed request: the outputs of cropped faces or of photos."""

from time import perf_counter

import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray

from api.metrics import Metrics
from api.models.served_model import ServedModel
from api.open_inference.schemas import BOX_SIDES, BOXES, CONFIDENCE
from api.open_inference.tensors import Output, TensorError, read_request, write_response
from api.options import FaceOptions
from api.settings import Settings
from recognizer.classifier import INPUT, OUTPUT, SIZE
from recognizer.errors import ImageError


def infer(
    body: bytes, header_length: str | None, model: ServedModel, limits: Settings, metrics: Metrics
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of the response to a request; it runs in the thread of a slot.

    Parameters
    ----------
    body : bytes
        The body of the request.
    header_length : str or None
        The length of its JSON if binary data follows it.
    model : ServedModel
    limits : Settings
    metrics : Metrics
        The predictions are counted there.

    Raises
    ------
    TensorError
        The request is invalid, or no face was detected in a photo.
    ImageError
        An image file cannot be decoded.
    HTTPException
        413: too many faces or files.
    """
    inference = read_request(body, header_length)
    faces = inference.faces
    if isinstance(faces, list):
        _check_count(len(faces), limits.max_batch, "files")
        outputs = _classify_photos(model, faces, inference.options, metrics)
    else:
        _check_count(len(faces), limits.max_tensor_faces, "faces")
        outputs = _classify_crops(model, faces, metrics)
    return write_response(inference, model.name, model.version, outputs)


def _check_count(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise HTTPException(413, f"{INPUT}: more than {limit} {what} in one tensor")


def _classify_crops(
    model: ServedModel, faces: NDArray[np.uint8], metrics: Metrics
) -> dict[str, Output]:
    """The outputs for cropped faces."""
    start = perf_counter()
    probabilities = model.classifier.predict(faces)
    metrics.steps.labels("classify").observe(perf_counter() - start)
    metrics.count_predictions(
        ((model.classifier.labels[row.argmax()], float(row.max())) for row in probabilities),
        model.version,
    )
    count = len(probabilities)
    return {
        OUTPUT: probabilities,
        BOXES: np.tile(np.array([0, 0, SIZE, SIZE], np.int32), (count, 1)),
        CONFIDENCE: np.ones(count, np.float32),
    }


def _classify_photos(
    model: ServedModel, photos: list[bytes], options: FaceOptions, metrics: Metrics
) -> dict[str, Output]:
    """The outputs for the largest face of each photo."""
    count = len(photos)
    probabilities = np.empty((count, len(model.classifier.labels)), np.float32)
    boxes = np.empty((count, len(BOX_SIDES)), np.int32)
    confidence = np.empty(count, np.float32)
    for number, data in enumerate(photos):
        try:
            result = model.recognize(data, options, max_faces=1)
        except ImageError as error:
            raise type(error)(f"{INPUT}[{number}]: {error}") from error
        metrics.observe(result, model.version)
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
