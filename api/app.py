"""The server, put together; `python -m api` starts it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import cv2
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api.body_limit import BodyLimit
from api.deadline import Deadline
from api.errors import add_error_handlers, documented
from api.logs import LogRequests, lines_gathered, log_as_json
from api.metrics import CountRequests, Metrics
from api.routes import analyze, health, metrics, model, open_inference, page, predict, stream
from api.schemas import Problem, ProtocolProblem
from api.security import SecurityHeaders, require_api_key
from api.served_models import ServedModels
from api.settings import Settings, load_settings
from api.slots import InferenceSlots


def create_app(settings: Settings) -> FastAPI:
    """Build the server; the models are loaded when it starts."""
    app = FastAPI(
        title="Facial expression recognition",
        description="Finds the faces in an image and tells the emotion that each one shows.",
        lifespan=_lifespan,
        # Where OpenTelemetry is set up, FastAPI would send on every request's query.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.models = ServedModels(settings)
    app.state.slots = slots = InferenceSlots(
        settings.max_concurrency, settings.max_queue, settings.queue_seconds
    )
    app.state.streams = streams = anyio.Semaphore(settings.max_streams)
    app.state.metrics = Metrics(
        waiting=lambda: slots.waiting,
        running=lambda: slots.running,
        streams=lambda: settings.max_streams - streams.value,
    )
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimit, max_bytes=settings.max_bytes)
    app.add_middleware(Deadline, seconds=settings.deadline_seconds)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=[
                "Content-Type",
                "Inference-Header-Content-Length",
                "X-API-Key",
                "X-Request-ID",
            ],
            expose_headers=[
                "Inference-Header-Content-Length",
                "Retry-After",
                "Server-Timing",
                "X-Model-Version",
                "X-Request-ID",
            ],
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    app.add_middleware(LogRequests)
    add_error_handlers(app)
    for subject, shape in (
        (predict, Problem),
        (model, Problem),
        (metrics, Problem),
        (analyze, ProtocolProblem),
        (open_inference, ProtocolProblem),
    ):
        app.include_router(
            subject.router,
            dependencies=[Depends(require_api_key)] if settings.api_key else [],
            responses=documented({401: "The API key is missing or wrong"}, shape)
            if settings.api_key
            else {},
        )
    for router in (health.router, open_inference.probes, stream.router, page.router):
        app.include_router(router)
    app.mount("/static", page.files)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Settings]]:
    # A damaged image is the sender's business; the answer tells, the log need not.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Before the first connection: a worker that replaces another one must not answer 503 while
    # its neighbours could have answered. What goes wrong here is said by /readyz.
    await anyio.to_thread.run_sync(app.state.models.load)
    with lines_gathered():
        yield {"settings": app.state.settings}  # for the connections


log_as_json()
app = create_app(load_settings())
