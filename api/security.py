"""The API key, and the rules for browsers."""

from base64 import urlsafe_b64decode
from secrets import compare_digest
from typing import Annotated

from fastapi import HTTPException, Request, Security, WebSocket
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = APIKeyHeader(
    name="X-API-Key",
    scheme_name="X-API-Key",
    auto_error=False,
    description="The `API_KEY` of the server's settings.",
)
BEARER = HTTPBearer(
    scheme_name="Bearer", auto_error=False, description="The same key as `Authorization: Bearer`."
)

KEY_PREFIX = "fer.key."
"""The API key as a subprotocol of a WebSocket: this, and the key in URL-safe base64 unpadded."""

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own files, and the images that its visitor chooses."""

FOR_ALL = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
FOR_THE_PAGE = (*FOR_ALL, (b"content-security-policy", PAGE_POLICY.encode()))


async def require_api_key(
    request: Request,
    header: Annotated[str | None, Security(HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
) -> None:
    """Answer 401 unless the request carries the key of the settings, or they have none."""
    keys = [header or "", bearer.credentials if bearer else ""]
    if not is_key([_bytes(key) for key in keys], request.app.state.settings.api_key):
        raise HTTPException(
            401,
            "the API key is missing or wrong: send it in the header X-API-Key, or as"
            " Authorization: Bearer",
            {"WWW-Authenticate": "Bearer, APIKey"},
        )


def is_key(keys: list[bytes], expected: SecretStr | None) -> bool:
    """Whether one of the keys is that of the settings, or they have none."""
    if expected is None:
        return True
    # Comparing takes the same time however much of a wrong key is right.
    wanted = expected.get_secret_value().encode()
    return any(compare_digest(key, wanted) for key in keys)


def keys_of_stream(socket: WebSocket) -> list[bytes]:
    """The keys in the handshake of a WebSocket."""
    scheme, credentials = get_authorization_scheme_param(socket.headers.get("authorization"))
    keys = [
        _bytes(socket.headers.get("x-api-key", "")),
        _bytes(credentials) if scheme.lower() == "bearer" else b"",
    ]
    for name in socket.scope["subprotocols"]:
        if name.startswith(KEY_PREFIX):
            text = name.removeprefix(KEY_PREFIX)
            try:
                keys.append(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            except ValueError:
                keys.append(b"")
    return keys


def _bytes(header: str) -> bytes:
    """The bytes of a header as they were sent; it was decoded as Latin-1."""
    return header.encode("latin-1")


def is_allowed_origin(socket: WebSocket, cors_origins: tuple[str, ...]) -> bool:
    """Whether the page that opens a WebSocket is this server's own, or of a site in the settings.

    Browsers let every page open a WebSocket to every server, and send the page's origin.
    """
    origin = socket.headers.get("origin")
    if origin is None or "*" in cors_origins or origin in cors_origins:
        return True
    return origin.partition("://")[2] == socket.headers.get("host")


class SecurityHeaders:
    """ASGI middleware that adds headers with rules for browsers.

    The page and its files get a content policy here; the documentation brings its own.
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
