"""The server, put together: `uvicorn api.app:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import cv2
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from api.body_limit import BodyLimit
from api.errors import add_error_handlers
from api.routes import health, model, predict
from api.served_model import ServedModel
from api.settings import Settings, load_settings


def create_app(settings: Settings) -> FastAPI:
    """Build the server; the model is loaded when it starts, in the background."""
    app = FastAPI(
        title="Facial expression recognition",
        description="Finds the faces in an image and tells the emotion that each one shows.",
        lifespan=_lifespan,
    )
    app.state.model = ServedModel(settings)
    app.state.limiter = anyio.CapacityLimiter(settings.max_concurrency)
    app.add_middleware(BodyLimit, max_bytes=settings.max_bytes)
    add_error_handlers(app)
    for subject in (predict, model, health):
        app.include_router(subject.router)

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # A damaged image is the sender's business; the answer tells, the log need not.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, app.state.model.load)
        yield


app = create_app(load_settings())
