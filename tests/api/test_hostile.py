"""Several hundred hostile requests, against a live server with a short deadline."""

import errno
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest
from websockets.sync.client import connect

from tests.api.hostile_images import GOOD, MAX_PIXELS, hostile_images
from tests.api.hostile_requests import MAX_BATCH, MAX_BATCH_PIXELS, MAX_BYTES, hostile_requests

CLIENTS = 16
PATIENCE = 60
GROWTH = 16 * 2**20
"""Most bytes that a further pass over the corpus may add to the server's resident memory."""

BUSY = {429, 504}
"""Statuses of a slow machine, which any request may get."""


@pytest.fixture(scope="module")
def corpus():
    return hostile_requests()


@pytest.fixture(scope="module")
def target(serve, model_path):
    """A client of a server with the limits of the corpus."""
    limits = {
        "MAX_BYTES": str(MAX_BYTES),
        "MAX_PIXELS": str(MAX_PIXELS),
        "MAX_BATCH": str(MAX_BATCH),
        "MAX_BATCH_PIXELS": str(MAX_BATCH_PIXELS),
        "DEADLINE_SECONDS": "3",
        # The allocator returns freed memory at once, so that resident memory is in use.
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "131072",
        "MALLOC_TRIM_THRESHOLD_": "131072",
    }
    with serve(MODEL_PATH=str(model_path), **limits) as client:
        yield client


def _close_writing(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        # The server has closed the connection already.
        if error.errno != errno.ENOTCONN:
            raise


def answer_to(client, request) -> tuple[int, bytes, bytes]:
    """Send bytes, and read until the server closes: status, head and body."""
    address = client.base_url.host, client.base_url.port
    received = b""
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        # The server may refuse the request before all of it is sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request.sent)
            if request.closes_writing:
                _close_writing(connection)
        # The server discards bytes after its response.
        with suppress(ConnectionResetError):
            while block := connection.recv(65536):
                received += block
    head, _, body = received.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    return int(status[1]) if status else 0, head.lower(), body


def complaint(client, request) -> str | None:
    """What is wrong with the response to a request; None if nothing is."""
    status, head, body = answer_to(client, request)
    if status not in request.expected | BUSY:
        return f"{request.name}: {status} {body[:200]!r}, expected {request.expected}"
    if not request.json:
        return None
    length = int(re.search(rb"\r\ncontent-length: (\d+)", head)[1])
    answer = json.loads(body[:length])
    # The protocols name it `error`.
    if status == 200 or isinstance(answer.get("detail", answer.get("error")), str):
        return None
    return f"{request.name}: {status} without a sentence: {answer}"


def attack(client, corpus) -> None:
    """Send the whole corpus; the slow requests come first and wait while the others run."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        complaints = pool.map(lambda request: complaint(client, request), corpus[::-1])
        found = [sentence for sentence in complaints if sentence]
    assert not found, "\n".join(found)


def test_the_corpus_is_large_and_deterministic(corpus):
    assert len(corpus) >= 300
    assert len({request.name for request in corpus}) == len(corpus)
    assert corpus == hostile_requests()


def test_the_server_survives_the_corpus_without_leaks(target, corpus, photo):
    first = target.post("/predict", content=photo).json()
    assert len(first["faces"]) == 1
    process = psutil.Process(target.process.pid)
    resident, files = [], []
    for _ in range(3):
        attack(target, corpus)
        assert target.post("/predict", content=photo).json() == first
        resident.append(process.memory_info().rss)
        files.append(process.num_fds())
    # The first pass is the warm-up of the memory allocator.
    assert resident[2] <= resident[1] + GROWTH
    assert files[2] <= files[1]
    assert "raceback" not in target.log.read_text()


def test_hostile_images_in_a_batch_get_a_result_each(target, photo):
    expected = target.post("/predict", content=photo, params={"faces": "whole"}).json()["faces"]
    images = list(hostile_images())
    for start in range(0, len(images), MAX_BATCH - 1):
        some = images[start : start + MAX_BATCH - 1]
        files = [("files", (name, data)) for name, data, _ in some]
        files.append(("files", ("good", photo)))
        answer = target.post("/predict/batch", files=files, params={"faces": "whole"})
        assert answer.status_code in {200, *BUSY}, answer.text
        if answer.status_code != 200:
            continue
        *results, good = answer.json()["results"]
        assert good["faces"] == expected
        for (name, _, statuses), result in zip(some, results, strict=True):
            assert result["filename"] == name
            assert "faces" in result or ("error" in result and statuses != {200})


def test_hostile_images_in_a_stream_get_a_message_each(target, photo):
    address = f"ws://{target.base_url.host}:{target.base_url.port}/stream?faces=whole"
    with connect(address, open_timeout=PATIENCE) as stream:
        for name, data, statuses in [*hostile_images(), ("good", photo, {200})]:
            stream.send(data)
            answer = json.loads(stream.recv(PATIENCE))
            assert answer.get("status", 200) in statuses | BUSY, f"{name}: {answer}"
            assert ("faces" in answer) != ("error" in answer)


@pytest.mark.parametrize("kind", GOOD)
def test_the_images_behind_the_corpus_are_valid(target, kind):
    assert target.post("/predict", content=GOOD[kind]).status_code == 200
