"""The names under which the server may be addressed."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import problem_response

LOCAL_NAMES = ("localhost", "*.localhost")
"""Names that every system resolves to itself (RFC 6761, section 6.3)."""


class AllowedHosts:
    """ASGI middleware that refuses a request whose `Host` is an unknown name; the status is 421.

    Without it, a page of another site can let its own name point to this server, and then read the
    responses as its own (DNS rebinding). IP addresses are always allowed, because no DNS resolves
    them. So are requests without `Host`, which no browser sends.
    """

    def __init__(self, app: ASGIApp, names: tuple[str, ...]) -> None:
        self.app = app
        self.names = [name.lower() for name in (*names, *LOCAL_NAMES)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [] if scope["type"] == "lifespan" else Headers(scope=scope).getlist("host")
        if not hosts or (len(hosts) == 1 and self._is_allowed(hosts[0])):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before the handshake: 403
        else:
            name = hosts[0] if len(hosts) == 1 else ", ".join(hosts)
            sentence = (
                f"this server is not known as {name[:100]!r}: address it as localhost or by its IP"
                " address, or add the name to ALLOWED_HOSTS"
            )
            await problem_response(scope, 421, sentence)(scope, receive, send)

    def _is_allowed(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ip_address(name)
        except ValueError:
            return any(_matches(name.removesuffix("."), pattern) for pattern in self.names)
        return True


def _matches(name: str, pattern: str) -> bool:
    """Whether a name is the pattern; `*` is any name, and `*.x` any name below x."""
    if pattern == "*":
        return True
    return name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:]))
