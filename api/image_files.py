"""The image files in a request, however it packs them: as a form, as they are, or in JSON."""

import re
from base64 import b64decode
from contextlib import AbstractAsyncContextManager

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from api.schemas import EXAMPLE_IMAGE

# No picture of a visitor's touches the disk, not even as a temporary file; what a request may
# hold in memory is limited by its body's length.
MultiPartParser.spool_max_size = 2**63

DATA_URL = re.compile(r"\A\s*data:[^,]*;base64,", re.IGNORECASE)


class ImageInJson(BaseModel):
    """The JSON body of one image."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": EXAMPLE_IMAGE}]})

    image: str = Field(
        description="The file in base64, with or without `data:image/jpeg;base64,` before it."
    )


async def one_image_file(request: Request) -> bytes:
    """The bytes of the only image file in a request."""
    content_type = content_type_of(request)
    if content_type == "multipart/form-data":
        async with form_of(request, max_files=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise HTTPException(400, "the form has no file in a field named 'file'")
            return await file.read()
    if content_type.startswith("image/") or content_type == "application/octet-stream":
        return await request.body()
    if content_type == "application/json":
        return _from_json(await request.body())
    raise HTTPException(
        415,
        f"content type {content_type[:100]!r} is not supported: send the image in a form's field"
        " 'file', or as the body with its type, for instance image/jpeg, or in JSON",
    )


async def many_image_files(request: Request, max_files: int) -> list[tuple[str, bytes]]:
    """Name and bytes of each file in a form's field `files`, in their order."""
    content_type = content_type_of(request)
    if content_type != "multipart/form-data":
        raise HTTPException(
            415,
            f"content type {content_type[:100]!r} is not supported: send the images in a form,"
            " each in a field 'files'",
        )
    try:
        async with form_of(request, max_files=max_files) as form:
            files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
            if not files:
                raise HTTPException(400, "the form has no file in a field named 'files'")
            return [(file.filename or "", await file.read()) for file in files]
    except HTTPException as error:
        if error.detail.startswith("Too many files"):
            raise HTTPException(
                413, f"the form has too many files: at most {max_files} are accepted at once"
            ) from error
        raise


def form_of(request: Request, **limits: int) -> AbstractAsyncContextManager[FormData]:
    """Read a form; `limits` are those of `Request.form`. Its texts are in UTF-8 (RFC 7578, 5.1)."""
    _, parameters = parse_options_header(request.headers.get("content-type"))
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1")
    # Python has codecs that are not for text, and some of them fail.
    if charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise HTTPException(415, f"the form's charset is {charset[:100]!r}, expected utf-8")
    return request.form(max_fields=20, **limits)


def content_type_of(request: Request) -> str:
    """The type of a request's body, without parameters."""
    # Without a content type, a body is taken for bytes (RFC 9110, 8.3).
    header = request.headers.get("content-type", "application/octet-stream")
    return header.partition(";")[0].strip().lower()


def _from_json(body: bytes) -> bytes:
    try:
        text = ImageInJson.model_validate_json(body).image
    except ValidationError:
        raise HTTPException(
            400, 'the JSON body cannot be read: expected {"image": "<the file in base64>"}'
        ) from None
    try:
        return from_base64(text)
    except ValueError:
        raise HTTPException(
            422,
            "the image in the JSON body is no base64: send the file's bytes in base64, with or"
            " without 'data:image/jpeg;base64,' before them",
        ) from None


def from_base64(text: str) -> bytes:
    """The bytes of a file in base64, with or without a data URL's prefix; else ValueError."""
    # Line breaks are usual in base64; everything else foreign is a mistake.
    return b64decode("".join(DATA_URL.sub("", text).split()), validate=True)
