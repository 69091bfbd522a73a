"""`POST /predict` for one image, and `POST /predict/batch` for several."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException

from api.base64_file import DESCRIPTION
from api.models.served_model import Recognition, ServedModel
from api.openapi import (
    BINARY,
    EXAMPLE_IMAGE,
    OVERLOAD,
    error_responses,
    form_schema,
    reference,
    request_body,
)
from api.options import Options, QueryOptions, merged, refuse_repeated
from api.pixels import claimed_pixels
from api.request_body import (
    Base64File,
    File,
    FormFile,
    body_of,
    content_type_of,
    form_of,
    in_thread,
    json_of,
)
from api.schemas import BatchError, BatchFaces, BatchPrediction, Prediction
from api.state import Server
from recognizer.errors import ImageError

router = APIRouter(tags=["prediction"], dependencies=[Depends(refuse_repeated)])


# ---------------------------------------------------------------- requests


class ImageForm(Options):
    """A form with one image; its other fields are options."""

    file: File = Field(description="The image.")


class ImageJson(Options):
    """One image in JSON; the other keys are options."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": EXAMPLE_IMAGE}]})

    image: Base64File = Field(description=DESCRIPTION)


class BatchForm(Options):
    """A form with several images; its other fields are options."""

    files: list[File] = Field(min_length=1, description="The images.")


@dataclass(frozen=True)
class ImageRequest:
    """One image file and the options."""

    data: bytes
    pixels: int
    options: Options


@dataclass(frozen=True)
class BatchRequest:
    """Several image files and the options."""

    files: list[FormFile]
    pixels: int
    options: Options


async def image_request(request: Request, query: QueryOptions, server: Server) -> ImageRequest:
    """Read an image and its options: from a form, from JSON, or the image as the body."""
    data, options = await _image_and_options(request, query)
    pixels = await in_thread(request, len(data), claimed_pixels, [data], server.settings)
    return ImageRequest(data, pixels, options)


async def _image_and_options(request: Request, query: Options) -> tuple[bytes, Options]:
    content_type = content_type_of(request)
    if content_type == "multipart/form-data":
        form = await form_of(request, ImageForm)
        return form.file.data, merged(query, form, ("query", "form"))
    if content_type == "application/json":
        body = await json_of(request, ImageJson)
        return body.image, merged(query, body, ("query", "JSON"))
    if content_type.startswith("image/") or content_type == "application/octet-stream":
        return await body_of(request), query
    raise HTTPException(
        415,
        f"content type {content_type[:100]!r} is not supported: send the image in the field 'file'"
        " of a form, as the body with its type, for example image/jpeg, or in JSON",
    )


async def batch_request(request: Request, query: QueryOptions, server: Server) -> BatchRequest:
    """Read the images of a form and their options."""
    content_type = content_type_of(request)
    if content_type != "multipart/form-data":
        raise HTTPException(
            415,
            f"content type {content_type[:100]!r} is not supported: send the images in a form,"
            " each in a field 'files'",
        )
    form = await form_of(request, BatchForm, max_files=server.settings.max_batch)
    contents = [file.data for file in form.files]
    size = sum(map(len, contents))
    pixels = await in_thread(request, size, claimed_pixels, contents, server.settings)
    return BatchRequest(form.files, pixels, merged(query, form, ("query", "form")))


IMAGE_BODY = request_body(
    "An image file, for example a JPEG: in the field `file` of a form, as the body, or in JSON. As"
    " the body, its type may also be `image/jpeg` or another `image/…`. The options of the query"
    " may be sent in the form or in the JSON instead.",
    {
        "multipart/form-data": form_schema(ImageForm),
        "application/octet-stream": BINARY,
        "application/json": reference(ImageJson),
    },
)
BATCH_BODY = request_body(
    "The options of the query may be sent in the form instead.",
    {"multipart/form-data": form_schema(BatchForm)},
)
ERRORS = {
    400: "The form or the JSON cannot be parsed",
    404: "No such model or version is served",
    413: "Too many bytes, pixels or files",
    415: "The content type is not supported",
    422: "An option is unknown, out of range or repeated, or the image cannot be decoded",
    **OVERLOAD,
}
BATCH_EXAMPLES = {
    400: "Missing boundary in multipart.",
    415: "content type 'text/plain' is not supported: send the images in a form, each in a field"
    " 'files'",
}


# ---------------------------------------------------------------- routes


@router.post("/predict", openapi_extra=IMAGE_BODY, responses=error_responses(ERRORS))
async def predict(
    image: Annotated[ImageRequest, Depends(image_request)], server: Server, response: Response
) -> Prediction:
    """Detect every face in an image and predict its emotion. Without a face, the list is empty."""
    model = server.models.choose(image.options)
    result = await server.slots.run(image.pixels, model.recognize, image.data, image.options)
    server.observe(result, model)
    _add_headers(response, model, [result])
    return Prediction(
        image=result.image, faces=result.faces, truncated=result.truncated, model=model.identity
    )


@router.post(
    "/predict/batch",
    openapi_extra=BATCH_BODY,
    responses=error_responses(ERRORS, examples=BATCH_EXAMPLES),
)
async def predict_batch(
    batch: Annotated[BatchRequest, Depends(batch_request)], server: Server, response: Response
) -> BatchPrediction:
    """Process several images. The result of an image that cannot be decoded is its error."""
    model = server.models.choose(batch.options)
    contents = [file.data for file in batch.files]
    results = await server.slots.run(batch.pixels, model.recognize_each, contents, batch.options)
    decoded = [result for result in results if isinstance(result, Recognition)]
    for result in decoded:
        server.observe(result, model)
    _add_headers(response, model, decoded)
    return BatchPrediction(
        results=[
            _batch_result(file.name, result)
            for file, result in zip(batch.files, results, strict=True)
        ],
        model=model.identity,
    )


def _batch_result(filename: str, result: Recognition | ImageError) -> BatchFaces | BatchError:
    if isinstance(result, ImageError):
        return BatchError(filename=filename, error=str(result))
    return BatchFaces(
        filename=filename, image=result.image, faces=result.faces, truncated=result.truncated
    )


def _add_headers(response: Response, model: ServedModel, results: list[Recognition]) -> None:
    response.headers.update(model.headers)
    response.headers["Server-Timing"] = _server_timing(results)


def _server_timing(results: list[Recognition]) -> str:
    """The duration of each step, summed over the images (W3C Server Timing, milliseconds)."""
    steps: dict[str, float] = {}
    for result in results:
        for step, seconds in result.seconds.items():
            steps[step] = steps.get(step, 0) + seconds
    return ", ".join(f"{step};dur={1000 * seconds:.2f}" for step, seconds in steps.items())
