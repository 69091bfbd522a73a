"""Live video over a WebSocket: image files in, answers out, always for the newest frame."""

import asyncio
import logging
import threading
from collections import deque
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

import anyio
from fastapi import APIRouter, Depends, HTTPException, WebSocket
from starlette.datastructures import State
from starlette.websockets import WebSocketDisconnect

from api.errors import documented, status_of
from api.models.served_model import Recognition, ServedModel
from api.options import InQuery, Options, read_options, refuse_repeated
from api.routes.predict import identity
from api.schemas import StreamEnd, StreamError, StreamFaces, StreamTimes
from api.security import KEY_PREFIX, is_allowed_origin, is_key, keys_of_stream
from recognizer.errors import DetectorError, ImageError

log = logging.getLogger(__name__)

router = APIRouter(tags=["stream"])

SUBPROTOCOL = "fer.stream"
"""The subprotocol that the server agrees on; a browser that sends a key offers it as well."""

CLOSE_CODES = {429: 1013, 503: 1013}
"""Try again later (RFC 6455, 7.4, and IANA's registry); every other status is 1008, refused."""

SERVER_STOPS = 1012
"""Code of the disconnection when the server stops."""

IDLE = 0
"""No close code."""


class Frame(NamedTuple):
    """A message of the client."""

    number: int
    data: bytes | None
    """None for a message that is text."""


class NewestFrame:
    """A place for one frame: the newest that was not taken yet."""

    def __init__(self):
        self.received = 0
        self.ended = False
        self._frame: deque[Frame] = deque(maxlen=1)
        self._arrived = asyncio.Event()

    def put(self, data: bytes | None) -> None:
        """Number a frame that arrived, and replace the one that was not taken."""
        self.received += 1
        self._frame.append(Frame(self.received, data))
        self._arrived.set()

    def end(self) -> None:
        """No frame will arrive any more."""
        self.ended = True
        self._arrived.set()

    async def arrival(self) -> "Turn | None":
        """Wait until there is a frame, and return the right to take it; None at the end."""
        while not self._frame:
            if self.ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return Turn(self._frame)


class Turn:
    """The right to take one frame: the newest at the moment when it is first asked for.

    A slot's thread asks when it begins; the event loop asks after a timeout.
    """

    def __init__(self, newest: deque[Frame]):
        self._newest = newest
        self._taken: Frame | None = None
        self._lock = threading.Lock()

    @property
    def frame(self) -> Frame:
        """The same one every time."""
        with self._lock:
            if self._taken is None:
                self._taken = self._newest.pop()
            return self._taken


# ---------------------------------------------------------------- one stream


@router.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    """Answer the newest frame, again and again, until the client goes."""
    start = perf_counter()
    newest = NewestFrame()
    streams: anyio.Semaphore = socket.app.state.streams
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
    status = 101
    try:
        model, options = _admit(socket)
        _enter(streams)
        try:
            await _converse(socket, model, options, newest)
        finally:
            streams.release()
    except HTTPException as refusal:
        status = refusal.status_code
        await _end(socket, refusal)
    finally:
        fields = {
            "method": "GET",
            "path": socket.scope["path"],
            "status": status,
            "milliseconds": round(1000 * (perf_counter() - start), 2),
            "frames": newest.received,
        }
        log.info("stream", extra={"fields": fields})


def _admit(socket: WebSocket) -> tuple[ServedModel, Options]:
    """Check the origin, the key and the options; raises HTTPException with the reason."""
    settings = socket.app.state.settings
    if not is_allowed_origin(socket, settings.cors_origins):
        raise HTTPException(403, "this server is not open to the pages of that site")
    if not is_key(keys_of_stream(socket), settings.api_key):
        raise HTTPException(
            401,
            "the API key is missing or wrong: send it in the header X-API-Key, as Authorization:"
            " Bearer, or as a subprotocol",
        )
    options = read_options(socket)
    return socket.app.state.models.find(options.version), options


def _enter(streams: anyio.Semaphore) -> None:
    try:
        streams.acquire_nowait()
    except anyio.WouldBlock:
        raise HTTPException(429, "too many streams are open; try again later") from None


async def _end(socket: WebSocket, refusal: HTTPException) -> None:
    """Say why, and close."""
    socket.app.state.metrics.count_rejection(refusal.status_code)
    end = StreamEnd(status=refusal.status_code, error=refusal.detail)
    with suppress(WebSocketDisconnect):  # gone already
        await socket.send_text(end.model_dump_json())
        reason = refusal.detail.encode()[:123].decode(errors="ignore")
        await socket.close(CLOSE_CODES.get(refusal.status_code, 1008), reason)


