"""The emotions in one image, and in many."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException

from api.base64_file import DESCRIPTION
from api.dependencies import Counters, Limits, Models, Slots
from api.errors import OVERLOAD, documented
from api.models.served_model import Recognition, ServedModel
from api.options import InQuery, Options, merged, refuse_repeated
from api.request_body import BINARY, Base64File, File, FormFile, content_type_of, form_of, json_of
from api.schemas import (
    EXAMPLE_IMAGE,
    BatchError,
    BatchFaces,
    BatchPrediction,
    ModelIdentity,
    Prediction,
    form_schema,
    request_schema,
)
from recognizer.errors import ImageError

router = APIRouter(tags=["prediction"], dependencies=[Depends(refuse_repeated)])


# ---------------------------------------------------------------- requests


class ImageForm(Options):
    """A form with one image; its other fields are options."""

    file: File = Field(description="The image.")


class ImageInJson(Options):
    """One image in JSON; the other keys are options."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": EXAMPLE_IMAGE}]})

    image: Base64File = Field(description=DESCRIPTION)


class BatchForm(Options):
    """A form with many images; its other fields are options."""

    files: list[File] = Field(min_length=1, description="The images.")


@dataclass(frozen=True)
class OneImage:
    """A request for the faces in one image."""

    data: bytes
    """The image file."""
    options: Options


@dataclass(frozen=True)
class ManyImages:
    """A request for the faces in many images."""

    files: list[FormFile]
    options: Options


async def one_image(request: Request, query: InQuery) -> OneImage:
    """Read an image and its options: from a form, from JSON, or the image as the body itself."""
    content_type = content_type_of(request)
    if content_type == "multipart/form-data":
        form = await form_of(request, ImageForm)
        return OneImage(form.file.data, merged(query, form, ("query", "form")))
    if content_type == "application/json":
        body = await json_of(request, ImageInJson)
        return OneImage(body.image, merged(query, body, ("query", "JSON")))
    if content_type.startswith("image/") or content_type == "application/octet-stream":
        return OneImage(await request.body(), query)
    raise HTTPException(
        415,
        f"content type {content_type[:100]!r} is not supported: send the image in a form's field"
        " 'file', or as the body with its type, for instance image/jpeg, or in JSON",
    )


async def many_images(request: Request, query: InQuery, limits: Limits) -> ManyImages:
    """Read the images of a form and their options."""
    content_type = content_type_of(request)
    if content_type != "multipart/form-data":
        raise HTTPException(
            415,
            f"content type {content_type[:100]!r} is not supported: send the images in a form,"
            " each in a field 'files'",
        )
    form = await form_of(request, BatchForm, max_files=limits.max_batch)
    return ManyImages(form.files, merged(query, form, ("query", "form")))


# FastAPI describes one content type for a body, and these routes take several.
ONE_IMAGE = {
    "required": True,
    "description": "An image file, for instance a JPEG: as the field `file` of a form, as the body"
    " itself, or in JSON. The options of the query may stand in the form or the JSON instead.",
    "content": {
        "multipart/form-data": {"schema": form_schema(ImageForm)},
        "image/*": {"schema": BINARY},
        "application/octet-stream": {"schema": BINARY},
        "application/json": {"schema": request_schema(ImageInJson)},
    },
}
MANY_IMAGES = {
    "required": True,
    "description": "The options of the query may stand in the form instead.",
    "content": {"multipart/form-data": {"schema": form_schema(BatchForm)}},
}
PROBLEMS = {
    400: "The form or the JSON cannot be read",
    404: "No such version is served",
    413: "Too many bytes, pixels or files",
    415: "The content type is not supported",
    422: "An option is unknown, out of range or given twice, or the image cannot be decoded",
    **OVERLOAD,
}


# ---------------------------------------------------------------- routes


@router.post("/predict", openapi_extra={"requestBody": ONE_IMAGE}, responses=documented(PROBLEMS))
async def predict(
    response: Response,
    image: Annotated[OneImage, Depends(one_image)],
    models: Models,
    slots: Slots,
    metrics: Counters,
) -> Prediction:
    """Find every face in an image and recognize its emotion. No face is an empty list."""
    model = models.find(image.options.version)
    found = await slots.run(model.recognize, image.data, image.options)
    metrics.observe(found, model.version)
    _add_headers(response, model, [found])
    return Prediction(
        image=found.image, faces=found.faces, truncated=found.truncated, model=identity(model)
    )


@router.post(
    "/predict/batch", openapi_extra={"requestBody": MANY_IMAGES}, responses=documented(PROBLEMS)
)
async def predict_batch(
    response: Response,
    images: Annotated[ManyImages, Depends(many_images)],
    models: Models,
    slots: Slots,
    metrics: Counters,
) -> BatchPrediction:
    """Recognize many images. An image that cannot be decoded gets an error of its own."""
    model = models.find(images.options.version)
    contents = [file.data for file in images.files]
    found = await slots.run(model.recognize_each, contents, images.options)
    good = [result for result in found if isinstance(result, Recognition)]
    for result in good:
        metrics.observe(result, model.version)
    _add_headers(response, model, good)
    return BatchPrediction(
        results=[_result(file.name, one) for file, one in zip(images.files, found, strict=True)],
        model=identity(model),
    )


def _result(filename: str, result: Recognition | ImageError) -> BatchFaces | BatchError:
    if isinstance(result, ImageError):
        return BatchError(filename=filename, error=str(result))
    return BatchFaces(
        filename=filename, image=result.image, faces=result.faces, truncated=result.truncated
    )


def identity(model: ServedModel) -> ModelIdentity:
    """The model's part of an answer."""
    return ModelIdentity(name=model.name, version=model.version, dataset=model.classifier.dataset)


def _add_headers(response: Response, model: ServedModel, results: list[Recognition]) -> None:
    response.headers["X-Model-Version"] = model.version
    response.headers["Server-Timing"] = _server_timing(results)


def _server_timing(results: list[Recognition]) -> str:
    """The time of each step, summed over the images (W3C Server Timing, milliseconds)."""
    steps = {}
    for result in results:
        for step, seconds in result.seconds.items():
            steps[step] = steps.get(step, 0) + seconds
    return ", ".join(f"{step};dur={1000 * seconds:.2f}" for step, seconds in steps.items())
