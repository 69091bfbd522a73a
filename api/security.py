"""Who may ask, and what a browser may do with the answers."""

from secrets import compare_digest
from typing import Annotated

from fastapi import HTTPException, Request, Security, WebSocket
from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    description="Needed where the server is set up with an `API_KEY`.",
)

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own files, and the pictures that its visitor chooses."""

FOR_ALL = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
FOR_THE_PAGE = (*FOR_ALL, (b"content-security-policy", PAGE_POLICY.encode()))


async def require_api_key(request: Request, key: Annotated[str | None, Security(KEY)]) -> None:
    """Answer 401 unless the request carries the key of the settings, or they have none."""
    # Headers are read as Latin-1; this gives back the bytes that were sent.
    if not is_key((key or "").encode("latin-1"), request.app.state.settings.api_key):
        raise HTTPException(
            401,
            "the header X-API-Key is missing or wrong",
            {"WWW-Authenticate": "APIKey"},
        )


def is_key(key: bytes, expected: SecretStr | None) -> bool:
    """Whether this is the key of the settings, or they have none."""
    # The time that it takes to compare must not tell how much of a guess is right.
    return expected is None or compare_digest(key, expected.get_secret_value().encode())


def is_welcome(socket: WebSocket, cors_origins: tuple[str, ...]) -> bool:
    """Whether the page that opens a WebSocket is this server's own, or of a site in the settings.

    Browsers let every page open a WebSocket to every server, and tell whose page it is.
    """
    origin = socket.headers.get("origin")
    if origin is None or "*" in cors_origins or origin in cors_origins:
        return True
    return origin.partition("://")[2] == socket.headers.get("host")


class SecurityHeaders:
    """ASGI middleware that tells browsers what not to do.

    The page and its files have a content policy; /docs loads its parts from elsewhere.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))

        async def adding_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                page = path == "/" or path.startswith("/static/")
                message["headers"] = [*message["headers"], *(FOR_THE_PAGE if page else FOR_ALL)]
            await send(message)

        await self.app(scope, receive, adding_send)
