"""GET /metrics, as Prometheus reads it."""

import asyncio
import json
import os
import signal
import subprocess
import tomllib
from pathlib import Path

import cv2
import httpx
import numpy as np
import onnxruntime
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.models.evaluation import CONFIDENCE_BINS
from api.settings import Settings
from recognizer.classifier import Classifier
from tests.api.live_server import TWO, loaded, new_connection, until, workers_of
from tests.model_fixture import LABELS, write_tiny_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def counting(serve, model_path):
    """A server for this module alone."""
    with serve(MODEL_PATH=str(model_path), MAX_BYTES="300000") as client:
        yield client


def scrape(client):
    """The value of every sample, by its name and the values of its labels."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_images_and_faces_are_counted(counting, photo, model_path):
    before = scrape(counting)
    answers = [counting.post("/predict", content=photo) for _ in range(2)]
    # A face without an emotion counts by its most probable one.
    answers.append(counting.post("/predict?min_probability=1", content=photo))
    emotion = answers[0].json()["faces"][0]["emotion"]
    blank = cv2.imencode(".png", np.full((60, 60), 128, np.uint8))[1].tobytes()
    files = [("files", ("a.jpg", photo)), ("files", ("b.png", blank)), ("files", ("c", b"no"))]
    assert counting.post("/predict/batch", files=files).status_code == 200
    assert counting.post("/predict", content=b"no").status_code == 422
    assert counting.post("/predict", content=bytes(300_001)).status_code == 413
    assert counting.post("/predict", headers={"content-type": "x"}).status_code == 415
    for path in ("/one", "/two"):
        assert counting.get(path).status_code == 404
    for path in ("/static/index.html", "/static/nothing"):
        counting.get(path)
    after = scrape(counting)

    def grown(*sample):
        return after.get(sample, 0) - before.get(sample, 0)

    assert grown("fer_requests_total", "/predict", "200") == 3
    assert grown("fer_requests_total", "/predict/batch", "200") == 1
    assert grown("fer_requests_total", "/predict", "422") == 1
    assert grown("fer_requests_total", "none", "404") == 2
    assert grown("fer_requests_total", "/static", "200") == 1
    assert grown("fer_requests_total", "/static", "404") == 1
    assert grown("fer_request_seconds_count", "/predict") == 6
    assert 0 < grown("fer_request_seconds_sum", "/predict") < 60
    for reason in ("invalid", "too_large", "content_type"):
        assert grown("fer_rejected_requests_total", reason) == 1
    for step in ("decode", "detect", "classify"):
        assert grown("fer_step_seconds_count", step) == 5
        assert grown("fer_step_seconds_sum", step) > 0
    assert grown("fer_images_total", "yunet") == 5
    assert grown("fer_faces_per_image_count") == 5
    assert grown("fer_faces_per_image_sum") == 4
    assert grown("fer_faces_per_image_bucket", "0.0") == 1
    box = answers[0].json()["faces"][0]["box"]
    assert grown("fer_face_pixels_sum") == 4 * max(box["width"], box["height"])
    version = Classifier(model_path).version
    assert grown("fer_face_brightness_count", version) == 4
    assert 0 < grown("fer_face_brightness_sum", version) < 4 * 255
    assert grown("fer_face_contrast_count", version) == 4
    assert 0 < grown("fer_face_contrast_sum", version) < 4 * 127.5
    assert grown("fer_predictions_total", emotion, version) == 4
    # The same face four times: buckets below its probability are empty, those above have four.
    probability = answers[0].json()["faces"][0]["probabilities"][emotion]
    for edge in CONFIDENCE_BINS:
        expected = 4 if probability <= edge else 0
        assert after["fer_confidence_bucket", str(edge), version] == expected
    assert grown("fer_confidence_count", version) == 4
    assert after["fer_requests_in_flight",] == 1  # this scrape
    assert after["fer_requests_waiting",] == 0
    assert after["process_resident_memory_bytes",] > 1e6


def test_the_brightness_and_contrast_of_crops_are_counted(counting, model_path):
    """A dark crop without contrast, and one whose levels are 170 and 230."""
    version = Classifier(model_path).version
    before = scrape(counting)
    data = [10] * 48 * 48 + [170, 230] * 24 * 48
    faces = {"name": "faces", "shape": [2, 48, 48], "datatype": "UINT8", "data": data}
    assert counting.post("/v2/models/emotion/infer", json={"inputs": [faces]}).status_code == 200
    after = scrape(counting)

    def grown(*sample):
        return after[sample] - before.get(sample, 0)

    assert grown("fer_face_brightness_sum", version) == 210
    for edge, expected in (("16.0", 1), ("192.0", 1), ("208.0", 2)):
        assert grown("fer_face_brightness_bucket", edge, version) == expected
    assert grown("fer_face_contrast_sum", version) == 30
    for edge, expected in (("10.0", 1), ("20.0", 1), ("30.0", 2)):
        assert grown("fer_face_contrast_bucket", edge, version) == expected


def test_the_distribution_of_training_is_served(counting, serve, tmp_path):
    """As the metadata of the model file have it; without it, the file is served as well."""
    assert counting.get("/model").json()["training_distribution"] is None
    assert "fer_training_share{" not in counting.get("/metrics").text
    distribution = {
        "faces": 40,
        "emotion_shares": {label: round(0.1 + place / 70, 4) for place, label in enumerate(LABELS)},
        "brightness": [{"up_to": 96, "share": 0.25}, {"up_to": 160, "share": 1}],
        "contrast": [{"up_to": 50, "share": 0.125}],
    }
    properties = {"training_distribution": json.dumps(distribution)}
    path = write_tiny_model(tmp_path / "model.onnx", metadata=properties)
    with serve(MODEL_PATH=str(path)) as client:
        assert client.get("/model").json()["training_distribution"] == distribution
        found = scrape(client)
    version = Classifier(path).version
    for label, share in distribution["emotion_shares"].items():
        assert found["fer_training_share", label, version] == share
    assert found["fer_training_brightness", "96.0", version] == 0.25
    assert found["fer_training_brightness", "160.0", version] == 1
    assert found["fer_training_contrast", "50.0", version] == 0.125


def test_the_versions_are_a_metric(counting, serve, model_path):
    def build(client):
        families = text_string_to_metric_families(client.get("/metrics").text)
        (family,) = [family for family in families if family.name == "fer_build_info"]
        (sample,) = family.samples
        assert sample.value == 1
        return sample.labels

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = build(counting)
    assert labels["version"] == project["version"]
    assert labels["model_version"] == Classifier(model_path).version
    assert labels["onnxruntime"] == onnxruntime.__version__
    assert cv2.__version__ in labels["opencv"]
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    expected = git.stdout.strip() if git.returncode == 0 else "unknown"
    assert labels["commit"].removesuffix("-dirty") == expected
    with serve(MODEL_PATH=str(model_path), GIT_COMMIT="0123abc") as client:
        assert build(client)["commit"] == "0123abc"


def samples_of(client):
    """The samples of a scrape, by worker and then by name and the values of the other labels."""
    workers = {}
    text = client.get("/metrics").text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            own = workers.setdefault(labels.pop("worker"), {})
            assert (sample.name, *labels.values()) not in own
            own[sample.name, *labels.values()] = sample.value
    # Prometheus refuses a second description of a metric.
    described = [line for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(set(described)) == len(described) > 20
    return workers


def test_a_scrape_has_the_metrics_of_all_workers(serve, model_path, photo):
    """Whichever worker answers it; also after one was killed and replaced."""

    def classified(client):
        """The faces that each worker has classified."""
        return {
            int(worker): sum(
                value for (name, *_), value in own.items() if name == "fer_predictions_total"
            )
            for worker, own in samples_of(client).items()
        }

    def on_a_new_connection(call):
        """Any worker may accept it."""
        with new_connection(server.base_url) as client:
            return call(client)

    sent = 0
    with serve(TWO, ready=False, MODEL_PATH=str(model_path)) as server:
        until(lambda: loaded(server) >= 2)
        while sent < 10 or min(on_a_new_connection(classified).values()) == 0:
            answer = on_a_new_connection(lambda client: client.post("/predict", content=photo))
            assert len(answer.json()["faces"]) == 1
            sent += 1
        for _ in range(8):
            counted = on_a_new_connection(classified)
            assert set(counted) == set(workers_of(server))
            assert sum(counted.values()) == sent
        for own in on_a_new_connection(samples_of).values():
            assert own["process_resident_memory_bytes",] > 1e6

        killed, kept = workers_of(server)
        os.kill(killed, signal.SIGKILL)
        until(lambda: loaded(server) >= 3)
        after = on_a_new_connection(classified)
        assert set(after) == set(workers_of(server))
        assert after.pop(kept) == counted[kept]
        assert list(after.values()) == [0]


def test_each_application_has_its_own_metrics(model_path):
    apps = [create_app(Settings(model_path=model_path)) for _ in range(2)]

    async def get(app, path):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(path)).text

    asyncio.run(get(apps[0], "/livez"))
    counted = 'fer_requests_total{route="/livez",status="200"} 1.0'
    assert counted in asyncio.run(get(apps[0], "/metrics"))
    assert counted not in asyncio.run(get(apps[1], "/metrics"))
