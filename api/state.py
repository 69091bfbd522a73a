"""What all requests of an application share."""

import os
import threading
from dataclasses import dataclass, field
from typing import Annotated

import anyio
from fastapi import Depends
from prometheus_client import generate_latest
from starlette.requests import HTTPConnection

from api.build import VERSION, commit_of_the_code, library_versions
from api.metrics import Metrics
from api.models.served_model import Recognition, ServedModel
from api.models.served_models import ServedModels
from api.models.shadow import Shadow
from api.models.workers import Worker
from api.settings import Settings
from api.slots import InferenceSlots
from api.uploads import Uploads
from api.worker_metrics import Family, families_of, text_of

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
    worker: Worker | None
    """If this process is one of several workers."""
    shadow: Shadow | None
    """If the settings have switched it on."""
    _reload: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, settings: Settings, worker: Worker | None) -> "ServerState":
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
        models = ServedModels(settings, worker.snapshots if worker else ())
        return cls(
            settings,
            models,
            slots,
            streams,
            metrics,
            Uploads(settings.max_bytes_in_flight),
            anyio.CapacityLimiter(PARSERS),
            worker,
            Shadow(models, metrics) if settings.candidate_shadow else None,
        )

    def observe(self, recognition: Recognition, model: ServedModel) -> None:
        """Count an image and its faces; the shadow gets the faces as well."""
        self.metrics.observe(recognition, model.version)
        if self.shadow:
            emotions = [emotion for emotion, _ in recognition.predictions]
            self.shadow.compare(model, recognition.crops, emotions)

    def reload(self) -> None:
        """Serve the models that the settings name now, in all workers.

        Raises
        ------
        ModelError
            A model cannot be loaded. All workers serve what they have served before.
        """
        if self.worker:
            self.worker.reload()
            return
        with self._reload:
            self.switch(self.models.prepare())

    def scrape(self) -> bytes:
        """The metrics of all workers in the text format of Prometheus.

        Raises
        ------
        OSError
            The main process or a worker does not answer in time.
        """
        if self.worker:
            return text_of(self.worker.metrics())
        return generate_latest(self.metrics.registry)

    def own_metrics(self) -> list[Family]:
        """The metrics of this worker, for the scrape of any worker."""
        return families_of(self.metrics.registry, str(os.getpid()))

    def switch(self, models: list[ServedModel]) -> None:
        """Serve these models. Requests in progress keep theirs."""
        self.models.all = models
        self.describe_models()

    def describe_models(self) -> None:
        """Set the metrics that describe the served models and all versions."""
        self.metrics.describe(self.models.all)
        model = self.models.default
        self.metrics.build.info(
            {
                "version": VERSION,
                "commit": self.settings.git_commit or commit_of_the_code() or "unknown",
                **library_versions(),
                "model_version": "none" if model.problem else model.version,
            }
        )


async def server_state(connection: HTTPConnection) -> ServerState:
    """The state of the application that handles this connection."""
    state: ServerState = connection.app.state.server
    return state


Server = Annotated[ServerState, Depends(server_state)]
