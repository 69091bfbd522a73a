"""The emotions in one image, and in many."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.image_files import ImageInJson, many_image_files, one_image_file
from api.schemas import (
    BatchError,
    BatchFaces,
    BatchPrediction,
    ModelIdentity,
    Prediction,
    Problem,
)
from api.served_model import ReadyModel, Recognition, ServedModel
from recognizer.errors import ImageError
from recognizer.faces import DETECTORS

router = APIRouter(tags=["prediction"])

Detector = Annotated[
    Literal[tuple(DETECTORS)],
    Query(description="How faces are found; `whole` takes the whole image as one face."),
]
MinConfidence = Annotated[
    float,
    Query(ge=0, le=1, description="Leave out faces of which the detector is less sure than this."),
]

BINARY = {"type": "string", "format": "binary"}
ONE_IMAGE = {
    "required": True,
    "description": "A JPEG, PNG, WebP, BMP or TIFF, as a form's field `file`, as it is, or in JSON"
    " as base64, with or without `data:image/jpeg;base64,` before it.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {**BINARY, "description": "The image."}},
            }
        },
        "image/*": {"schema": BINARY},
        "application/octet-stream": {"schema": BINARY},
        "application/json": {"schema": ImageInJson.model_json_schema()},
    },
}
MANY_IMAGES = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {"type": "array", "items": BINARY, "description": "The images."}
                },
            }
        }
    },
}
OVERLOAD = {
    408: "The request did not arrive in time",
    429: "Too many images are waiting; `Retry-After` tells when to try again",
    503: "No model is ready",
    504: "The request was not answered in time",
}
ONE_IMAGE_PROBLEMS = {
    400: "The form or the JSON cannot be read, or has no image",
    413: "Too many bytes or too many pixels",
    415: "The content type is neither a form nor an image nor JSON",
    422: "Not an image, a damaged one, no base64, or a parameter out of range",
    **OVERLOAD,
}
MANY_IMAGES_PROBLEMS = {
    400: "The form cannot be read, or has no files",
    413: "Too many bytes or too many files",
    415: "The content type is not a form",
    422: "A parameter is out of range",
    **OVERLOAD,
}


def _documented(problems: dict[int, str]) -> dict:
    return {status: {"model": Problem, "description": text} for status, text in problems.items()}


@router.post(
    "/predict",
    openapi_extra={"requestBody": ONE_IMAGE},
    responses=_documented(ONE_IMAGE_PROBLEMS),
)
async def predict(
    request: Request,
    response: Response,
    model: ReadyModel,
    faces: Detector = "haar",
    min_confidence: MinConfidence = 0,
) -> Prediction:
    """Find every face in an image and tell its emotion. No face is an empty list."""
    data = await one_image_file(request)
    found = await request.app.state.slots.run(model.recognize, data, faces, min_confidence)
    request.app.state.metrics.observe(found, model.classifier.version)
    response.headers["Server-Timing"] = _server_timing([found])
    return Prediction(
        image=found.image, faces=found.faces, truncated=found.truncated, model=_identity(model)
    )


@router.post(
    "/predict/batch",
    openapi_extra={"requestBody": MANY_IMAGES},
    responses=_documented(MANY_IMAGES_PROBLEMS),
)
async def predict_batch(
    request: Request,
    response: Response,
    model: ReadyModel,
    faces: Detector = "haar",
    min_confidence: MinConfidence = 0,
) -> BatchPrediction:
    """Do the same with many images. A bad one gets an error of its own; the others go on."""
    files = await many_image_files(request, model.settings.max_batch)
    names, contents = zip(*files, strict=True)
    found = await request.app.state.slots.run(model.recognize_each, contents, faces, min_confidence)
    good = [result for result in found if isinstance(result, Recognition)]
    for result in good:
        request.app.state.metrics.observe(result, model.classifier.version)
    response.headers["Server-Timing"] = _server_timing(good)
    return BatchPrediction(
        results=[_result(name, result) for name, result in zip(names, found, strict=True)],
        model=_identity(model),
    )


def _result(filename: str, result: Recognition | ImageError) -> BatchFaces | BatchError:
    if isinstance(result, ImageError):
        return BatchError(filename=filename, error=str(result))
    return BatchFaces(
        filename=filename, image=result.image, faces=result.faces, truncated=result.truncated
    )


def _identity(model: ServedModel) -> ModelIdentity:
    return ModelIdentity(
        name=model.name, version=model.classifier.version, dataset=model.classifier.dataset
    )


def _server_timing(results: list[Recognition]) -> str:
    """The time of each step, summed over the images (W3C Server Timing, milliseconds)."""
    steps = {}
    for result in results:
        for step, seconds in result.seconds.items():
            steps[step] = steps.get(step, 0) + seconds
    return ", ".join(f"{step};dur={1000 * seconds:.2f}" for step, seconds in steps.items())
