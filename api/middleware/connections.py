"""Limits that uvicorn lacks: of a request's head, and of the time that streams delay a shutdown.

`python -m api` passes both classes to uvicorn. The same by hand: `uvicorn --http
api.middleware.connections:HttpConnection --ws api.middleware.connections:StreamConnection
api.app:app`.
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
    """HTTP with limits on the size and the time of request heads and of trailer fields.

    `BodyLimit` limits the size of bodies, `Deadline` the time of bodies and responses.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first head."""
        super().connection_made(transport)
        settings = self.app_state["settings"]
        self.max_bytes = settings.max_head_bytes
        self.seconds = settings.deadline_seconds
        self._head_bytes = 0  # since the end of a head or the last byte of a body
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(self.seconds, self.shutdown)

    def data_received(self, data: bytes) -> None:
        """Parse bytes; refuse a head that is too large."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._head_bytes > self.max_bytes:
            self._refuse()
        elif self._timer is None and self._awaits_head():
            self._timer = self.loop.call_later(self.seconds, self.shutdown)

    def on_headers_complete(self) -> None:
        """Stop the timer, since a head is complete."""
        self._stop_timer()
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Do not count the bytes of a body."""
        self._head_bytes = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _awaits_head(self) -> bool:
        # uvicorn removes a connection that becomes a WebSocket from this set.
        responding = self.cycle is not None and not self.cycle.response_complete
        return self in self.connections and not responding

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
    """A WebSocket that the application closes at a shutdown, after its last responses."""

    def send_receive_event_to_app(self) -> None:
        """Close the connection after text that is not UTF-8; uvicorn logs a traceback as well."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                log.warning("a text message is not UTF-8")
                self.frames = []
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def shutdown(self) -> None:
        """Notify the application; abort the connection if it is open after the deadline."""
        if self.close_sent or not self.handshake_complete:
            super().shutdown()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1012})
        seconds = self.app_state["settings"].deadline_seconds
        self.loop.call_later(seconds, self.transport.abort)
