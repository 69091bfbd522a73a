"""Live video over a WebSocket: image files in, predictions out, always for the newest frame."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

import anyio
from fastapi import APIRouter, Depends, HTTPException, WebSocket
from starlette.websockets import WebSocketDisconnect

from api.errors import status_of
from api.models.served_model import Recognition, ServedModel
from api.newest_frame import NewestFrame, PendingFrame
from api.openapi import error_responses
from api.options import Options, QueryOptions, read_options, refuse_repeated
from api.schemas import StreamEnd, StreamError, StreamFaces, StreamTimes
from api.security import KEY_PREFIX, has_key, is_allowed_origin, keys_of_stream
from api.slots import Check
from api.state import Server, ServerState
from recognizer.errors import DetectorError, ImageError

log = logging.getLogger(__name__)

router = APIRouter(tags=["stream"])

SUBPROTOCOL = "fer.stream"
"""The subprotocol that the server selects. A browser offers it together with that of the key."""

TRY_AGAIN_LATER = 1013
POLICY_VIOLATION = 1008
CLOSE_CODES = {429: TRY_AGAIN_LATER, 503: TRY_AGAIN_LATER}
"""Close codes (RFC 6455, section 7.4, and the IANA registry); POLICY_VIOLATION for the others."""

SERVICE_RESTART = 1012
"""The code of the disconnection at a shutdown; see middleware/connections.py."""

IDLE = 0
"""Not a close code: no frame arrived for too long."""


@router.websocket("/stream")
async def stream(socket: WebSocket, server: Server) -> None:
    """Process the newest frame, again and again, until the client disconnects."""
    start = perf_counter()
    frames = NewestFrame()
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
    status = 101
    try:
        model, options = _admit(socket, server)
        _enter(server.streams)
        try:
            await Session(socket, server, model, options, frames).run()
        finally:
            server.streams.release()
    except HTTPException as refusal:
        status = refusal.status_code
        server.metrics.count_rejection(status)
        await _refuse(socket, refusal)
    finally:
        fields = {
            "method": "GET",
            "path": socket.scope["path"],
            "status": status,
            "milliseconds": round(1000 * (perf_counter() - start), 2),
            "frames": frames.received,
        }
        log.info("stream", extra={"fields": fields})


def _admit(socket: WebSocket, server: ServerState) -> tuple[ServedModel, Options]:
    """Check the origin, the key and the options; raises HTTPException with the reason."""
    if not is_allowed_origin(socket, server.settings.cors_origins):
        raise HTTPException(403, "pages of that site may not use this server")
    if not has_key(keys_of_stream(socket), server.settings.api_key):
        raise HTTPException(
            401,
            "the API key is missing or wrong: send it in the header X-API-Key, as Authorization:"
            " Bearer, or as a subprotocol",
        )
    options = read_options(socket)
    return server.models.choose(options), options


def _enter(streams: anyio.Semaphore) -> None:
    try:
        streams.acquire_nowait()
    except anyio.WouldBlock:
        raise HTTPException(429, "too many streams are open; try again later") from None


async def _refuse(socket: WebSocket, refusal: HTTPException) -> None:
    """Send the reason, and close."""
    end = StreamEnd(status=refusal.status_code, error=refusal.detail)
    with suppress(WebSocketDisconnect):  # the client has disconnected already
        await socket.send_text(end.model_dump_json())
        reason = refusal.detail.encode()[:123].decode(errors="ignore")
        await socket.close(CLOSE_CODES.get(refusal.status_code, POLICY_VIOLATION), reason)


@dataclass(frozen=True)
class Session:
    """An admitted stream."""

    socket: WebSocket
    server: ServerState
    model: ServedModel
    options: Options
    frames: NewestFrame

    async def run(self) -> None:
        """Receive and respond concurrently: a slow reader gets fewer messages, not older ones."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._respond)
            code = await self._receive()
            if code == SERVICE_RESTART:
                self.frames.end()
            else:
                tasks.cancel_scope.cancel()
        if code == SERVICE_RESTART:
            with suppress(WebSocketDisconnect):  # the client has disconnected already
                await self.socket.close(1001, "the server is stopping")
        if code == IDLE:
            seconds = self.server.settings.stream_idle_seconds
            raise HTTPException(408, f"no frame arrived for {seconds:g} seconds")

    async def _receive(self) -> int:
        """Receive frames until none arrives for too long, the client disconnects, or a shutdown.

        Returns IDLE, or the code of the disconnection.
        """
        while True:
            with anyio.move_on_after(self.server.settings.stream_idle_seconds) as idle:
                message = await self.socket.receive()
            if idle.cancelled_caught:
                return IDLE
            if message["type"] == "websocket.disconnect":
                return int(message["code"])
            self.frames.put(message.get("bytes"))

    async def _respond(self) -> None:
        """Send a message for each processed frame, until there are no more frames."""
        latest = 0
        while pending := await self.frames.pending():
            result = await self._recognize_newest(pending)
            number = pending.frame.number
            message = self._message(number, number - latest - 1, result)
            latest = number
            try:
                await self.socket.send_text(message.model_dump_json())
            except WebSocketDisconnect:  # `_receive` gets it as well
                return

    async def _recognize_newest(self, pending: PendingFrame) -> Recognition | HTTPException:
        """Wait for a slot as requests do; its thread takes the newest frame when it starts."""
        seconds = self.server.settings.deadline_seconds
        try:
            with anyio.fail_after(seconds):
                return await self.server.slots.run(
                    pending.pixels(self.server.settings), self._recognize, pending
                )
        except TimeoutError:
            return HTTPException(504, f"the frame was not answered within {seconds:g} seconds")
        except HTTPException as refusal:
            return refusal

    def _recognize(self, check: Check, pending: PendingFrame) -> Recognition:
        data, max_bytes = pending.frame.data, self.server.settings.max_bytes
        if data is None:
            raise HTTPException(415, "expected a binary message with an image file, found text")
        if len(data) > max_bytes:
            raise HTTPException(413, f"the frame is larger than {max_bytes:,} bytes")
        try:
            return self.model.recognize(check, data, self.options)
        except (ImageError, DetectorError) as error:
            raise HTTPException(status_of(error), str(error)) from error

    def _message(
        self, number: int, dropped: int, result: Recognition | HTTPException
    ) -> StreamFaces | StreamError:
        """The message for a frame; the metrics count it."""
        metrics = self.server.metrics
        metrics.frames.labels("dropped").inc(dropped)
        if isinstance(result, HTTPException):
            metrics.frames.labels("refused").inc()
            metrics.count_rejection(result.status_code)
            return StreamError(
                frame=number, dropped=dropped, status=result.status_code, error=result.detail
            )
        metrics.frames.labels("answered").inc()
        self.server.observe(result, self.model)
        times = {step: round(1000 * seconds, 2) for step, seconds in result.seconds.items()}
        return StreamFaces(
            frame=number,
            dropped=dropped,
            image=result.image,
            faces=result.faces,
            truncated=result.truncated,
            model=self.model.identity,
            milliseconds=StreamTimes(**times),
        )


