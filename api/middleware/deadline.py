"""The end of requests: by a time limit, or because the client has disconnected."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem_response

DISCONNECTED = 499
"""Status in the log and the metrics of a request whose client has gone; nginx's code for it."""


class Deadline:
    """ASGI middleware that cancels a request after a time limit, or once its client has gone.

    The status is 408 while the body has not arrived, and 504 after that. The cancelled work ends at
    its next check (slots.py).
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        awaits_body = response_started = response_complete = False
        disconnected = asyncio.Event()
        watcher: asyncio.Task[None] | None = None

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            disconnected.set()
            if not response_complete and not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())

        async def tracked_receive() -> Message:
            nonlocal awaits_body, watcher
            if watcher:
                await disconnected.wait()
                return {"type": "http.disconnect"}
            awaits_body = True
            message = await receive()
            awaits_body = False
            if message["type"] == "http.request" and not message.get("more_body", False):
                watcher = asyncio.create_task(watch())
            return message

        async def tracked_send(message: Message) -> None:
            nonlocal response_started, response_complete
            response_started = True
            ends = message["type"] == "http.response.body" and not message.get("more_body", False)
            # Set first: the server reports a disconnection after the last byte as well.
            response_complete = response_complete or ends
            await send(message)

        try:
            async with asyncio.timeout(self.seconds) as deadline:
                await self.app(scope, tracked_receive, tracked_send)
        except TimeoutError:
            if not deadline.expired():
                raise
            if response_started:  # by a client that reads too slowly
                return
            if disconnected.is_set():
                status, sentence = DISCONNECTED, "the client disconnected before the response"
            else:
                status, what = (
                    (408, "had not arrived") if awaits_body else (504, "was not answered")
                )
                sentence = f"the request {what} within {self.seconds:g} seconds"
            await problem_response(scope, status, sentence)(scope, receive, send)
        finally:
            if watcher:
                watcher.cancel()
