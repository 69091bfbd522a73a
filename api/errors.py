"""Each error as JSON: {"detail": "one sentence"}, or {"error": …} where a protocol requires it."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from api.logs import request_id
from recognizer.errors import DetectorError, ImageError, TooManyPixelsError

UNKNOWN_NAME = "unknown_name"
"""Type of the validation error for a name that a model does not have."""

COMPLETE_MESSAGES = {"value_error", "json_invalid", "missing"}
"""Types of validation errors whose message is complete without "(found …)"."""


def problem_response(
    scope: Scope, status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The response for an error, in the shape that clients of the route expect."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    protocol = path in {"/v2", "/analyze"} or path.startswith("/v2/")
    return JSONResponse({"error" if protocol else "detail": sentence}, status, headers)


def status_of(error: ImageError | DetectorError) -> int:
    """The status of the response for this error: 413 or 422."""
    return 413 if isinstance(error, TooManyPixelsError) else 422


def validation_message(
    error: RequestValidationError | ValidationError,
    place: str,
    spelling: Callable[[str], str] = str,
) -> str:
    """One sentence for the first invalid value.

    Parameters
    ----------
    error : ValidationError
    place : str
        What a value is called there: "query parameter", "form field", "JSON field",
        "environment variable". The name of the value follows it.
    spelling : callable
        How a field's name is written there, for example in capitals.
    """
    problem = error.errors()[0]
    names = [spelling(str(name)) for name in problem["loc"]]
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    message = message.removeprefix("value error, ")
    if problem["type"] == UNKNOWN_NAME:
        names.append(problem["ctx"]["name"])
    elif problem["type"] not in COMPLETE_MESSAGES:
        message += f" (found {str(problem['input'])[:100]!r})"
    where = f"{place} {'.'.join(names)}" if names else place.split()[0]
    return f"{where}: {message}"


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    return problem_response(request.scope, error.status_code, error.detail, error.headers)


async def _invalid_image(request: Request, error: ImageError | DetectorError) -> JSONResponse:
    return problem_response(request.scope, status_of(error), str(error))


async def _invalid_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
    problem = error.errors()[0]
    place, *names = problem["loc"]
    error = RequestValidationError([{**problem, "loc": names}])
    return problem_response(request.scope, 422, validation_message(error, f"{place} parameter"))


async def _disconnected(request: Request, error: ClientDisconnect) -> JSONResponse:
    return problem_response(request.scope, 400, "the connection closed before the request ended")


async def _bug(request: Request, error: Exception) -> JSONResponse:
    # The traceback is logged after this response is sent, with the same request id.
    headers = {"X-Request-ID": request_id.get() or ""}
    return problem_response(request.scope, 500, "internal server error", headers)


Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]

EXCEPTION_HANDLERS: dict[int | type[Exception], Handler] = {
    HTTPException: _http,
    ImageError: _invalid_image,
    DetectorError: _invalid_image,
    RequestValidationError: _invalid_parameter,
    ClientDisconnect: _disconnected,
    Exception: _bug,
}
"""For `FastAPI(exception_handlers=…)`."""
