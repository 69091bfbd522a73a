"""The emotions in one image, and in many."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from api.errors import OVERLOAD, documented
from api.image_files import ImageInJson, many_image_files, one_image_file
from api.options import OPTIONS, read_options
from api.schemas import (
    BatchError,
    BatchFaces,
    BatchPrediction,
    ModelIdentity,
    Prediction,
    Schema,
    request_schema,
)
from api.served_model import Recognition, ServedModel
from recognizer.errors import ImageError


class DirectRoute(APIRoute):
    """A route whose endpoint takes nothing but the request, and makes the response itself.

    FastAPI's way to an endpoint and back takes as long as everything else around a recognition,
    and has nothing to do here but to ask for the API key.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:
        """FastAPI's hook."""
        thorough, direct = super().get_route_handler(), self.endpoint

        async def handle(request: Request) -> Response:
            has_key = request.app.state.settings.api_key is not None
            return await (thorough if has_key else direct)(request)

        return handle


router = APIRouter(tags=["prediction"], route_class=DirectRoute)

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
        "application/json": {"schema": request_schema(ImageInJson)},
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
                    "files": {
                        "type": "array",
                        "items": BINARY,
                        "minItems": 1,
                        "description": "The images.",
                    }
                },
            }
        }
    },
}
ONE_IMAGE_PROBLEMS = {
    400: "The form or the JSON cannot be read, or has no image",
    404: "The version that was asked for is not served",
    413: "Too many bytes or too many pixels",
    415: "The content type is neither a form nor an image nor JSON",
    422: "Not an image, a damaged one, no base64, a parameter out of range, or a detector that"
    " this server does not have",
    **OVERLOAD,
}
MANY_IMAGES_PROBLEMS = {
    400: "The form cannot be read, or has no files",
    404: "The version that was asked for is not served",
    413: "Too many bytes or too many files",
    415: "The content type is not a form",
    422: "A parameter is out of range, or the detector is one that this server does not have",
    **OVERLOAD,
}


@router.post(
    "/predict",
    openapi_extra={"parameters": OPTIONS, "requestBody": ONE_IMAGE},
    response_model=Prediction,
    responses=documented(ONE_IMAGE_PROBLEMS),
)
async def predict(request: Request) -> Response:
    """Find every face in an image and tell its emotion. No face is an empty list."""
    options = read_options(request)
    model = request.app.state.models.find(options.version)
    data = await one_image_file(request)
    found = await request.app.state.slots.run(model.recognize, data, options)
    request.app.state.metrics.observe(found, model.version)
    answer = Prediction(
        image=found.image, faces=found.faces, truncated=found.truncated, model=identity(model)
    )
    return _response(answer, model, [found])


@router.post(
    "/predict/batch",
    openapi_extra={"parameters": OPTIONS, "requestBody": MANY_IMAGES},
    response_model=BatchPrediction,
    responses=documented(MANY_IMAGES_PROBLEMS),
)
async def predict_batch(request: Request) -> Response:
    """Do the same with many images. A bad one gets an error of its own; the others go on."""
    options = read_options(request)
    model = request.app.state.models.find(options.version)
    files = await many_image_files(request, request.app.state.settings.max_batch)
    names, contents = zip(*files, strict=True)
    found = await request.app.state.slots.run(model.recognize_each, contents, options)
    good = [result for result in found if isinstance(result, Recognition)]
    for result in good:
        request.app.state.metrics.observe(result, model.version)
    answer = BatchPrediction(
        results=[_result(name, result) for name, result in zip(names, found, strict=True)],
        model=identity(model),
    )
    return _response(answer, model, good)


def _result(filename: str, result: Recognition | ImageError) -> BatchFaces | BatchError:
    if isinstance(result, ImageError):
        return BatchError(filename=filename, error=str(result))
    return BatchFaces(
        filename=filename, image=result.image, faces=result.faces, truncated=result.truncated
    )


def identity(model: ServedModel) -> ModelIdentity:
    """Which model answered."""
    return ModelIdentity(name=model.name, version=model.version, dataset=model.classifier.dataset)


def _response(answer: Schema, model: ServedModel, results: list[Recognition]) -> Response:
    headers = {"X-Model-Version": model.version, "Server-Timing": _server_timing(results)}
    return Response(answer.model_dump_json(), headers=headers, media_type="application/json")


def _server_timing(results: list[Recognition]) -> str:
    """The time of each step, summed over the images (W3C Server Timing, milliseconds)."""
    steps = {}
    for result in results:
        for step, seconds in result.seconds.items():
            steps[step] = steps.get(step, 0) + seconds
    return ", ".join(f"{step};dur={1000 * seconds:.2f}" for step, seconds in steps.items())
