"""Who may use the server: the API key of a request or a stream, and the origin of a stream.

The headers for browsers are in middleware/security_headers.py, CORS is in app.py.
"""

from base64 import urlsafe_b64decode
from secrets import compare_digest
from typing import Annotated

from fastapi import HTTPException, Security, WebSocket
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import SecretStr

from api.state import Server

HEADER = APIKeyHeader(
    name="X-API-Key",
    scheme_name="X-API-Key",
    auto_error=False,
    description="The key in the server's setting `API_KEY`.",
)
BEARER = HTTPBearer(
    scheme_name="Bearer", auto_error=False, description="The same key as `Authorization: Bearer`."
)

KEY_PREFIX = "fer.key."
"""Prefix of the subprotocol that carries the key, in URL-safe base64 without padding."""


async def require_api_key(
    server: Server,
    header: Annotated[str | None, Security(HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
) -> None:
    """Raise HTTPException 401 unless the request has the key of the settings, or none is set."""
    keys = [header or "", bearer.credentials if bearer else ""]
    if not has_key([_bytes(key) for key in keys], server.settings.api_key):
        raise HTTPException(
            401,
            "the API key is missing or wrong: send it in the header X-API-Key, or as"
            " Authorization: Bearer",
            {"WWW-Authenticate": "Bearer, APIKey"},
        )


def has_key(keys: list[bytes], expected: SecretStr | None) -> bool:
    """Whether one of the keys is the expected one; true if no key is expected."""
    if expected is None:
        return True
    # The time of the comparison does not depend on the number of correct characters.
    secret = expected.get_secret_value().encode()
    return any(compare_digest(key, secret) for key in keys)


def keys_of_stream(socket: WebSocket) -> list[bytes]:
    """The keys in the handshake of a WebSocket: in headers and in subprotocols."""
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
    """The bytes of a header as the client sent them; Starlette decodes them as Latin-1."""
    return header.encode("latin-1")


def is_allowed_origin(socket: WebSocket, cors_origins: tuple[str, ...]) -> bool:
    """Whether a WebSocket was opened by the server's own page or by a site in `cors_origins`.

    Browsers let every page open a WebSocket to every server, and send the origin of the page.
    Other clients send no origin and are allowed.
    """
    origin = socket.headers.get("origin")
    if origin is None or "*" in cors_origins or origin in cors_origins:
        return True
    return origin.partition("://")[2] == socket.headers.get("host")
