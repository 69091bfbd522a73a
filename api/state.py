"""What all requests of an application share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends
from starlette.requests import HTTPConnection

from api.metrics import Metrics
from api.models.served_models import ServedModels
from api.models.snapshot import Snapshot
from api.settings import Settings
from api.slots import InferenceSlots
from api.uploads import Uploads

PARSERS = 2
"""Bodies that are parsed at the same time; each needs several times its size in memory."""


@dataclass(frozen=True)
class ServerState:
    """The shared objects of one application."""

    settings: Settings
    models: ServedModels
    slots: InferenceSlots
    streams: anyio.Semaphore
    """Its value is the number of streams that may still be opened."""
    metrics: Metrics
    uploads: Uploads
    parsers: anyio.CapacityLimiter
    """Threads that parse bodies."""

    @classmethod
    def of(cls, settings: Settings, snapshots: Sequence[Snapshot] = ()) -> "ServerState":
        """Build the shared objects; `models.load` is called at startup."""
        slots = InferenceSlots(
            settings.max_concurrency,
            settings.max_queue,
            settings.queue_seconds,
            heavy_pixels=settings.max_pixels // 2,
        )
        streams = anyio.Semaphore(settings.max_streams)
        metrics = Metrics(
            slots=settings.max_concurrency,
            waiting=lambda: slots.waiting,
            running=lambda: slots.running,
            streams=lambda: settings.max_streams - streams.value,
        )
        return cls(
            settings,
            ServedModels(settings, snapshots),
            slots,
            streams,
            metrics,
            Uploads(settings.max_bytes_in_flight),
            anyio.CapacityLimiter(PARSERS),
        )


async def server_state(connection: HTTPConnection) -> ServerState:
    """The state of the application that handles this connection."""
    state: ServerState = connection.app.state.server
    return state


Server = Annotated[ServerState, Depends(server_state)]
