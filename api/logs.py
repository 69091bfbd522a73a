"""JSON logs: one object per line, one line per request, never a query or a body."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

ACCEPTED_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
"""An `X-Request-ID` that is kept."""

UVICORNS = re.compile(r'%s - "WebSocket|connection (open|closed)$')
"""Uvicorn's lines about a WebSocket, which have its query."""

TRACE_CONTEXT = TraceContextTextMapPropagator()
"""Reads the header `traceparent` (W3C Trace Context)."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered."""

trace_ids: ContextVar[dict[str, str] | None] = ContextVar("trace_ids", default=None)
"""`trace_id` and `parent_id` of that request, if it has a valid `traceparent`."""


class LogRequests:
    """ASGI middleware that gives every request an id, returns it, and logs one line at the end.

    An `X-Request-ID` of the client is kept if it is short and plain. The trace of a `traceparent`
    is logged. A stream gets its id here, and logs its line itself.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent = headers.get("x-request-id", "")
        request_id.set(sent if ACCEPTED_ID.fullmatch(sent) else uuid4().hex)
        trace_ids.set(_trace_of(headers))
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        status = 500  # unless an answer begins

        async def tagging_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                identity = (b"x-request-id", request_id.get().encode())
                message["headers"] = [*message["headers"], identity]
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


def _trace_of(headers: Headers) -> dict[str, str] | None:
    """The ids of the trace that a request belongs to, and of the caller's span in it."""
    context = TRACE_CONTEXT.extract({"traceparent": headers.getlist("traceparent")})
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid:
        return None
    return {
        "trace_id": trace.format_trace_id(span.trace_id),
        "parent_id": trace.format_span_id(span.span_id),
    }


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON, with the ids of its request, if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identity := request_id.get():
            line["request_id"] = identity
        line |= trace_ids.get() or {}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json() -> None:
    """Write all logs as JSON, unless the root logger is set up already.

    The server's lines are written from INFO on, those of libraries from WARNING on.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    root.addHandler(logging.StreamHandler())
    logging.getLogger("api").setLevel(logging.INFO)
    for handler in (*root.handlers, *logging.getLogger("uvicorn").handlers):
        handler.setFormatter(JsonFormatter())
    # Every request and stream has its own line; uvicorn's would show the query.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.error").addFilter(lambda line: not UVICORNS.match(line.msg))
