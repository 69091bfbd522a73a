"""The time limit of requests."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem_response


class Deadline:
    """ASGI middleware that ends a request after a time limit.

    The status is 408 while the body has not arrived, and 504 after that.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        awaits_body = response_started = False

        async def tracked_receive() -> Message:
            nonlocal awaits_body
            awaits_body = True
            message = await receive()
            awaits_body = False
            return message

        async def tracked_send(message: Message) -> None:
            nonlocal response_started
            response_started = True
            await send(message)

        try:
            async with asyncio.timeout(self.seconds) as deadline:
                await self.app(scope, tracked_receive, tracked_send)
        except TimeoutError:
            if not deadline.expired():
                raise
            if response_started:  # by a client that reads too slowly
                return
            status, what = (408, "had not arrived") if awaits_body else (504, "was not answered")
            sentence = f"the request {what} within {self.seconds:g} seconds"
            await problem_response(scope, status, sentence)(scope, receive, send)
