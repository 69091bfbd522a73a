"""Every error as JSON: {"detail": "one sentence"}."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from api.logs import request_id
from recognizer.errors import ImageError, TooManyPixelsError


def add_error_handlers(app: FastAPI) -> None:
    """Make `app` answer each kind of error with its status and a sentence."""
    app.add_exception_handler(TooManyPixelsError, _answer(413))
    app.add_exception_handler(ImageError, _answer(422))
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(ClientDisconnect, _answer(400, "the request broke off"))
    app.add_exception_handler(Exception, _bug)


def _answer(status: int, detail: str | None = None):
    async def handle(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": detail or str(error)}, status)

    return handle


async def _bug(request: Request, error: Exception) -> JSONResponse:
    # The traceback is logged after this answer is sent, with the same id.
    headers = {"X-Request-ID": request_id.get() or ""}
    return JSONResponse({"detail": "internal server error"}, 500, headers)


async def _invalid_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
    problem = error.errors()[0]
    where, *name = problem["loc"]
    parameter = ".".join(map(str, name))
    found = str(problem["input"])[:100]
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    return JSONResponse(
        {"detail": f"{where} parameter {parameter}: {message} (found {found!r})"}, 422
    )
