import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
import uvicorn

from api.middleware.connections import HttpConnection, StreamConnection
from recognizer.classifier import Classifier
from tests.api.live_server import new_connection
from tests.model_fixture import write_tiny_model
from tests.portrait_fixture import portrait

ROOT = Path(__file__).parents[2]
PATIENCE = 60
"""Seconds to wait for a server on a busy machine."""


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture(scope="session")
def photo():
    """A JPEG of 640×480 pixels with one face that YuNet detects."""
    return cv2.imencode(".jpg", portrait())[1].tobytes()


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """A context manager that starts a server on a free port and yields a client of it.

    `command` runs uvicorn, `environment` is added to that of this process. With `ready`, it waits
    for /readyz.
    """

    @contextmanager
    def start(command=(), *, ready=True, **environment):
        log = tmp_path_factory.mktemp("server") / "log"
        command = command or [sys.executable, "-m", "api", "--port", "0"]
        with log.open("w") as stream:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=stream, stderr=stream
            )
        try:
            found = until(
                lambda: re.search(r"running on (http://\S+)", log.read_text()), process, log
            )
            with new_connection(found.group(1)) as client:
                client.log = log
                client.process = process
                # uvicorn's main process writes its address before the first worker listens there.
                until(lambda: accepts_connections(client), process, log)
                if ready:
                    wait_until_ready(client)
                yield client
        finally:
            process.terminate()
            process.wait(PATIENCE)

    return start


@pytest.fixture(scope="session")
def serve_app():
    """A context manager that serves an application of this process and yields a client of it.

    It waits until loading has ended, with or without success.
    """

    @contextmanager
    def start(app):
        connections = {"http": HttpConnection, "ws": StreamConnection}
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, **connections))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            deadline = time.monotonic() + PATIENCE
            while not server.started:
                assert thread.is_alive() and time.monotonic() < deadline
                time.sleep(0.01)
            host, port = server.servers[0].sockets[0].getsockname()
            with new_connection(f"http://{host}:{port}") as client:
                while "loading" in client.get("/readyz").text:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                yield client
        finally:
            server.should_exit = True
            thread.join(PATIENCE)

    return start


def accepts_connections(client) -> bool:
    """Whether a connection to the server of a client is accepted."""
    try:
        with socket.create_connection((client.base_url.host, client.base_url.port), PATIENCE):
            return True
    except ConnectionRefusedError:
        return False


def until(condition, process, log):
    """Wait for a condition and return its value; fail if the server ends first."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        time.sleep(0.02)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


def wait_until_ready(client):
    """Wait until /readyz returns 200; until then, each response must be 503."""
    deadline = time.monotonic() + PATIENCE
    while (answer := client.get("/readyz")).status_code != 200:
        assert answer.status_code == 503 and "loading" in answer.json()["detail"], answer.text
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="session")
def evaluation(model_path):
    """The committed metrics of the tiny model."""
    return {
        "PrivateTest": {"accuracy": 0.7, "accuracy_low": 0.68, "accuracy_high": 0.72},
        "model": {"version": Classifier(model_path).version[:12]},
    }


@pytest.fixture(scope="session")
def server(serve, model_path, evaluation, tmp_path_factory):
    """A client of a live, ready server with the tiny model and small limits."""
    metrics = tmp_path_factory.mktemp("metrics")
    (metrics / "tiny").mkdir()
    (metrics / "tiny" / "evaluation.json").write_text(json.dumps(evaluation))
    limits = {
        "MAX_BYTES": "300000",
        "MAX_PIXELS": "1000000",
        "MAX_FACES": "2",
        "MAX_BATCH": "4",
        "MAX_TENSOR_FACES": "100",
        # Long, because the machine may be busy.
        "QUEUE_SECONDS": "60",
        "DEADLINE_SECONDS": "100",
    }
    with serve(MODEL_PATH=str(model_path), METRICS_DIR=str(metrics), **limits) as client:
        yield client
