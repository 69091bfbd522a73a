"""The log of a live server, line by line."""

import json
import re
import time
from datetime import datetime
from io import StringIO
from logging import INFO, WARNING, makeLogRecord

import pytest

from api.logs import GatheringHandler


@pytest.fixture(scope="module")
def logging(serve, model_path):
    """A server that nobody else asks."""
    with serve(MODEL_PATH=str(model_path)) as client:
        yield client


def lines_of(client, request_id):
    """The lines of the log with an id, after waiting for the first."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in client.log.read_text().splitlines()]
        if found := [line for line in lines if line.get("request_id") == request_id]:
            return found
        time.sleep(0.02)
    raise AssertionError(client.log.read_text())


def test_one_line_for_one_request(logging, photo):
    answer = logging.post("/predict?faces=whole&min_confidence=0.1", content=photo)
    (line,) = lines_of(logging, answer.headers["x-request-id"])
    assert datetime.fromisoformat(line.pop("time")).tzinfo
    assert 0 < line.pop("milliseconds") < 60_000
    assert line == {
        "level": "info",
        "logger": "api.logs",
        "message": "request",
        "request_id": answer.headers["x-request-id"],
        "method": "POST",
        "path": "/predict",
        "status": 200,
    }


def test_every_line_is_json_and_tells_the_start(logging):
    lines = [json.loads(line) for line in logging.log.read_text().splitlines()]
    messages = [line["message"] for line in lines]
    assert any(message.startswith("Uvicorn running on") for message in messages)
    assert any(message.startswith("ready: ") for message in messages)


@pytest.mark.parametrize("sent", ["abc", "01:23-45.67_Z", "x" * 64])
def test_a_sane_id_is_kept(logging, sent):
    answer = logging.post("/predict", content=b"no", headers={"X-Request-ID": sent})
    assert answer.headers["x-request-id"] == sent
    (line,) = lines_of(logging, sent)
    assert line["status"] == 422


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", 'a","b":"c', "größe"])
def test_another_id_is_replaced(logging, sent):
    answer = logging.get("/livez", headers={"X-Request-ID": sent.encode()})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    lines_of(logging, answer.headers["x-request-id"])


def test_paths_cannot_forge_lines(logging):
    path = '/%0A%7B"message":"forged"%7D'
    answer = logging.get(path)
    (line,) = lines_of(logging, answer.headers["x-request-id"])
    assert line["path"] == '/\n{"message":"forged"}'


def test_lines_are_written_together_but_a_warning_at_once_and_all_at_the_end():
    handler = GatheringHandler()
    handler.stream = StringIO()

    def log(level, message):
        handler.handle(makeLogRecord({"levelno": level, "msg": message}))
        return handler.stream.getvalue().split()

    assert log(INFO, "first") == ["first"]
    with handler.gathering():
        handler.acquire()  # so that the writer waits
        assert log(INFO, "second") == ["first"]
        assert log(WARNING, "third") == ["first", "second", "third"]
        log(INFO, "fourth")
        handler.release()
    assert handler.stream.getvalue().split() == ["first", "second", "third", "fourth"]
    assert log(INFO, "fifth")[-1] == "fifth"


def test_a_log_that_cannot_be_written_stops_nothing(capsys):
    handler = GatheringHandler()
    handler.stream = StringIO()
    handler.stream.close()
    handler.handle(makeLogRecord({"levelno": INFO, "msg": "lost"}))
    assert "I/O operation on closed file" in capsys.readouterr().err
