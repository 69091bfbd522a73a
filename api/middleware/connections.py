"""Connections that uvicorn would keep open: endless request heads, and streams at a stop.

`python -m api` sets both; by hand: `uvicorn --http api.middleware.connections:HttpConnection
--ws api.middleware.connections:StreamConnection api.app:app`.
"""

import asyncio
import logging

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = logging.getLogger(__name__)

TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 31\r\n"
    b"Connection: close\r\n\r\n"
    b"the request's head is too large"
)


class HttpConnection(HttpToolsProtocol):
    """HTTP whose request heads, and the fields after a body, are limited in bytes and in time.

    A body's bytes are counted by `BodyLimit`, its time and that of the answer by `Deadline`.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the timer for the first head."""
        super().connection_made(transport)
        settings = self.app_state["settings"]
        self.max_bytes = settings.max_head_bytes
        self.seconds = settings.deadline_seconds
        self._fed = 0  # bytes since the end of a head, or since a byte of a body
        self._timer = self.loop.call_later(self.seconds, self.shutdown)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, unless the head is too large."""
        self._fed += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._fed > self.max_bytes:
            self._refuse()
        elif self._timer is None and self._awaits_head():
            self._timer = self.loop.call_later(self.seconds, self.shutdown)

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._stop_timer()
        self._fed = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body arrived."""
        self._fed = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _awaits_head(self) -> bool:
        # uvicorn removes a connection that becomes a WebSocket from this set.
        at_work = self.cycle is not None and not self.cycle.response_complete
        return self in self.connections and not at_work

    def _refuse(self) -> None:
        log.warning("a request's head is larger than %d bytes", self.max_bytes)
        if self._awaits_head():
            self.transport.write(TOO_LARGE)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class StreamConnection(WebSocketsSansIOProtocol):
    """A WebSocket that the application closes when the server stops, after its last answers."""

    def shutdown(self) -> None:
        """Tell the application; a client that does not read its answers is cut off after a time."""
        if self.close_sent or not self.handshake_complete:
            super().shutdown()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1012})
        seconds = self.app_state["settings"].deadline_seconds
        self.loop.call_later(seconds, self.transport.abort)
