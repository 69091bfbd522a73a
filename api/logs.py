"""JSON logs: one object per line, one line per request, never a query or a body."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers
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


class GatheringHandler(logging.StreamHandler):
    """Inside `gathering`, writes many lines in one go; a warning or worse is written at once.

    To write each request's line by itself costs the event loop more than the line's making.
    """

    def __init__(self):
        super().__init__()
        self._lines: list[str] = []
        self._gathers = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take in a line."""
        try:
            self._lines.append(self.format(record))
            if not self._gathers or record.levelno >= logging.WARNING:
                self.flush()
        except Exception:  # what cannot be logged must not stop what is logged
            self.handleError(record)

    def flush(self) -> None:
        """Write all lines."""
        with self.lock:
            if self._lines:
                text = "\n".join(self._lines) + "\n"
                self._lines.clear()
                self.stream.write(text)
            super().flush()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Write every tenth of a second inside, and what is left at the end."""
        end = threading.Event()

        def write() -> None:
            try:
                while not end.wait(0.1):
                    self.flush()
            finally:
                self._gathers = False

        writer = threading.Thread(target=write, name="log", daemon=True)
        self._gathers = True
        writer.start()
        try:
            yield
        finally:
            end.set()
            writer.join()
            self.flush()


@contextmanager
def lines_gathered() -> Iterator[None]:
    """Let the handler that `log_as_json` sets up, if it does, write many lines in one go."""
    with ExitStack() as stack:
        for handler in logging.getLogger("api").handlers:
            if isinstance(handler, GatheringHandler):
                stack.enter_context(handler.gathering())
        yield


def log_as_json() -> None:
    """Write the server's and uvicorn's logs as JSON, unless the root logger is set up already."""
    if logging.getLogger().handlers:
        return
    own = GatheringHandler()
    logging.getLogger("api").handlers = [own]
    logging.getLogger("api").setLevel(logging.INFO)
    for handler in (own, *logging.getLogger("uvicorn").handlers):
        handler.setFormatter(JsonFormatter())
    # A request has its line already, and so has a stream; uvicorn's would show the query.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.error").addFilter(lambda line: not UVICORNS.match(line.msg))
