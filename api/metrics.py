"""The metrics for Prometheus; middleware/request_metrics.py counts the requests.

Each process has its own metrics: with several workers, a scrape reads those of one of them.
"""

from collections.abc import Callable, Iterable
from operator import itemgetter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from api.models.evaluation import CONFIDENCE_BINS
from api.models.served_model import Recognition

# Each counter has a further sample with its creation time, which would double the output.
disable_created_metrics()

REASONS = {
    400: "malformed",
    401: "api_key",
    403: "origin",
    404: "unknown",
    408: "slow_body",
    413: "too_large",
    415: "content_type",
    421: "host",
    422: "invalid",
    429: "overload",
    499: "disconnected",
    503: "not_ready",
    504: "deadline",
}
"""The label `reason` of a rejected request or frame, by status."""

DURATION_BINS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper edges in seconds."""


class Metrics:
    """The metrics of one application.

    Parameters
    ----------
    slots : int
        The limit of concurrent inferences.
    waiting, running : callable
        The number of requests and frames that wait for an inference slot, and that have one.
    streams : callable
        The number of open streams.
    """

    def __init__(
        self,
        slots: int,
        waiting: Callable[[], int],
        running: Callable[[], int],
        streams: Callable[[], int],
    ) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = 0
        ProcessCollector(registry=self.registry)
        self.build = Info(
            "fer_build",
            "Versions of the server, its libraries and the default model.",
            registry=self.registry,
        )
        for name, description, count in (
            ("fer_requests_in_flight", "Requests in progress.", lambda: self.in_flight),
            ("fer_requests_waiting", "Requests and frames that wait for a slot.", waiting),
            ("fer_inferences_running", "Inference slots that are taken.", running),
            ("fer_inference_slots", "Limit of concurrent inferences.", lambda: slots),
            ("fer_streams_open", "Open connections to /stream.", streams),
        ):
            Gauge(name, description, registry=self.registry).set_function(count)
        self._add_requests()
        self._add_predictions()

    def _add_requests(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "fer_requests", "Completed requests.", ("route", "status"), registry=registry
        )
        self.latency = Histogram(
            "fer_request_seconds",
            "Time from a request to the end of its response.",
            ("route",),
            registry=registry,
            buckets=DURATION_BINS,
        )
        self.rejected = Counter(
            "fer_rejected_requests", "Requests and frames rejected.", ("reason",), registry=registry
        )
        self.frames = Counter(
            "fer_stream_frames",
            "Frames of streams: answered, refused, or dropped in favour of a newer one.",
            ("result",),
            registry=registry,
        )

    def _add_predictions(self) -> None:
        registry = self.registry
        self.steps = Histogram(
            "fer_step_seconds",
            "Time of each step with one image or tensor: decode, detect, classify.",
            ("step",),
            registry=registry,
            buckets=DURATION_BINS,
        )
        self.images = Counter(
            "fer_images", "Images processed, by detector.", ("detector",), registry=registry
        )
        self.faces = Histogram(
            "fer_faces_per_image",
            "Faces returned for one image.",
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

    def observe(self, recognition: Recognition, version: str) -> None:
        """Count one image and its faces, those with a null emotion by the most probable one."""
        for step, seconds in recognition.seconds.items():
            self.steps.labels(step).observe(seconds)
        self.images.labels(recognition.detector).inc()
        self.faces.observe(len(recognition.faces))
        faces = recognition.faces
        self.count_predictions(
            (max(face.probabilities.items(), key=itemgetter(1)) for face in faces), version
        )

    def count_predictions(self, predictions: Iterable[tuple[str, float]], version: str) -> None:
        """Count faces by their predicted emotion and its probability."""
        for emotion, probability in predictions:
            self.predictions.labels(emotion, version).inc()
            self.confidence.labels(version).observe(probability)

    def count_rejection(self, status: int) -> None:
        """Count a request or a frame that was rejected with this status."""
        if status in REASONS:
            self.rejected.labels(REASONS[status]).inc()
