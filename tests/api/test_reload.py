"""MODEL_DIR, POST /admin/reload, and the candidate, on live servers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from pydantic import ValidationError
from websockets.sync.client import connect

from api.app import create_app
from api.settings import Settings
from tests.api.live_server import (
    ONE,
    PATIENCE,
    TWO,
    loaded,
    new_connection,
    until,
    workers_of,
)
from tests.model_fixture import write_tiny_model

ROOT = Path(__file__).parents[2]
KEY = {"X-API-Key": "secret"}
FACE = cv2.imencode(".png", np.random.default_rng(3).integers(0, 256, (48, 48), np.uint8))[1]


def version_of(path):
    return sha256(path.read_bytes()).hexdigest()


def replace(path, content):
    """Replace a file at once, as `mv` does."""
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """The bytes of three models."""
    folder = tmp_path_factory.mktemp("versions")
    return [write_tiny_model(folder / f"{seed}.onnx", seed=seed).read_bytes() for seed in range(3)]


@pytest.fixture
def folder(tmp_path, versions):
    """A folder for MODEL_DIR, with the first model as stable.onnx."""
    (tmp_path / "stable.onnx").write_bytes(versions[0])
    return tmp_path


def digests(versions):
    return [sha256(content).hexdigest() for content in versions]


def predict(client, **query):
    query = {"faces": "whole", **query}
    return client.post("/predict", content=FACE.tobytes(), params=query, headers=KEY)


def reload(client):
    return client.post("/admin/reload", headers=KEY)


# ---------------------------------------------------------------- MODEL_DIR


def test_files_of_a_folder_are_served_by_their_names(
    serve_app, folder, model_path, versions, tmp_path
):
    first, second, third = digests(versions)
    (folder / f"{second[:12]}.onnx").write_bytes(versions[1])
    (folder / "20261126.onnx").write_bytes(versions[2])
    (folder / "notes.txt").write_text("not served")
    builtin = write_tiny_model(tmp_path / "model.other", metadata={"dataset": "other"}, seed=9)
    settings = Settings(model_path=builtin, model_dir=folder)
    with serve_app(create_app(settings)) as client:
        listed = client.get("/models").json()["models"]
        assert [(m["source"], m["model"]["version"], m["default"]) for m in listed] == [
            (str(folder / "stable.onnx"), first, True),
            (str(builtin), version_of(builtin), False),
            (str(folder / "20261126.onnx"), third, False),
            (str(folder / f"{second[:12]}.onnx"), second, False),
        ]
        for name, expected in (
            *((None, first), ("stable", first), ("20261126", third)),
            *((second[:12], second), (second, second)),
        ):
            answer = predict(client, **({"version": name} if name else {}))
            assert answer.headers["x-model-version"] == expected
            alias = "stable" if expected == first else None
            assert answer.headers.get("x-model-alias") == alias
            assert answer.json()["model"].get("alias") == alias
        assert client.get("/v2/models/emotion/versions/20261126").json()["versions"]
        refused = predict(client, version="candidate")
        assert refused.status_code == 404
        assert refused.json()["detail"].endswith(
            f"{third[:12]}, {second[:12]}, stable, 20261126, {second[:12]})"
        )
        assert predict(client, model="other").json()["model"]["dataset"] == "other"


def test_a_file_named_by_another_version_is_not_served(serve_app, folder, versions):
    first, second, _ = digests(versions)
    wrong = folder / f"{first[:12]}.onnx"
    wrong.write_bytes(versions[1])
    settings = Settings(model_path=folder / "stable.onnx", model_dir=folder)
    with serve_app(create_app(settings)) as client:
        assert client.get("/readyz").json()["detail"] == (
            f"{wrong}: the file is damaged, or has the name of another one: its SHA-256 begins"
            f" with {second[:12]}"
        )
        assert predict(client).status_code == 200


# ---------------------------------------------------------------- reload


@contextmanager
def requests_all_the_time(client, threads=4):
    """Send requests on new connections; yields the list of (status, version) so far."""
    answers, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            try:
                with new_connection(client.base_url) as own:
                    for _ in range(5):
                        answer = predict(own)
                        answers.append((answer.status_code, answer.headers["x-model-version"]))
            except Exception as error:  # the list must have every failure
                answers.append((repr(error), None))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield answers
    finally:
        stop.set()
        for worker in workers:
            worker.join(PATIENCE)


def served_on_new_connections(client, count=40):
    """The versions that answer, of all workers with near certainty."""
    found = set()
    for _ in range(count):
        with new_connection(client.base_url) as own:
            found.add(predict(own).headers["x-model-version"])
    return found


@pytest.mark.parametrize(("command", "workers"), [(ONE, 1), (TWO, 2)])
def test_a_reload_loses_no_request(serve, folder, versions, command, workers):
    first, second, _ = digests(versions)
    stable = folder / "stable.onnx"
    settings = {"MODEL_PATH": str(stable), "MODEL_DIR": str(folder), "API_KEY": "secret"}
    patient = {"QUEUE_SECONDS": "60", "DEADLINE_SECONDS": "100"}
    with serve(command, ready=False, **settings, **patient) as client:
        # MODEL_PATH and MODEL_DIR name the same file here.
        until(lambda: loaded(client) >= 2 * workers)
        with requests_all_the_time(client) as answers:
            until(lambda: len(answers) > 20)
            replace(stable, versions[1])
            assert set(answers) == {(200, first)}, "a changed file is served without a reload"
            answer = reload(client)
            assert answer.status_code == 200, answer.text
            assert {model["model"]["version"] for model in answer.json()["models"]} == {second}
            # Only a request that had begun before the reload's end may have the first version.
            assert served_on_new_connections(client) == {second}
            before = len(answers)
            until(lambda: len(answers) > before + 20)

            replace(stable, versions[2][:2000])
            refused = reload(client)
            assert refused.status_code == 409
            problem = f"not reloaded: {stable}: not an ONNX model, or a damaged one"
            assert refused.json() == {"detail": problem}
            stable.unlink()
            assert (
                reload(client)
                .json()["detail"]
                .endswith("cannot be read: No such file or directory")
            )
            assert served_on_new_connections(client) == {second}
            assert client.get("/readyz").status_code == 200
        assert {status for status, _ in answers} == {200}
        assert {version for _, version in answers} == {first, second}
        metrics = client.get("/metrics", headers=KEY).text
        assert (
            f'model_version="{second}"' in metrics.partition("fer_build_info{")[2].splitlines()[0]
        )
        for line in client.log.read_text().splitlines():
            assert "Traceback" not in line
        if workers > 1:
            a_replaced_worker_serves_the_reloaded_models(client, second)


def a_replaced_worker_serves_the_reloaded_models(client, version):
    before, killed = loaded(client), workers_of(client)
    for worker in killed:
        os.kill(worker, signal.SIGKILL)
    until(lambda: loaded(client) >= before + 2 * len(killed))
    assert served_on_new_connections(client) == {version}


def test_a_worker_that_dies_during_a_reload_leaves_no_mixture(serve, folder, versions):
    known = digests(versions)
    settings = {"MODEL_PATH": str(folder / "stable.onnx"), "API_KEY": "secret"}
    with serve(TWO, ready=False, **settings) as client:
        for attempt in range(3):
            until(lambda: len(workers_of(client)) == 2 and is_served(client))
            before = workers_of(client)
            replace(folder / "stable.onnx", versions[(attempt + 1) % 3])
            reloading = threading.Thread(target=reload_or_lose_the_connection, args=(client,))
            reloading.start()
            time.sleep(0.02 * attempt)
            os.kill(before[attempt % 2], signal.SIGKILL)
            reloading.join(PATIENCE)
            until(lambda: len(set(workers_of(client)) - set(before)) == 1)  # noqa: B023
            until(lambda: is_served(client))
            (version,) = served_on_new_connections(client)
            # Nothing else has to be said: a new reload succeeds, for all workers.
            assert version in known
            assert reload(client).status_code == 200
            assert served_on_new_connections(client) == {known[(attempt + 1) % 3]}


def reload_or_lose_the_connection(client):
    """Reload; the worker that has accepted the request may be the one that is killed."""
    with suppress(httpx.HTTPError), new_connection(client.base_url) as own:
        reload(own)


def is_served(client):
    """Whether a worker answers on a new connection."""
    with suppress(httpx.HTTPError), new_connection(client.base_url) as own:
        return predict(own).status_code == 200
    return False


def test_new_files_of_the_folder_appear_with_a_reload(serve_app, folder, versions):
    _, second, _ = digests(versions)
    settings = Settings(model_path=folder / "stable.onnx", model_dir=folder, api_key="secret")
    app = create_app(settings)
    with serve_app(app) as client:
        kept = app.state.server.models.default.classifier
        (folder / "candidate.onnx").write_bytes(versions[1])
        assert predict(client, version="candidate").status_code == 404
        assert reload(client).status_code == 200
        assert predict(client, version="candidate").headers["x-model-version"] == second
        assert app.state.server.models.default.classifier is kept, "the same bytes, loaded twice"
        (folder / "candidate.onnx").replace(folder / "stable.onnx")
        assert reload(client).status_code == 200
        assert predict(client).headers["x-model-version"] == second
        assert predict(client, version="candidate").status_code == 404
        shutil.rmtree(folder)
        gone = f"not reloaded: {folder}: there is no such folder"
        assert reload(client).json() == {"detail": gone}
        assert predict(client).headers["x-model-version"] == second


def test_who_may_reload(serve_app, model_path):
    with serve_app(create_app(Settings(model_path=model_path))) as client:
        assert reload(client).status_code == 403
    settings = Settings(model_path=model_path, api_key="secret")
    with serve_app(create_app(settings)) as client:
        for headers in ({}, {"X-API-Key": "wrong"}):
            assert client.post("/admin/reload", headers=headers).status_code == 401
        assert client.get("/admin/reload", headers=KEY).status_code == 405
        assert client.post("/admin/reload?x=1", headers=KEY).status_code == 422


def test_a_stream_keeps_its_model(serve_app, folder, versions):
    first, second, _ = digests(versions)
    settings = Settings(model_path=folder / "stable.onnx", model_dir=folder, api_key="secret")
    with serve_app(create_app(settings)) as client:
        address = str(client.base_url).replace("http", "ws").rstrip("/") + "/stream?faces=whole"

        def version(stream):
            stream.send(FACE.tobytes())
            return json.loads(stream.recv(PATIENCE))["model"]["version"]

        with connect(address, additional_headers=KEY) as before:
            assert version(before) == first
            replace(folder / "stable.onnx", versions[1])
            assert reload(client).status_code == 200
            assert version(before) == first
            with connect(address, additional_headers=KEY) as after:
                assert version(after) == second


# ---------------------------------------------------------------- candidate


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_the_candidate_gets_its_share(serve_app, folder, versions, share):
    first, second, _ = digests(versions)
    (folder / "candidate.onnx").write_bytes(versions[1])
    settings = Settings(model_path=folder / "stable.onnx", model_dir=folder, candidate_share=share)
    expected = {0: {first}, 0.5: {first, second}, 1: {second}}[share]
    inputs = [{"name": "faces", "shape": [1, 48, 48], "datatype": "UINT8", "data": [7] * 48 * 48}]
    aliases = {first: "stable", second: "candidate"}
    with serve_app(create_app(settings)) as client:
        # 0.5: both have answered after 60 requests, but for one time in 10^17.
        answers = [predict(client) for _ in range(60)]
        for answer in answers:
            model = answer.json()["model"]
            assert model["alias"] == aliases[model["version"]] == answer.headers["x-model-alias"]
        assert {answer.json()["model"]["version"] for answer in answers} == expected
        found = set()
        for _ in range(60):
            answer = client.post("/v2/models/emotion/infer", json={"inputs": inputs})
            found.add(answer.headers["x-model-version"])
            assert answer.json()["model_version"] == answer.headers["x-model-version"]
        assert found == expected
        for query in ({"version": "stable"}, {"version": first[:8]}, {"model": "tiny"}):
            assert predict(client, **query).headers["x-model-version"] == first
        assert client.get("/model").json()["version"] == first
        assert predict(client, version="candidate").headers["x-model-version"] == second


def test_without_a_ready_candidate_stable_answers(serve_app, folder):
    (folder / "candidate.onnx").write_bytes(b"damaged")
    settings = Settings(model_path=folder / "stable.onnx", model_dir=folder, candidate_share=1)
    with serve_app(create_app(settings)) as client:
        assert client.get("/readyz").status_code == 503
        assert predict(client).json()["model"]["alias"] == "stable"


@pytest.mark.parametrize("setting", [{"candidate_share": 0.1}, {"candidate_shadow": True}])
def test_a_candidate_needs_a_folder(setting, model_path):
    with pytest.raises(ValidationError, match="needs MODEL_DIR"):
        Settings(model_path=model_path, **setting)


def test_a_folder_that_does_not_exist_stops_the_start(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "api"],
        env={**os.environ, "MODEL_DIR": str(tmp_path / "absent")},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: environment variable MODEL_DIR: ")
    assert done.stderr.count("\n") == 1
