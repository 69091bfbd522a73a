"""The server, put together: `uvicorn api.app:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import cv2
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api.body_limit import BodyLimit
from api.deadline import Deadline
from api.errors import add_error_handlers
from api.logs import LogRequests, log_as_json
from api.metrics import CountRequests, Metrics
from api.routes import health, metrics, model, page, predict
from api.schemas import Problem
from api.security import SecurityHeaders, require_api_key
from api.served_model import ServedModel
from api.settings import Settings, load_settings
from api.slots import InferenceSlots


def create_app(settings: Settings) -> FastAPI:
    """Build the server; the model is loaded when it starts, in the background."""
    app = FastAPI(
        title="Facial expression recognition",
        description="Finds the faces in an image and tells the emotion that each one shows.",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.model = ServedModel(settings)
    app.state.slots = InferenceSlots(
        settings.max_concurrency, settings.max_queue, settings.queue_seconds
    )
    app.state.metrics = Metrics(waiting=lambda: app.state.slots.waiting)
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimit, max_bytes=settings.max_bytes)
    app.add_middleware(Deadline, seconds=settings.deadline_seconds)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "Server-Timing", "X-Model-Version", "X-Request-ID"],
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    app.add_middleware(LogRequests)
    add_error_handlers(app)
    for subject in (predict, model, metrics):
        app.include_router(
            subject.router,
            dependencies=[Depends(require_api_key)],
            responses={401: {"model": Problem, "description": "The API key is missing or wrong"}},
        )
    for subject in (health, page):
        app.include_router(subject.router)
    app.mount("/static", page.files)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # A damaged image is the sender's business; the answer tells, the log need not.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, app.state.model.load)
        yield


log_as_json()
app = create_app(load_settings())
