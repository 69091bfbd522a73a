"""The server, put together; `python -m api` starts it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import cv2
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute

import api.deepface.routes as deepface
import api.open_inference.routes as open_inference
from api.build import VERSION, commit_of_the_code, library_versions
from api.errors import add_error_handlers, documented
from api.logs import LogRequests, log_as_json
from api.metrics import CountRequests, Metrics
from api.middleware.body_limit import BodyLimit
from api.middleware.deadline import Deadline
from api.middleware.head_requests import HeadRequests
from api.models.served_models import ServedModels
from api.routes import docs, health, metrics, model, page, predict, stream
from api.schemas import Problem, ProtocolProblem
from api.security import SecurityHeaders, require_api_key
from api.settings import Settings, load_settings
from api.slots import InferenceSlots

SENT_HEADERS = [
    "Authorization",
    "Content-Type",
    "Inference-Header-Content-Length",
    "traceparent",
    "X-API-Key",
    "X-Request-ID",
]
"""Headers that the pages of the sites in CORS_ORIGINS may send."""

READ_HEADERS = [
    "Inference-Header-Content-Length",
    "Retry-After",
    "Server-Timing",
    "X-Model-Version",
    "X-Request-ID",
]
"""Headers of an answer that these pages may read."""


def create_app(settings: Settings) -> FastAPI:
    """Build the server; the models are loaded when it starts."""
    app = FastAPI(
        title="Facial expression recognition",
        version=VERSION,
        description="Finds the faces in an image and recognizes the emotion of each one.",
        lifespan=_lifespan,
        docs_url=None,  # see routes/docs.py
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        # Where OpenTelemetry is set up, FastAPI would send on every request's query.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    _add_state(app, settings)
    _add_middleware(app, settings)
    add_error_handlers(app)
    _add_routes(app, settings)
    return app


def _operation_id(route: APIRoute) -> str:
    """The name of an operation in OpenAPI, and of the function in generated clients."""
    return route.name


def _add_state(app: FastAPI, settings: Settings) -> None:
    app.state.settings = settings
    app.state.models = ServedModels(settings)
    app.state.slots = slots = InferenceSlots(
        settings.max_concurrency, settings.max_queue, settings.queue_seconds
    )
    app.state.streams = streams = anyio.Semaphore(settings.max_streams)
    app.state.metrics = Metrics(
        slots=settings.max_concurrency,
        waiting=lambda: slots.waiting,
        running=lambda: slots.running,
        streams=lambda: settings.max_streams - streams.value,
    )


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    # The last one added is the first to get a request.
    app.add_middleware(BodyLimit, max_bytes=settings.max_bytes)
    app.add_middleware(Deadline, seconds=settings.deadline_seconds)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=SENT_HEADERS,
            expose_headers=READ_HEADERS,
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    app.add_middleware(HeadRequests)
    app.add_middleware(LogRequests)


def _add_routes(app: FastAPI, settings: Settings) -> None:
    for subject, shape in (
        (predict, Problem),
        (model, Problem),
        (metrics, Problem),
        (deepface, ProtocolProblem),
        (open_inference, ProtocolProblem),
    ):
        app.include_router(
            subject.router,
            dependencies=[Depends(require_api_key)] if settings.api_key else [],
            responses=documented({401: "The API key is missing or wrong"}, shape)
            if settings.api_key
            else {},
        )
    for router in (health.router, open_inference.probes, stream.router, page.router, docs.router):
        app.include_router(router)
    app.mount("/static", page.files)
    app.mount(docs.FILES, docs.files)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Settings]]:
    # A damaged image is reported in the answer; OpenCV's lines about it would fill the log.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Before the first connection: a worker that replaces another one must not answer 503 while
    # the other workers can answer. /readyz reports an error.
    await anyio.to_thread.run_sync(_load, app)
    yield {"settings": app.state.settings}  # for the connections


def _load(app: FastAPI) -> None:
    """Load the models, and set the metric with the versions of everything."""
    models = app.state.models
    models.load()
    commit = app.state.settings.git_commit or commit_of_the_code()
    app.state.metrics.build.info(
        {
            "version": VERSION,
            "commit": commit or "unknown",
            **library_versions(),
            "model_version": "none" if models.default.problem else models.default.version,
        }
    )


log_as_json()
app = create_app(load_settings())
