"""The documentation of the API at /docs: Swagger UI, without requests to other hosts.

The package fastapi-offline contains its JavaScript and CSS. Redoc is not served, because it loads
its logo from another host.
"""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)
files = StaticFiles(packages=[("fastapi_offline", "static")])

FILES = "/docs/files"
"""Where the application mounts `files`."""

INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

POLICY = (
    "default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""The documentation may load its own files and its inline script, nothing from other hosts."""


@router.get("/docs")
async def swagger_ui(request: Request) -> HTMLResponse:
    """All routes with their parameters and errors, and a form to try each."""
    root = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=request.app.title,
        swagger_js_url=f"{root}{FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{FILES}/swagger-ui.css",
        swagger_favicon_url=f"{root}{FILES}/favicon.png",
    )
    digests = [
        b64encode(sha256(script.encode()).digest()).decode()
        for script in INLINE_SCRIPT.findall(bytes(page.body).decode())
    ]
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests)
    page.headers["Content-Security-Policy"] = POLICY.format(scripts=scripts)
    return page
