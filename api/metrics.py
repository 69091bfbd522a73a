"""The metrics of one process for Prometheus; middleware/request_metrics.py counts the requests.

With several workers, worker_metrics.py puts those of all together.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.utils import floatToGoString

from api.models.evaluation import CONFIDENCE_BINS
from api.models.served_model import Recognition, ServedModel
from api.schemas import ConfidenceBin
from recognizer.training_distribution import (
    BRIGHTNESS_BINS,
    CONTRAST_BINS,
    Bin,
    brightness,
    contrast,
)

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

SIZE_BINS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
"""Upper edges in pixels. A face of less than 48 is enlarged, so the model sees it blurred."""


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

        def gauge(name: str, description: str, label: str) -> Gauge:
            return Gauge(name, description, (label, "model_version"), registry=self.registry)

        self.expected_share = gauge(
            "fer_expected_share", "Share of each predicted emotion on PrivateTest.", "emotion"
        )
        self.expected_confidence = gauge(
            "fer_expected_confidence",
            "Share of the images of PrivateTest whose predicted emotion has at most this"
            " probability, in the buckets of fer_confidence.",
            "le",
        )
        self.training_share = gauge(
            "fer_training_share", "Share of each label among the faces of Training.", "emotion"
        )
        self.training_brightness = gauge(
            "fer_training_brightness",
            "Share of the faces of Training with at most this mean grey level, in the buckets of"
            " fer_face_brightness.",
            "le",
        )
        self.training_contrast = gauge(
            "fer_training_contrast",
            "Share of the faces of Training with at most this standard deviation of the grey"
            " levels, in the buckets of fer_face_contrast.",
            "le",
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
        self.sizes = Histogram(
            "fer_face_pixels",
            "Longer side of the box of a face in its photo.",
            registry=registry,
            buckets=SIZE_BINS,
        )
        self.brightness = Histogram(
            "fer_face_brightness",
            "Mean grey level of a classified crop, 0 to 255, by model version.",
            ("model_version",),
            registry=registry,
            buckets=BRIGHTNESS_BINS,
        )
        self.contrast = Histogram(
            "fer_face_contrast",
            "Standard deviation of the grey levels of a classified crop, by model version.",
            ("model_version",),
            registry=registry,
            buckets=CONTRAST_BINS,
        )
        self.shadow = Counter(
            "fer_shadow_faces",
            "Faces that the candidate has classified as well, by the emotion of the default model.",
            ("emotion", "agrees", "model_version"),
            registry=registry,
        )
        self.shadow_skipped = Counter(
            "fer_shadow_skipped_faces",
            "Faces that the candidate should have classified as well, by reason.",
            ("reason",),
            registry=registry,
        )

    def describe(self, models: Iterable[ServedModel]) -> None:
        """Set the distributions on PrivateTest and on Training of the served models."""
        for gauge in (
            *(self.expected_share, self.expected_confidence),
            *(self.training_share, self.training_brightness, self.training_contrast),
        ):
            gauge.clear()
        for model in models:
            if model.problem:
                continue
            for emotion, share in (model.emotion_shares or {}).items():
                self.expected_share.labels(emotion, model.version).set(share)
            _set_bins(self.expected_confidence, model.confidence or (), model.version)
            training = model.classifier.metadata.training_distribution
            if training:
                for emotion, share in training.emotion_shares.items():
                    self.training_share.labels(emotion, model.version).set(share)
                _set_bins(self.training_brightness, training.brightness, model.version)
                _set_bins(self.training_contrast, training.contrast, model.version)

    def observe(self, recognition: Recognition, version: str) -> None:
        """Count one image and its faces, those with a null emotion by the most probable one."""
        for step, seconds in recognition.seconds.items():
            self.steps.labels(step).observe(seconds)
        self.images.labels(recognition.detector).inc()
        self.faces.observe(len(recognition.faces))
        for face in recognition.faces:
            self.sizes.observe(max(face.box.width, face.box.height))
        self.count_predictions(recognition.crops, recognition.predictions, version)

    def count_predictions(
        self, crops: NDArray[np.uint8], predictions: Iterable[tuple[str, float]], version: str
    ) -> None:
        """Count crops by brightness, contrast, predicted emotion and its probability."""
        for level in brightness(crops):
            self.brightness.labels(version).observe(level)
        for deviation in contrast(crops):
            self.contrast.labels(version).observe(deviation)
        for emotion, probability in predictions:
            self.predictions.labels(emotion, version).inc()
            self.confidence.labels(version).observe(probability)

    def count_rejection(self, status: int) -> None:
        """Count a request or a frame that was rejected with this status."""
        if status in REASONS:
            self.rejected.labels(REASONS[status]).inc()


def _set_bins(gauge: Gauge, bins: Iterable[Bin | ConfidenceBin], version: str) -> None:
    for each in bins:
        gauge.labels(floatToGoString(each.up_to), version).set(each.share)