async def _converse(
    socket: WebSocket, model: ServedModel, options: Options, newest: NewestFrame
) -> None:
    """Receive and answer at the same time: a slow reader gets fewer answers, not older ones."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_answer, socket, model, options, newest)
        ending = await _receive(socket, newest)
        if ending == SERVER_STOPS:
            newest.end()
        else:
            tasks.cancel_scope.cancel()
    if ending == SERVER_STOPS:
        with suppress(WebSocketDisconnect):  # gone already
            await socket.close(1001, "the server is stopping")
    if ending == IDLE:
        seconds = socket.app.state.settings.stream_idle_seconds
        raise HTTPException(408, f"no frame came for {seconds:g} seconds")


async def _receive(socket: WebSocket, newest: NewestFrame) -> int:
    """Receive frames until none comes for too long, the client goes, or the server stops.

    Returns IDLE, SERVER_STOPS, or the client's close code.
    """
    while True:
        with anyio.move_on_after(socket.app.state.settings.stream_idle_seconds) as idle:
            message = await socket.receive()
        if idle.cancelled_caught:
            return IDLE
        if message["type"] == "websocket.disconnect":
            return message["code"]
        newest.put(message.get("bytes"))


async def _answer(
    socket: WebSocket, model: ServedModel, options: Options, newest: NewestFrame
) -> None:
    metrics = socket.app.state.metrics
    answered = 0
    while turn := await newest.arrival():
        result = await _recognize_newest(socket.app.state, model, options, turn)
        frame = turn.frame
        position = {"frame": frame.number, "dropped": frame.number - answered - 1}
        answered = frame.number
        metrics.frames.labels("dropped").inc(position["dropped"])
        if isinstance(result, HTTPException):
            metrics.frames.labels("refused").inc()
            metrics.count_rejection(result.status_code)
            answer = StreamError(status=result.status_code, error=result.detail, **position)
        else:
            metrics.frames.labels("answered").inc()
            metrics.observe(result, model.version)
            answer = StreamFaces(
                image=result.image,
                faces=result.faces,
                truncated=result.truncated,
                model=identity(model),
                milliseconds=StreamTimes(
                    **{step: round(1000 * time, 2) for step, time in result.seconds.items()}
                ),
                **position,
            )
        try:
            await socket.send_text(answer.model_dump_json())
        except WebSocketDisconnect:  # `_receive` gets it as well
            return


async def _recognize_newest(
    state: State, model: ServedModel, options: Options, turn: Turn
) -> Recognition | HTTPException:
    """Wait for a slot as every request does; its thread takes the newest frame of that moment."""
    seconds = state.settings.deadline_seconds
    try:
        with anyio.fail_after(seconds):
            return await state.slots.run(_recognize, model, turn, options, state.settings.max_bytes)
    except TimeoutError:
        return HTTPException(504, f"the frame was not answered within {seconds:g} seconds")
    except HTTPException as refusal:
        return refusal


def _recognize(model: ServedModel, turn: Turn, options: Options, max_bytes: int) -> Recognition:
    data = turn.frame.data
    if data is None:
        raise HTTPException(415, "a frame is a binary message with an image file, not text")
    if len(data) > max_bytes:
        raise HTTPException(413, f"the frame is larger than {max_bytes:,} bytes")
    try:
        return model.recognize(data, options)
    except (ImageError, DetectorError) as error:
        raise HTTPException(status_of(error), str(error)) from error


# ---------------------------------------------------------------- the documentation

DESCRIPTION = f"""
A WebSocket for live video. Each binary message is one frame, an image file (JPEG is the
quickest); each answer is one text message of JSON. While one frame is being recognized, newer
ones replace each other: the next answer is for the newest. So send as many as you like. `frame` is
the number of the frame (the first is 1), `dropped` how many were skipped since the last answer.

```json
{{"frame": 7, "dropped": 2, "image": {{"width": 640, "height": 480}}, "faces": [],
  "truncated": false, "milliseconds": {{"decode": 1.9, "detect": 9.4, "classify": 0.0}},
  "model": {{"name": "emotion", "version": "9f86…", "dataset": "fer2013"}}}}
```

A bad frame gets an answer of its own, and the stream goes on; `status` is what `POST /predict`
would have answered:

```json
{{"frame": 8, "dropped": 0, "status": 422, "error": "the JPEG image is damaged or cut short"}}
```

Where the server ends the stream, the last message says why, without `frame`; the close code is
1013 where a later try makes sense (too many streams, no model ready), otherwise 1008. A server
that is stopped answers the frames that it has, and closes with 1001.

The API key, where one is set, comes in the header `X-API-Key` or as `Authorization: Bearer`.
Browsers cannot set headers here: they offer two subprotocols, `{SUBPROTOCOL}`, and `{KEY_PREFIX}`
with the key behind it in URL-safe base64 without padding. The pages of other sites are refused
unless `CORS_ORIGINS` names them.
"""


@router.get(
    "/stream",
    status_code=426,
    description=DESCRIPTION,
    dependencies=[Depends(refuse_repeated)],
    responses=documented({426: "This address is a WebSocket", 422: "The query cannot be read"}),
)
async def describe_stream(options: InQuery) -> None:
    """A WebSocket for live video."""
    raise HTTPException(426, "this address is a WebSocket: see /docs", {"Upgrade": "websocket"})
