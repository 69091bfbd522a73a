"""The log of a live server, line by line."""

import json
import re
import time
from datetime import datetime

import pytest


@pytest.fixture(scope="module")
def logging(serve, model_path):
    """A server for this module alone."""
    with serve(MODEL_PATH=str(model_path)) as client:
        yield client


def lines_of(client, request_id):
    """The log lines with a request id, once there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in client.log.read_text().splitlines()]
        if found := [line for line in lines if line.get("request_id") == request_id]:
            return found
        time.sleep(0.02)
    raise AssertionError(client.log.read_text())


def test_a_request_has_one_line(logging, photo):
    answer = logging.post("/predict?faces=whole&min_confidence=0.1", content=photo)
    (line,) = lines_of(logging, answer.headers["x-request-id"])
    assert datetime.fromisoformat(line.pop("time")).tzinfo
    assert 0 < line.pop("milliseconds") < 60_000
    assert line == {
        "level": "info",
        "logger": "api.middleware.request_log",
        "message": "request",
        "request_id": answer.headers["x-request-id"],
        "method": "POST",
        "path": "/predict",
        "status": 200,
    }


def test_every_line_is_json_and_the_start_is_logged(logging):
    lines = [json.loads(line) for line in logging.log.read_text().splitlines()]
    messages = [line["message"] for line in lines]
    assert any(message.startswith("Uvicorn running on") for message in messages)
    assert any(message.startswith("ready: ") for message in messages)


@pytest.mark.parametrize("sent", ["abc", "01:23-45.67_Z", "x" * 64])
def test_a_valid_id_is_kept(logging, sent):
    answer = logging.post("/predict", content=b"no", headers={"X-Request-ID": sent})
    assert answer.headers["x-request-id"] == sent
    (line,) = lines_of(logging, sent)
    assert line["status"] == 422


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", 'a","b":"c', "größe"])
def test_an_invalid_id_is_replaced(logging, sent):
    answer = logging.get("/livez", headers={"X-Request-ID": sent.encode()})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    lines_of(logging, answer.headers["x-request-id"])


def test_a_path_cannot_forge_a_line(logging):
    path = '/%0A%7B"message":"forged"%7D'
    answer = logging.get(path)
    (line,) = lines_of(logging, answer.headers["x-request-id"])
    assert line["path"] == '/\n{"message":"forged"}'


TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.mark.parametrize("sent", [f"00-{TRACE}-{PARENT}-01", f"01-{TRACE}-{PARENT}-00-more"])
def test_the_trace_of_a_request_is_logged(logging, sent):
    answer = logging.post("/predict", content=b"no", headers={"traceparent": sent})
    (line,) = lines_of(logging, answer.headers["x-request-id"])
    assert (line["trace_id"], line["parent_id"]) == (TRACE, PARENT)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "trace",
        f"00-{TRACE}-{PARENT}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-01" + "-x" * 5000,
    ],
)
def test_an_invalid_traceparent_is_ignored(logging, sent):
    answer = logging.get("/livez", headers={"traceparent": sent})
    for line in lines_of(logging, answer.headers["x-request-id"]):
        assert not {"trace_id", "parent_id"} & line.keys()
