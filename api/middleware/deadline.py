"""No request takes longer than allowed."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem_response


class Deadline:
    """ASGI middleware that ends a request that is not answered in time.

    The answer is 408 while the body has not arrived, and 504 after that.
    """

    def __init__(self, app: ASGIApp, seconds: float):
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        awaits_body = answered = False

        async def noting_receive() -> Message:
            nonlocal awaits_body
            awaits_body = True
            message = await receive()
            awaits_body = False
            return message

        async def noting_send(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            async with asyncio.timeout(self.seconds) as deadline:
                await self.app(scope, noting_receive, noting_send)
        except TimeoutError:
            if not deadline.expired():
                raise
            if answered:  # in part, to a client that reads too slowly
                return
            status, what = (408, "had not arrived") if awaits_body else (504, "was not answered")
            sentence = f"the request {what} within {self.seconds:g} seconds"
            await problem_response(scope, status, sentence)(scope, receive, send)
