"""An id and one log line for every request."""

import logging
import re
from time import perf_counter
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.logs import request_id, trace_ids

log = logging.getLogger(__name__)

ACCEPTED_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
"""An `X-Request-ID` of a client that is kept."""

TRACE_CONTEXT = TraceContextTextMapPropagator()
"""Parses the header `traceparent` (W3C Trace Context)."""


class RequestLog:
    """ASGI middleware that gives every request an id, returns it, and logs one line at the end.

    A valid `X-Request-ID` of the client is kept. The ids of a `traceparent` are logged. A stream
    gets its id here; routes/stream.py logs its line.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent = headers.get("x-request-id", "")
        identity = sent if ACCEPTED_ID.fullmatch(sent) else uuid4().hex
        request_id.set(identity)
        trace_ids.set(_trace_of(headers))
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        status = 500  # unless a response starts

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
            await send(message)

        start = perf_counter()
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            fields = {
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "milliseconds": round(1000 * (perf_counter() - start), 2),
            }
            log.info("request", extra={"fields": fields})


def _trace_of(headers: Headers) -> dict[str, str] | None:
    """The ids of the request's trace and of the caller's span in it."""
    context = TRACE_CONTEXT.extract({"traceparent": headers.getlist("traceparent")})
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid:
        return None
    return {
        "trace_id": trace.format_trace_id(span.trace_id),
        "parent_id": trace.format_span_id(span.span_id),
    }
