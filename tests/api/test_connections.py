"""Request heads that exceed the limits of size and time, sent to a live server."""

import socket
from contextlib import contextmanager
from http.client import HTTPResponse

import psutil
import pytest
from websockets.sync.client import connect

LIMIT = 64 * 1024
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = HEAD + b"1\r\nx\r\n0\r\n"


@contextmanager
def connection(client):
    """A socket to the server that an HTTP client talks to."""
    address = client.base_url.host, client.base_url.port
    with socket.create_connection(address, timeout=60) as raw:
        yield raw


def answer_on(raw):
    """Status and body of the next response."""
    answer = HTTPResponse(raw)
    answer.begin()
    return answer.status, answer.read()


def send_without_end(raw, piece):
    """Send the same piece until the server closes; returns the number of sent bytes."""
    sent = 0
    try:
        while sent < 2**28:
            raw.sendall(piece)
            sent += len(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"GET /", b"a" * 50_000, id="address"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 10_000, id="fields"),
        pytest.param(b"GET / HTTP/1.1\r\na: ", b"b" * 50_000, id="value"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"a" * 50_000, id="name"),
        pytest.param(b"", b"\r\n" * 30_000, id="blank lines"),
        pytest.param(CHUNKED, b"a: b\r\n" * 10_000, id="fields after a body"),
    ],
)
def test_an_endless_head_is_refused_and_takes_no_memory(server, start, piece):
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    with connection(server) as raw:
        raw.sendall(start)
        # The rest is in the buffers of the kernel.
        assert send_without_end(raw, piece) < 2**25
    assert process.memory_info().rss - before < 2**24
    assert server.get("/livez").status_code == 200


def test_a_large_head_is_431(server):
    start = b"GET /livez HTTP/1.1\r\nHost: localhost\r\na: "
    with connection(server) as raw:
        raw.sendall(start + b"b" * (LIMIT - len(start)))
        raw.sendall(b"b")  # one too many
        assert answer_on(raw) == (431, b"the request's head is too large")
        assert raw.recv(4096) == b""


def test_a_head_within_the_limit_may_arrive_in_parts(server):
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\na: " + b"b" * 60_000 + b"\r\n\r\n"
    with connection(server) as raw:
        for _ in range(2):  # the count restarts for the second request
            for position in range(0, len(head), 7001):
                raw.sendall(head[position : position + 7001])
            assert answer_on(raw)[0] == 200


def test_the_limit_excludes_bodies(server, photo):
    parts = [photo[k : k + 1000] for k in range(0, len(photo), 1000)]
    with connection(server) as raw:
        raw.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for part in [*parts, b""]:
            raw.sendall(b"%x;%s\r\n%s\r\n" % (len(part), b"e" * 9000, part))
        assert answer_on(raw)[0] == 200


@pytest.fixture(scope="module")
def hasty(serve, model_path):
    """A server with a short deadline."""
    with serve(MODEL_PATH=str(model_path), DEADLINE_SECONDS="0.5") as client:
        yield client


@pytest.mark.parametrize(
    ("earlier", "start"),
    [(0, b""), (0, b"GET /livez HTT"), (0, b"\r\n"), (2, b"GET /livez HTTP/1.1\r\n"), (2, b"\r\n")],
)
def test_a_connection_without_a_complete_head_is_closed(hasty, start, earlier):
    with connection(hasty) as raw:
        for _ in range(earlier):
            raw.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer_on(raw)[0] == 200
        raw.sendall(start)
        assert raw.recv(65536) == b""
    assert hasty.get("/livez").status_code == 200


def test_an_incomplete_body_is_408(hasty):
    with connection(hasty) as raw:
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        assert answer_on(raw)[0] == 408


def test_streams_outlive_the_deadline_of_heads(hasty):
    address = str(hasty.base_url).replace("http", "ws", 1)
    with connect(f"{address}/stream", open_timeout=60) as stream:
        with pytest.raises(TimeoutError):
            stream.recv(timeout=1)
        stream.send("text")
        assert "415" in stream.recv(timeout=60)
