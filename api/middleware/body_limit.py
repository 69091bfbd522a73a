"""The size limits of request bodies, with or without a declared length."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.uploads import Uploads

FORM_BYTES = 256 * 1024
"""Largest body of the type application/x-www-form-urlencoded, which has no files."""


class BodyLimit:
    """ASGI middleware that raises HTTPException once a body is known to be too large.

    A declared length is checked before any byte is read. The bytes of a body without one
    (chunked transfer encoding) are counted as they arrive. The status is 413 for a body that is too
    large, 429 if the bodies of all requests are too large together, and 408 for a slow body that
    has to give its place to others.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, uploads: Uploads) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        max_bytes, what = self.max_bytes, "request body"
        if content_type == "application/x-www-form-urlencoded" and max_bytes > FORM_BYTES:
            max_bytes = FORM_BYTES
            what = "URL-encoded form (send the image as multipart/form-data or in JSON)"
        too_large = HTTPException(413, f"the {what} is larger than {max_bytes:,} bytes")
        upload = self.uploads.begin()

        async def receive_and_count() -> Message:
            if declared.isdecimal() and int(declared) > max_bytes:
                raise too_large
            try:
                async with asyncio.timeout(None) as upload.patience:
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, "the request arrived too slowly for a busy server"
                ) from None
            finally:
                upload.patience = None
            if message["type"] == "http.request":
                self.uploads.add(upload, len(message.get("body", b"")))
                if upload.bytes > max_bytes:
                    raise too_large
                if not message.get("more_body", False):
                    self.uploads.complete(upload)
            return message

        try:
            await self.app(scope, receive_and_count, send)
        finally:
            self.uploads.end(upload)
