"""Headers with rules for browsers."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page may load the server's own files, and the images that its visitor chooses."""

WORKER_POLICY = f"{PAGE_POLICY}; script-src 'self' 'wasm-unsafe-eval'"
"""The page's worker may also compile WebAssembly: onnxruntime-web."""

EVERYWHERE = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
ON_THE_PAGE = (*EVERYWHERE, (b"content-security-policy", PAGE_POLICY.encode()))
IN_THE_WORKER = (*EVERYWHERE, (b"content-security-policy", WORKER_POLICY.encode()))


class SecurityHeaders:
    """ASGI middleware that adds security headers to every response.

    The page and its files get a content security policy here; routes/docs.py sets its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        headers = _headers(path)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _headers(path: str) -> tuple[tuple[bytes, bytes], ...]:
    if path.startswith("/static/device/"):
        return IN_THE_WORKER
    return ON_THE_PAGE if path == "/" or path.startswith("/static/") else EVERYWHERE