# ---------------------------------------------------------------- documentation

DESCRIPTION = f"""
A WebSocket for live video. Each binary message of the client is one frame, an image file (JPEG is
fastest). Each message of the server is JSON. While the server processes a frame, newer frames
replace each other, and the next prediction is for the newest. The client may therefore send frames
at any rate. `frame` is the number of the frame (the first is 1), `dropped` the number of frames
that were skipped since the last message.

```json
{{"frame": 7, "dropped": 2, "image": {{"width": 640, "height": 480}}, "faces": [],
  "truncated": false, "milliseconds": {{"decode": 1.9, "detect": 9.4, "classify": 0.0}},
  "model": {{"name": "emotion", "version": "9f86…", "dataset": "fer2013"}}}}
```

The message for an invalid frame has an error, and the stream continues. `status` is the status of
`POST /predict` for this frame:

```json
{{"frame": 8, "dropped": 0, "status": 422, "error": "the JPEG image is damaged or cut short"}}
```

If the server closes the stream, the last message has the reason and no `frame`. The close code is
1013 if a later attempt may succeed (too many streams, no model ready), otherwise 1008. At a
shutdown, the server processes the frames that it has received and closes with 1001.

An API key is sent in the header `X-API-Key` or as `Authorization: Bearer`. Browsers cannot set
these headers. They offer two subprotocols instead: `{SUBPROTOCOL}`, and `{KEY_PREFIX}` followed by
the key in URL-safe base64 without padding. Pages of other sites are refused unless `CORS_ORIGINS`
lists them.
"""


@router.get(
    "/stream",
    status_code=426,
    description=DESCRIPTION,
    dependencies=[Depends(refuse_repeated)],
    responses=error_responses(
        {426: "This address is a WebSocket", 422: "The query cannot be parsed"}
    ),
)
async def describe_stream(options: QueryOptions) -> None:
    """A WebSocket for live video."""
    raise HTTPException(426, "this address is a WebSocket: see /docs", {"Upgrade": "websocket"})
