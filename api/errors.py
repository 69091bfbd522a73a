"""Every error as JSON: {"detail": "one sentence"}, or {"error": …} where a protocol wants that."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from api.logs import request_id
from api.schemas import Problem, Schema
from recognizer.errors import DetectorError, ImageError, TooManyPixelsError


def add_error_handlers(app: FastAPI) -> None:
    """Make `app` answer each kind of error with its status and a sentence."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ImageError, _refusal)
    app.add_exception_handler(DetectorError, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(ClientDisconnect, _broken_off)
    app.add_exception_handler(Exception, _bug)


OVERLOAD = {
    408: "The request did not arrive in time",
    429: "Too many images are waiting; `Retry-After` has the seconds to wait",
    503: "No model is ready",
    504: "The request was not answered in time",
}
"""The errors that every request for a prediction may get."""


def documented(problems: dict[int, str], shape: type[Schema] = Problem) -> dict:
    """The errors of a route for OpenAPI, from the meaning of each status there."""
    return {status: {"model": shape, "description": text} for status, text in problems.items()}


def problem_response(
    scope: Scope, status: int, sentence: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The answer for an error, in the shape that the clients of the route expect."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    protocol = path in {"/v2", "/analyze"} or path.startswith("/v2/")
    return JSONResponse({"error" if protocol else "detail": sentence}, status, headers)


def status_of(error: ImageError | DetectorError) -> int:
    """The status of an answer for this error: 413 or 422."""
    return 413 if isinstance(error, TooManyPixelsError) else 422


UNKNOWN_NAME = "unknown_name"
"""Type of the validation error for a name that a model does not have."""

COMPLETE_MESSAGES = {"value_error", "json_invalid", "missing"}
"""Types of validation errors whose message needs no "(found …)" behind it."""


def sentence_of(error: RequestValidationError | ValidationError, place: str) -> str:
    """One sentence for the first value that does not fit.

    `place` is the name of a value there: "query parameter", "form field", "JSON field".
    """
    problem = error.errors()[0]
    names = [str(name) for name in problem["loc"]]
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    message = message.removeprefix("value error, ")
    if problem["type"] == UNKNOWN_NAME:
        names.append(problem["ctx"]["name"])
    elif problem["type"] not in COMPLETE_MESSAGES:
        message += f" (found {str(problem['input'])[:100]!r})"
    where = f"{place} {'.'.join(names)}" if names else place.split()[0]
    return f"{where}: {message}"


async def _refusal(request: Request, error: ImageError | DetectorError) -> JSONResponse:
    return problem_response(request.scope, status_of(error), str(error))


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    return problem_response(request.scope, error.status_code, error.detail, error.headers)


async def _broken_off(request: Request, error: ClientDisconnect) -> JSONResponse:
    return problem_response(request.scope, 400, "the request broke off")


async def _bug(request: Request, error: Exception) -> JSONResponse:
    # The traceback is logged after this answer is sent, with the same id.
    headers = {"X-Request-ID": request_id.get() or ""}
    return problem_response(request.scope, 500, "internal server error", headers)


async def _invalid_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
    problem = error.errors()[0]
    place, *names = problem["loc"]
    error = RequestValidationError([{**problem, "loc": names}])
    return problem_response(request.scope, 422, sentence_of(error, f"{place} parameter"))
