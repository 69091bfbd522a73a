"""A shutdown or the loss of a worker under load: no accepted request is lost."""

import json
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.live_server import ONE, PATIENCE, TWO, loaded, new_connection, until, workers_of

CLIENTS = 8
PATIENT = {
    "EXTRA_MODEL_PATHS": "",
    "MAX_CONCURRENCY": "1",
    "QUEUE_SECONDS": "60",
    "DEADLINE_SECONDS": "60",
}


@pytest.mark.parametrize(("command", "workers"), [(ONE, 1), (TWO, 2)])
def test_accepted_requests_are_completed_at_a_shutdown(serve, model_path, photo, command, workers):
    enough = threading.Semaphore(0)

    def post_until_the_end(server):
        """Statuses of the responses until the server accepts no more requests."""
        answers = []
        with new_connection(server.base_url) as client:
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
        clients = [pool.submit(post_until_the_end, server) for _ in range(CLIENTS)]
        for _ in range(5 * CLIENTS):
            assert enough.acquire(timeout=PATIENCE)
        server.process.terminate()
        answers = [status for client in clients for status in client.result()]
        server.process.wait(PATIENCE)
    # The log has a line for each accepted request, completed or not.
    assert logged(server, "/predict") == answers
    assert set(answers) == {200}
    assert "raceback" not in server.log.read_text()


def logged(server, path):
    """Statuses of the requests for `path` in the server's log."""
    # The parent of several workers does not load the application and logs plain text.
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line["status"] for line in map(json.loads, lines) if line.get("path") == path]


def test_a_half_received_request_is_completed_at_a_shutdown(serve, model_path, photo):
    with serve(ONE, MODEL_PATH=str(model_path), **PATIENT) as server:
        address = server.base_url.host, server.base_url.port
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            head = (
                f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n\r\n"
            )
            connection.sendall(head.encode() + photo[:1000])
            wait_for_requests(server, 1)
            server.process.terminate()
            until(lambda: "Shutting down" in server.log.read_text())
            connection.sendall(photo[1000:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        server.process.wait(PATIENCE)


def wait_for_requests(server, count):
    """Wait until the server processes this number of requests, besides the scrape."""
    until(lambda: f"fer_requests_in_flight {count + 1}.0" in server.get("/metrics").text)


def test_predictions_continue_when_a_worker_is_killed(serve, photo):
    one = {"MODEL_PATH": "models/fer2013/model.onnx"}
    with serve(TWO, ready=False, **one, **PATIENT) as server:
        until(lambda: loaded(server) >= 2)
        expected = server.post("/predict", content=photo).json()
        first, second = workers_of(server)
        os.kill(first, signal.SIGKILL)
        # Until the new worker has loaded the model, the other one handles all requests.
        assert_served(server, photo, expected, lambda: loaded(server) >= 3)
        replaced = workers_of(server)
        assert len(replaced) == 2 and first not in replaced
        os.kill(second, signal.SIGKILL)
        assert_served(server, photo, expected, lambda: loaded(server) >= 4)


def assert_served(server, photo, expected, condition):
    """Until a condition holds, each request on a new connection gets the expected response."""

    def post_and_check():
        with new_connection(server.base_url) as client:
            answer = client.post("/predict", content=photo)
        assert answer.status_code == 200, answer.text
        assert answer.json() == expected
        return condition()

    until(post_and_check)
