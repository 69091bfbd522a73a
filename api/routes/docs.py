"""The documentation of the API: /docs (Swagger UI) and /redoc (Redoc), without other hosts.

The package fastapi-offline carries the JavaScript and CSS of both.
"""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)
files = StaticFiles(packages=[("fastapi_offline", "static")])

FILES = "/docs/files"
"""Where the application mounts `files`."""

INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@router.get("/docs")
async def swagger_ui(request: Request) -> HTMLResponse:
    """Every address with its parameters and errors, and a form to try it."""
    root = request.scope.get("root_path", "")
    return _with_policy(
        get_swagger_ui_html(
            openapi_url=f"{root}{request.app.openapi_url}",
            title=request.app.title,
            swagger_js_url=f"{root}{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{root}{FILES}/favicon.png",
        )
    )


@router.get("/redoc")
async def redoc(request: Request) -> HTMLResponse:
    """The same to read."""
    root = request.scope.get("root_path", "")
    return _with_policy(
        get_redoc_html(
            openapi_url=f"{root}{request.app.openapi_url}",
            title=request.app.title,
            redoc_js_url=f"{root}{FILES}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{FILES}/favicon.png",
            with_google_fonts=False,
        )
    )


def _with_policy(page: HTMLResponse) -> HTMLResponse:
    """Allow the page its own files and its inline script, and nothing of another host."""
    scripts = INLINE_SCRIPT.findall(page.body.decode())
    digests = [b64encode(sha256(script.encode()).digest()).decode() for script in scripts]
    page.headers["Content-Security-Policy"] = "; ".join(
        (
            "default-src 'self'",
            " ".join(["script-src 'self'", *(f"'sha256-{digest}'" for digest in digests)]),
            # Both write style elements while they draw, and Redoc searches in a worker.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return page
