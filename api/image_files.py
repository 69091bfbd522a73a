"""The image files in a request, however it packs them: as a form, as they are, or in JSON."""

import re
from base64 import b64decode

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

DATA_URL = re.compile(r"\A\s*data:[^,]*;base64,", re.IGNORECASE)


class ImageInJson(BaseModel):
    """The JSON body of one image."""

    image: str = Field(
        description="The file in base64, with or without `data:image/jpeg;base64,` before it."
    )


async def one_image_file(request: Request) -> bytes:
    """The bytes of the only image file in a request."""
    content_type = _content_type(request)
    if content_type == "multipart/form-data":
        async with request.form(max_files=1, max_fields=10) as form:
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
    content_type = _content_type(request)
    if content_type != "multipart/form-data":
        raise HTTPException(
            415,
            f"content type {content_type[:100]!r} is not supported: send the images in a form,"
            " each in a field 'files'",
        )
    try:
        async with request.form(max_files=max_files, max_fields=10) as form:
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


def _content_type(request: Request) -> str:
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
        # Line breaks are usual in base64; everything else foreign is a mistake.
        return b64decode("".join(DATA_URL.sub("", text).split()), validate=True)
    except ValueError:
        raise HTTPException(
            422,
            "the image in the JSON body is no base64: send the file's bytes in base64, with or"
            " without 'data:image/jpeg;base64,' before them",
        ) from None
