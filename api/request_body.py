"""Request bodies: forms and JSON, parsed into models that refuse unknown names.

A large body is parsed in a thread, so that the event loop can serve other requests meanwhile.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar, get_origin

import anyio.to_thread
from fastapi import Request
from pydantic import PlainValidator, ValidationError, WithJsonSchema
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from api.base64_file import file_from_base64
from api.errors import validation_message
from api.openapi import BINARY
from api.options import KnownNames, single_values
from api.state import ServerState

# Images are never written to disk, not even as temporary files. The size limit of the body also
# limits the memory of a form.
MultiPartParser.spool_max_size = 2**63

Model = TypeVar("Model", bound=KnownNames)
P = ParamSpec("P")
Result = TypeVar("Result")

SMALL = 16 * 1024
"""A body of this many bytes is parsed at once: it takes less time than the change of threads."""

CHUNK = 64 * 1024
"""Bytes of a body that are parsed together."""

MAX_FIELDS = 20
"""Most fields of a form that are not files."""

MAX_VALUES = 1000
"""Most values in JSON with one image."""


@dataclass(frozen=True)
class FormFile:
    """A file in a form."""

    name: str
    """As the client sent it; it may be empty."""
    data: bytes = field(repr=False)


def _form_file(value: Any) -> FormFile:
    if not isinstance(value, FormFile):
        raise ValueError("expected a file, found text (curl: --form NAME=@FILE)")
    return value


def _file_in_base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("expected a string, the file in base64")
    return file_from_base64(value)


def _file_or_base64(value: Any) -> bytes:
    return value.data if isinstance(value, FormFile) else _file_in_base64(value)


File = Annotated[FormFile, PlainValidator(_form_file), WithJsonSchema(BINARY)]
"""A field of a form: a file."""

Base64File = Annotated[bytes, PlainValidator(_file_in_base64, json_schema_input_type=str)]
"""A field of JSON: a file in base64."""

FileOrBase64 = Annotated[bytes, PlainValidator(_file_or_base64), WithJsonSchema(BINARY)]
"""A field of a form: a file, or its bytes in base64."""


def content_type_of(request: Request) -> str:
    """The content type of a request's body, without parameters."""
    # A body without a content type is binary data (RFC 9110, section 8.3).
    header = request.headers.get("content-type", "application/octet-stream")
    return header.partition(";")[0].strip().lower()


async def form_of(
    request: Request,
    model: type[Model],
    *,
    max_files: int = 1,
    max_part_size: int = 2**20,
    status: int = 422,
) -> Model:
    """Parse a form into a model.

    Parameters
    ----------
    max_files : int
        Most files; above it, 413.
    max_part_size : int
        Largest field without a file name, in bytes.
    status : int
        Status of the error for an invalid field.

    Raises
    ------
    HTTPException
        400 for a form that cannot be parsed, 413, 415 for a charset other than UTF-8, or `status`.
    """
    _check_charset(request)
    body = await body_of(request)
    limits = {"max_fields": MAX_FIELDS, "max_part_size": max_part_size}
    if content_type_of(request) == "multipart/form-data":
        limits["max_files"] = max_files
    try:
        pairs = await in_thread(request, len(body), _pairs_of_form, request.headers, body, limits)
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            message = f"the form has too many files: at most {max_files} are accepted"
            raise HTTPException(413, message) from error
        raise HTTPException(400, error.message) from error
    lists = [
        name for name, known in model.model_fields.items() if get_origin(known.annotation) is list
    ]
    try:
        return model.model_validate(single_values(pairs, lists))
    except ValidationError as error:
        raise HTTPException(status, validation_message(error, "form field")) from None
    except ValueError as error:
        raise HTTPException(status, f"form field {error}") from None


async def json_of(request: Request, model: type[Model], *, status: int = 422) -> Model:
    """Parse a JSON body into a model.

    Raises
    ------
    HTTPException
        400 for a body that is not JSON, 413 for too many values, `status` for an invalid field.
    """
    body = await body_of(request)
    try:
        return await in_thread(request, len(body), _model_of_json, model, body)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            status = 400
        raise HTTPException(status, validation_message(error, "JSON field")) from None


def _model_of_json(model: type[Model], body: bytes) -> Model:
    check_values(body, MAX_VALUES, MAX_VALUES)
    return model.model_validate_json(body)


async def body_of(request: Request) -> bytes:
    """The whole body; unlike `request.body()`, the request keeps no copy."""
    return b"".join([chunk async for chunk in request.stream()])


async def in_thread(
    request: Request,
    size: int,
    function: Callable[P, Result],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Result:
    """Call a function that parses `size` bytes, in a thread if they are many."""
    if size <= SMALL:
        return function(*args, **kwargs)
    server: ServerState = request.app.state.server
    return await anyio.to_thread.run_sync(
        partial(function, *args, **kwargs), limiter=server.parsers
    )


def check_values(text: bytes, values: int, containers: int) -> None:
    """Bound the memory of parsed JSON before it is parsed; the parser itself limits the depth.

    Commas, brackets and braces are counted, those in strings too.

    Parameters
    ----------
    text : bytes
    values, containers : int
        The most values, and the most lists and objects.

    Raises
    ------
    HTTPException
        413: the JSON may have more.
    """
    commas = opened = 0
    # The count ends early. Between two parts, other threads run.
    for start in range(0, len(text), CHUNK):
        part = text[start : start + CHUNK]
        commas += part.count(b",")
        opened += part.count(b"[") + part.count(b"{")
        if commas > values or opened > containers:
            raise HTTPException(413, "the JSON has too many values")


def _pairs_of_form(
    headers: Headers, body: bytes, limits: dict[str, int]
) -> list[tuple[str, str | FormFile]]:
    """The names and values of a form's fields."""
    parser: Any = MultiPartParser if "max_files" in limits else FormParser
    form: FormData = _completed(parser(headers, _chunks(body), **limits).parse())
    return [(name, _completed(_content(value))) for name, value in form.multi_items()]


async def _chunks(body: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]
    yield b""


def _completed(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that never waits: the body and its files are in memory."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise RuntimeError("a parser of Starlette waits")


async def _content(value: str | UploadFile) -> str | FormFile:
    if isinstance(value, UploadFile):
        return FormFile(value.filename or "", await value.read())
    return value


def _check_charset(request: Request) -> None:
    """Refuse every charset but UTF-8 (RFC 7578, section 5.1)."""
    _, parameters = parse_options_header(request.headers.get("content-type"))
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1")
    # Python also has codecs that are not for text; some of them raise other errors.
    if charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise HTTPException(415, f"the form's charset is {charset[:100]!r}, expected utf-8")
