"""The metrics for Prometheus, and the middleware that counts requests.

Every process counts for itself: with several workers, each scrape reads one of them.
"""

from collections.abc import Callable, Iterable
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.models.served_model import Recognition
from api.schemas import CONFIDENCE_BINS

# The time at which each counter began would double the length of the answer.
disable_created_metrics()

REASONS = {
    400: "malformed",
    401: "api_key",
    403: "origin",
    404: "unknown",
    408: "slow_body",
    413: "too_large",
    415: "content_type",
    422: "invalid",
    429: "overload",
    503: "not_ready",
    504: "deadline",
}
"""Why a request or a frame was rejected, by the status of its answer."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one application.

    Parameters
    ----------
    slots : int
        Images that are recognized at the same time.
    waiting, running : callable
        How many requests and frames wait for an inference slot, and how many have one.
    streams : callable
        How many streams are open.
    """

    def __init__(
        self,
        slots: int,
        waiting: Callable[[], int],
        running: Callable[[], int],
        streams: Callable[[], int],
    ):
        self.registry = registry = CollectorRegistry()
        self.build = Info(
            "fer_build",
            "Versions of the server, its libraries and the default model.",
            registry=registry,
        )
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
            "fer_rejected_requests", "Requests and frames refused.", ("reason",), registry=registry
        )
        self.in_flight = 0
        for name, what, count in (
            ("fer_requests_in_flight", "Requests not yet answered.", lambda: self.in_flight),
            ("fer_requests_waiting", "Requests and frames that wait for a slot.", waiting),
            ("fer_inferences_running", "Inference slots that are taken.", running),
            ("fer_streams_open", "Open connections to /stream.", streams),
        ):
            Gauge(name, what, registry=registry).set_function(count)
        Gauge("fer_inference_slots", "Images that are recognized at once.", registry=registry).set(
            slots
        )
        self.frames = Counter(
            "fer_stream_frames",
            "Frames of streams: answered, refused, or dropped for a newer one.",
            ("result",),
            registry=registry,
        )
        self.steps = Histogram(
            "fer_step_seconds",
            "Time of each step with one image or tensor: decode, detect, classify.",
            ("step",),
            registry=registry,
            buckets=SECONDS,
        )
        self.images = Counter(
            "fer_images", "Images recognized, by detector.", ("detector",), registry=registry
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
        self.confidence = Histogram(
            "fer_confidence",
            "Probability of the predicted emotion, by model version.",
            ("model_version",),
            registry=registry,
            buckets=CONFIDENCE_BINS,
        )
        ProcessCollector(registry=registry)

    def observe(self, recognition: Recognition, version: str) -> None:
        """Count one image and its faces."""
        for step, seconds in recognition.seconds.items():
            self.steps.labels(step).observe(seconds)
        self.images.labels(recognition.detector).inc()
        self.faces.observe(len(recognition.faces))
        faces = recognition.faces
        self.count_predictions(
            ((face.emotion, face.probabilities[face.emotion]) for face in faces), version
        )

    def count_predictions(self, predictions: Iterable[tuple[str, float]], version: str) -> None:
        """Count faces by their predicted emotion and its probability."""
        for emotion, probability in predictions:
            self.predictions.labels(emotion, version).inc()
            self.confidence.labels(version).observe(probability)

    def count_rejection(self, status: int) -> None:
        """Count a request or a frame that was refused with this status."""
        if status in REASONS:
            self.rejected.labels(REASONS[status]).inc()


class CountRequests:
    """ASGI middleware that counts and times every request by its route.

    A stream counts its frames itself.
    """

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
        self.metrics.in_flight += 1
        try:
            await self.app(scope, receive, noting_send)
        finally:
            self.metrics.in_flight -= 1
            # A mounted folder is one route, and all paths that nothing serves are another.
            mount = scope.get("root_path", "").removeprefix(outside)
            route = getattr(scope.get("route"), "path", mount or "none")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.latency.labels(route).observe(perf_counter() - start)
            self.metrics.count_rejection(status)
