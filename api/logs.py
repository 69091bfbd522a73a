"""JSON logs: one object per line, one line per request, never a query or a body."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

SANE_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
"""What is accepted as a request's id."""

UVICORNS = re.compile(r'%s - "WebSocket|connection (open|closed)$')
"""What uvicorn logs of a WebSocket, with its query."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being answered."""


class LogRequests:
    """ASGI middleware that gives every request an id, returns it, and logs one line at the end.

    A sane `X-Request-ID` of the client's is kept. A stream gets an id, and logs its line itself.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id.set(sent if SANE_ID.fullmatch(sent) else uuid4().hex)
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        status = 500  # unless an answer begins

        async def tagging_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id.get()
            await send(message)

        start = perf_counter()
        try:
            await self.app(scope, receive, tagging_send)
        finally:
            fields = {
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "milliseconds": round(1000 * (perf_counter() - start), 2),
            }
            log.info("request", extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON, with the id of its request, if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identity := request_id.get():
            line["request_id"] = identity
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json() -> None:
    """Write the server's and uvicorn's logs as JSON, unless the root logger is set up already."""
    if logging.getLogger().handlers:
        return
    own = logging.StreamHandler()
    logging.getLogger("api").handlers = [own]
    logging.getLogger("api").setLevel(logging.INFO)
    for handler in (own, *logging.getLogger("uvicorn").handlers):
        handler.setFormatter(JsonFormatter())
    # A request has its line already, and so has a stream; uvicorn's would show the query.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.error").addFilter(lambda line: not UVICORNS.match(line.msg))
