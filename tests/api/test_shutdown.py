"""A server that is stopped, or loses a worker, under load: no accepted request is lost."""

import json
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

CLIENTS = 8
PATIENCE = 60
ONE = [sys.executable, "-m", "api", "--port", "0"]
# On a busy machine a worker takes its time to answer its parent. A worker that is killed while its
# parent waits for that answer is missed only after this time, which must be less than PATIENCE.
TWO = [*ONE, "--workers", "2", "--timeout-worker-healthcheck", "20"]
PATIENT = {"MAX_CONCURRENCY": "1", "QUEUE_SECONDS": "60", "DEADLINE_SECONDS": "60"}


@pytest.mark.parametrize(("command", "workers"), [(ONE, 1), (TWO, 2)])
def test_what_is_accepted_before_a_stop_is_answered(serve, model_path, photo, command, workers):
    enough = threading.Semaphore(0)

    def ask_until_the_end(server):
        """Statuses of the answers until the server takes no more requests."""
        answers = []
        with httpx.Client(base_url=server.base_url, timeout=PATIENCE) as client:
            while True:
                try:
                    answers.append(client.post("/predict", content=photo).status_code)
                except (httpx.NetworkError, httpx.RemoteProtocolError):
                    return answers
                enough.release()

    with (
        serve(command, ready=False, MODEL_PATH=str(model_path), **PATIENT) as server,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        until(lambda: loaded(server) >= workers)
        asked = [pool.submit(ask_until_the_end, server) for _ in range(CLIENTS)]
        for _ in range(5 * CLIENTS):
            assert enough.acquire(timeout=PATIENCE)
        server.process.terminate()
        answers = [status for client in asked for status in client.result()]
        server.process.wait(PATIENCE)
    # The log has a line for each request that was accepted, whatever became of it.
    assert logged(server, "/predict") == answers
    assert set(answers) == {200}
    assert "raceback" not in server.log.read_text()


def logged(server, path):
    """Statuses of the requests for `path` in the server's log."""
    # The parent of several workers does not load the app, so it does not write JSON.
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line["status"] for line in map(json.loads, lines) if line.get("path") == path]


def test_a_request_of_which_only_half_has_arrived_is_answered(serve, model_path, photo):
    with serve(ONE, MODEL_PATH=str(model_path), **PATIENT) as server:
        address = server.base_url.host, server.base_url.port
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n"
            connection.sendall(head.encode() + photo[:1000])
            in_flight(server, 1)
            server.process.terminate()
            until(lambda: "Shutting down" in server.log.read_text())
            connection.sendall(photo[1000:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        server.process.wait(PATIENCE)


def in_flight(server, count):
    """Wait until the server works on so many requests, beside the one that asks."""
    until(lambda: f"fer_requests_in_flight {count + 1}.0" in server.get("/metrics").text)


def loaded(server):
    """How many workers have loaded the model since the server's start."""
    return server.log.read_text().count('"ready: ')


def until(condition):
    """Wait for a condition to hold, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def test_service_goes_on_when_a_worker_is_killed(serve, photo):
    with serve(TWO, ready=False, MODEL_PATH="models/fer2013/model.onnx", **PATIENT) as server:
        until(lambda: loaded(server) >= 2)
        expected = server.post("/predict", content=photo).json()
        first, second = workers(server)
        os.kill(first, signal.SIGKILL)
        # Until the new worker has its model, the other one answers for both.
        assert_served(server, photo, expected, lambda: loaded(server) >= 3)
        replaced = workers(server)
        assert len(replaced) == 2 and first not in replaced
        os.kill(second, signal.SIGKILL)
        assert_served(server, photo, expected, lambda: loaded(server) >= 4)


def workers(server):
    """Process ids of a server's workers."""
    children = psutil.Process(server.process.pid).children()
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def assert_served(server, photo, expected, condition):
    """Until a condition holds, who comes on a new connection gets the expected answer."""

    def ask_and_look():
        answer = httpx.post(f"{server.base_url}/predict", content=photo, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        assert answer.json() == expected
        return condition()

    until(ask_and_look)
