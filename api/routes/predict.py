"""The emotions in one image."""

from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.datastructures import UploadFile

from api.schemas import ImageSize, ModelIdentity, Prediction, Problem
from api.served_model import ReadyModel
from recognizer.faces import DETECTORS

router = APIRouter(tags=["prediction"])

BINARY = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary", "description": "The image."}},
}
REQUEST_BODY = {
    "required": True,
    "description": "A JPEG, PNG, WebP, BMP or TIFF, as a form's field `file` or as it is.",
    "content": {
        "multipart/form-data": {"schema": FORM},
        "image/*": BINARY,
        "application/octet-stream": BINARY,
    },
}
PROBLEMS = {
    400: "The form cannot be read, or has no file",
    413: "Too many bytes or too many pixels",
    415: "The content type is neither a form nor an image",
    422: "Not an image, a damaged one, or a parameter out of range",
    503: "No model is ready",
}


@router.post(
    "/predict",
    openapi_extra={"requestBody": REQUEST_BODY},
    responses={
        status: {"model": Problem, "description": text} for status, text in PROBLEMS.items()
    },
)
async def predict(
    request: Request,
    model: ReadyModel,
    faces: Annotated[
        Literal[tuple(DETECTORS)],
        Query(description="How faces are found; `whole` takes the whole image as one face."),
    ] = "haar",
) -> Prediction:
    """Find every face in an image and tell its emotion. No face is an empty list."""
    data = await _image_file(request)
    image, found = await to_thread.run_sync(
        model.recognize, data, faces, limiter=request.app.state.limiter
    )
    height, width = image.shape
    return Prediction(
        image=ImageSize(width=width, height=height),
        faces=found,
        model=ModelIdentity(
            name=model.name, version=model.classifier.version, dataset=model.classifier.dataset
        ),
    )


async def _image_file(request: Request) -> bytes:
    """The bytes of the image file in a request, however it is packed."""
    # Without a content type, a body is taken for bytes (RFC 9110, 8.3).
    header = request.headers.get("content-type", "application/octet-stream")
    content_type = header.partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        async with request.form(max_files=1, max_fields=10) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise HTTPException(400, "the form has no file in a field named 'file'")
            return await file.read()
    if content_type.startswith("image/") or content_type == "application/octet-stream":
        return await request.body()
    raise HTTPException(
        415,
        f"content type {content_type[:100]!r} is not supported: send the image in a form's field"
        " 'file', or as the body with its type, for instance image/jpeg",
    )
