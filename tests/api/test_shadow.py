"""The candidate in the shadow of the default model: compared, never answering."""

import threading
from collections import Counter

import numpy as np
import pytest
from websockets.sync.client import connect

from api.app import create_app
from api.models.shadow import MAX_WAITING
from api.settings import Settings
from tests.api.test_metrics import scrape
from tests.model_fixture import LABELS, write_tiny_model


@pytest.fixture
def folder(tmp_path):
    write_tiny_model(tmp_path / "stable.onnx")
    write_tiny_model(tmp_path / "candidate.onnx", seed=1)
    return tmp_path


def settings_of(folder, **settings):
    return Settings(
        model_path=folder / "stable.onnx", model_dir=folder, candidate_shadow=True, **settings
    )


def tensor(faces):
    data = faces.reshape(-1).tolist()
    return {"inputs": [{"name": "faces", "shape": faces.shape, "datatype": "UINT8", "data": data}]}


def shadowed(app, client):
    """The number of faces by the emotion of the default model and by agreement."""
    app.state.server.shadow._thread.shutdown()  # waits for the candidate
    counted = {}
    for (name, *labels), number in scrape(client).items():
        if name == "fer_shadow_faces_total":
            agrees, emotion, version = labels
            assert version == app.state.server.models.candidate.version
            counted[emotion, agrees] = number
    return counted


def test_agreement_is_counted_and_the_default_model_answers(serve_app, folder):
    app = create_app(settings_of(folder))
    faces = np.random.default_rng(5).integers(0, 256, (40, 48, 48), np.uint8)
    with serve_app(app) as client:
        stable, candidate = app.state.server.models.default, app.state.server.models.candidate
        for name in ("emotion", "emotion/versions/stable", "emotion/versions/candidate"):
            answer = client.post(f"/v2/models/{name}/infer", json=tensor(faces))
            expected = candidate if name.endswith("candidate") else stable
            assert answer.headers["x-model-version"] == expected.version
        counted = shadowed(app, client)
    ours, theirs = (model.classifier.predict(faces).argmax(axis=1) for model in (stable, candidate))
    expected = Counter(
        (LABELS[place], str(place == other).lower())
        for place, other in zip(ours, theirs, strict=True)
    )
    assert len({agrees for _, agrees in expected}) == 2
    # Twice: the request for the candidate is not compared.
    assert counted == {key: 2 * number for key, number in expected.items()}


def test_the_candidate_gets_the_crops_of_photos(serve_app, folder, photo):
    """A candidate with the same weights agrees on every face, with another file."""
    write_tiny_model(folder / "candidate.onnx", metadata={"dataset": "other"})
    app = create_app(settings_of(folder))
    with serve_app(app) as client:
        emotion = client.post("/predict", content=photo).json()["faces"][0]["emotion"]
        files = [("files", ("a.jpg", photo)), ("files", ("b", b"no"))]
        client.post("/predict/batch", files=files)
        client.post("/predict?min_probability=1", content=photo)
        client.post("/analyze", files={"img": photo})
        with connect(str(client.base_url).replace("http", "ws") + "/stream") as stream:
            stream.send(photo)
            stream.recv()
        assert shadowed(app, client) == {(emotion, "true"): 5}


def test_responses_do_not_wait_for_the_candidate(serve_app, folder, photo):
    app = create_app(settings_of(folder))
    with serve_app(app) as client:
        server = app.state.server
        go_on = threading.Event()
        server.shadow._thread.submit(go_on.wait)
        try:
            for _ in range(MAX_WAITING + 2):
                assert client.post("/predict", content=photo).status_code == 200
        finally:
            go_on.set()
        assert sum(shadowed(app, client).values()) == MAX_WAITING
        assert scrape(client)["fer_shadow_skipped_faces_total", "busy"] == 2


def test_a_failing_candidate_harms_no_response(serve_app, folder, photo):
    app = create_app(settings_of(folder))
    with serve_app(app) as client:
        models = app.state.server.models
        models.candidate.classifier._session = None
        assert client.post("/predict", content=photo).status_code == 200
        app.state.server.shadow._thread.shutdown()
        assert scrape(client)["fer_shadow_skipped_faces_total", "failed"] == 1


def test_without_the_setting_nothing_is_compared(serve_app, folder, photo):
    app = create_app(Settings(model_path=folder / "stable.onnx", model_dir=folder))
    with serve_app(app) as client:
        client.post("/predict", content=photo)
        assert "fer_shadow_faces_total{" not in client.get("/metrics").text
