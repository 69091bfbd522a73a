"""What all requests of an application share."""

from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends
from starlette.requests import HTTPConnection

from api.metrics import Metrics
from api.models.served_models import ServedModels
from api.settings import Settings
from api.slots import InferenceSlots


@dataclass(frozen=True)
class ServerState:
    """The shared objects of one application."""

    settings: Settings
    models: ServedModels
    slots: InferenceSlots
    streams: anyio.Semaphore
    """Its value is the number of streams that may still be opened."""
    metrics: Metrics

    @classmethod
    def of(cls, settings: Settings) -> "ServerState":
        """Build the shared objects; `models.load` is called at startup."""
        slots = InferenceSlots(settings.max_concurrency, settings.max_queue, settings.queue_seconds)
        streams = anyio.Semaphore(settings.max_streams)
        metrics = Metrics(
            slots=settings.max_concurrency,
            waiting=lambda: slots.waiting,
            running=lambda: slots.running,
            streams=lambda: settings.max_streams - streams.value,
        )
        return cls(settings, ServedModels(settings), slots, streams, metrics)


async def server_state(connection: HTTPConnection) -> ServerState:
    """The state of the application that handles this connection."""
    state: ServerState = connection.app.state.server
    return state


Server = Annotated[ServerState, Depends(server_state)]
