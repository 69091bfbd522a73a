"""The application, built from its settings; `python -m api` starts it."""

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import cv2
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel

import api.deepface.routes as deepface
import api.open_inference.routes as open_inference
from api.build import VERSION
from api.deepface.schemas import AnalyzeJson
from api.errors import EXCEPTION_HANDLERS
from api.logs import log_as_json
from api.middleware.allowed_hosts import AllowedHosts
from api.middleware.body_limit import BodyLimit
from api.middleware.deadline import Deadline
from api.middleware.head_requests import HeadRequests
from api.middleware.request_log import RequestLog
from api.middleware.request_metrics import RequestMetrics
from api.middleware.security_headers import SecurityHeaders
from api.models.workers import Worker
from api.open_inference.schemas import InferenceRequest
from api.openapi import JsonSchema, add_schemas, error_responses, operation_id
from api.routes import admin, docs, health, metrics, model, page, predict, stream
from api.routes.predict import ImageJson
from api.schemas import (
    Problem,
    ProtocolProblem,
    ServedVersions,
    StreamEnd,
    StreamError,
    StreamFaces,
)
from api.security import require_api_key
from api.settings import Settings, load_settings
from api.state import ServerState

REQUEST_HEADERS = [
    "Authorization",
    "Content-Type",
    "Inference-Header-Content-Length",
    "traceparent",
    "X-API-Key",
    "X-Request-ID",
]
"""Headers that the pages of the sites in CORS_ORIGINS may send."""

RESPONSE_HEADERS = [
    "Inference-Header-Content-Length",
    "Retry-After",
    "Server-Timing",
    "X-Model-Alias",
    "X-Model-Version",
    "X-Request-ID",
]
"""Headers of a response that these pages may read."""


RECEIVED: list[type[BaseModel]] = [ImageJson, AnalyzeJson, InferenceRequest]
SENT: list[type[BaseModel]] = [ServedVersions, StreamFaces, StreamError, StreamEnd]
"""Bodies that handlers parse themselves; messages of streams, and an example with nulls."""


class Application(FastAPI):
    """FastAPI with the schemas of RECEIVED and SENT."""

    def openapi(self) -> JsonSchema:
        """The OpenAPI document; FastAPI keeps it after the first call."""
        if self.openapi_schema is None:
            add_schemas(super().openapi(), RECEIVED, SENT)
        return super().openapi()


def create_app(settings: Settings, worker: Worker | None = None) -> FastAPI:
    """Build the application; the models are loaded at startup.

    Parameters
    ----------
    settings : Settings
    worker : Worker, optional
        If this process is one of several workers.
    """
    app = Application(
        title="Facial expression recognition",
        version=VERSION,
        description="Detects the faces in an image and predicts the emotion of each.",
        lifespan=_lifespan,
        docs_url=None,  # see routes/docs.py
        redoc_url=None,
        generate_unique_id_function=operation_id,
        exception_handlers=EXCEPTION_HANDLERS,
        # Where OpenTelemetry is configured, FastAPI would export the query string of each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.server = server = ServerState.of(settings, worker)
    _add_middleware(app, server)
    _add_routes(app, settings)
    return app


def _add_middleware(app: FastAPI, server: ServerState) -> None:
    # The middleware that is added last is the first to handle a request.
    settings = server.settings
    app.add_middleware(BodyLimit, max_bytes=settings.max_bytes, uploads=server.uploads)
    app.add_middleware(Deadline, seconds=settings.deadline_seconds)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
        )
    app.add_middleware(AllowedHosts, names=settings.allowed_hosts)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics, metrics=server.metrics)
    app.add_middleware(HeadRequests)
    app.add_middleware(RequestLog)


def _add_routes(app: FastAPI, settings: Settings) -> None:
    key_required = settings.api_key is not None
    for subject, shape in (
        (predict, Problem),
        (model, Problem),
        (admin, Problem),
        (metrics, Problem),
        (deepface, ProtocolProblem),
        (open_inference, ProtocolProblem),
    ):
        unauthorized = error_responses({401: "The API key is missing or wrong"}, shape)
        app.include_router(
            subject.router,
            dependencies=[Depends(require_api_key)] if key_required else [],
            responses=unauthorized if key_required else {},
        )
    for router in (health.router, open_inference.probes, stream.router, page.router, docs.router):
        app.include_router(router)
    app.mount("/static", page.files)
    app.mount(docs.FILES, docs.files)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Settings]]:
    # The response reports a damaged image. OpenCV's own lines about it would fill the log.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # The models are loaded before the first connection: with several workers, one that replaces
    # another must not answer 503 while the others are ready. /readyz reports an error.
    server: ServerState = app.state.server
    await anyio.to_thread.run_sync(server.models.load)
    server.describe_models()
    if server.worker:
        follow = server.worker.follow
        calls = server.models.prepare, server.switch, server.own_metrics
        threading.Thread(target=follow, args=calls, daemon=True).start()
    yield {"settings": server.settings}  # for middleware/connections.py


log_as_json()
app = create_app(load_settings(), Worker.of(os.environ))
