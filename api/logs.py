"""JSON logs: one object per line, never a query string or a body.

middleware/request_log.py writes the line of each request.
"""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

UVICORN_WEBSOCKET = re.compile(r'%s - "WebSocket|connection (open|closed)$')
"""Uvicorn's lines about a WebSocket; they contain the query string."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the current request."""

trace_ids: ContextVar[dict[str, str] | None] = ContextVar("trace_ids", default=None)
"""`trace_id` and `parent_id` of the current request, if it has a valid `traceparent`."""


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON, with the ids of its request if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
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
    """Write all logs as JSON, unless the root logger is configured already.

    The level is INFO for the server and WARNING for libraries.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    root.addHandler(logging.StreamHandler())
    logging.getLogger("api").setLevel(logging.INFO)
    for handler in (*root.handlers, *logging.getLogger("uvicorn").handlers):
        handler.setFormatter(JsonFormatter())
    # Every request and every stream has a line of its own. Uvicorn's would show the query string.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.error").addFilter(
        # The message may be an exception, for example of a socket.
        lambda record: not UVICORN_WEBSOCKET.match(str(record.msg))
    )
