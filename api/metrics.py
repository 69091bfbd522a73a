"""What is counted and timed for Prometheus, and the middleware that counts requests.

Every process counts for itself: with several workers, each scrape sees one of them.
"""

from collections.abc import Callable
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.served_model import Recognition

# The time when each counter began is of no use and doubles the answer.
disable_created_metrics()

REASONS = {
    400: "malformed",
    401: "api_key",
    408: "slow_body",
    413: "too_large",
    415: "content_type",
    422: "invalid",
    429: "overload",
    503: "not_ready",
    504: "deadline",
}
"""Why a request was rejected, by the status of its answer."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one application; `waiting` tells the requests that wait for a slot."""

    def __init__(self, waiting: Callable[[], int]):
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "fer_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self.latency = Histogram(
            "fer_request_seconds",
            "Time from a request to the end of its answer.",
            ("route",),
            registry=registry,
            buckets=SECONDS,
        )
        self.rejected = Counter(
            "fer_rejected_requests", "Requests refused.", ("reason",), registry=registry
        )
        self.in_flight = Gauge(
            "fer_requests_in_flight", "Requests not yet answered.", registry=registry
        )
        Gauge(
            "fer_requests_waiting", "Requests that wait for an inference slot.", registry=registry
        ).set_function(waiting)
        self.steps = Histogram(
            "fer_step_seconds",
            "Time of each step with one image: decode, detect, classify.",
            ("step",),
            registry=registry,
            buckets=SECONDS,
        )
        self.faces = Histogram(
            "fer_faces_per_image",
            "Faces answered for one image.",
            registry=registry,
            buckets=(0, 1, 2, 3, 5, 10, 20, 50, 100),
        )
        self.predictions = Counter(
            "fer_predictions",
            "Faces classified, by emotion.",
            ("emotion", "model_version"),
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def observe(self, recognition: Recognition, version: str) -> None:
        """Count what was found in one image."""
        for step, seconds in recognition.seconds.items():
            self.steps.labels(step).observe(seconds)
        self.faces.observe(len(recognition.faces))
        for face in recognition.faces:
            self.predictions.labels(face.emotion, version).inc()


class CountRequests:
    """ASGI middleware that counts and times every request by its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500  # unless an answer begins
        outside = scope.get("root_path", "")

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = perf_counter()
        try:
            with self.metrics.in_flight.track_inprogress():
                await self.app(scope, receive, noting_send)
        finally:
            # A mounted folder is one route, and what nothing serves is another.
            mount = scope.get("root_path", "").removeprefix(outside)
            route = getattr(scope.get("route"), "path", mount or "none")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.latency.labels(route).observe(perf_counter() - start)
            if status in REASONS:
                self.metrics.rejected.labels(REASONS[status]).inc()
