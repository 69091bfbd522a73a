"""The serving benchmark: its clients, and the page that its figures become."""

import csv
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.serving import BARE, CLIENTS, CROWD, OURS, PHOTO, SMALL, Row, write, write_requests

BODY = b'{"faces": []}'


class Answering(BaseHTTPRequestHandler):
    """Keeps every second connection open, refuses what is not a photo, and counts."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self):
        super().setup()
        type(self).connections += 1
        self.close_after_all = self.connections % 2 == 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if "haar" in self.path else 429)
        self.send_header("Content-Length", str(len(BODY)))
        if self.close_after_all:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address():
    Answering.connections = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def load(address, *arguments):
    command = [sys.executable, "-m", "benchmarks.load", address, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_every_request_is_sent_once_and_its_answer_is_noted(address, tmp_path):
    files = write_requests(tmp_path)
    result = load(address, files[PHOTO], files[SMALL], "--clients=4", "--requests=40")
    statuses = [status for status, _ in result["answers"]]
    assert sorted(statuses) == [200] * 20 + [429] * 20
    assert all(0 < seconds < result["seconds"] for _, seconds in result["answers"])
    # A client whose connection is closed opens another one.
    assert Answering.connections > 4


def test_the_time_is_enough(address, tmp_path):
    result = load(address, write_requests(tmp_path)[PHOTO], "--clients=2", "--seconds=0.2")
    assert result["seconds"] >= 0.2 and result["answers"]


def rows(server, speed):
    for name in (SMALL, PHOTO):
        for clients in (*CLIENTS, CROWD):
            yield Row(server, name, clients, "requests/s", speed)
            for p in (50, 95, 99):
                yield Row(server, name, clients, f"p{p} ms", 1000 / speed)
    yield Row(server, PHOTO, CROWD, "refused/s", 3.0)
    for measure, value in (("before", 100), ("after", 104), ("at the peak", 120)):
        yield Row(server, "both", 8, f"MiB {measure}", value)
    for measure, value in (("seconds to ready", 1.2), ("first ms", 30), ("median ms", 20)):
        yield Row(server, PHOTO, 1, measure, value)


def test_the_page_says_which_goals_are_met(tmp_path):
    write([*rows(OURS, 50.0), *rows(BARE, 100.0)], tmp_path / "serving.csv")
    page = (tmp_path / "serving.md").read_text()
    assert "as fast as bare FastAPI: 0.50 … 0.50 times its requests per second, **not met**" in page
    assert "no growth beyond 5 % over 20,000 requests: +4.0%, met" in page
    assert "peak memory under 300 MB: 126 MB, met" in page
    assert "| 640×480, 32 clients, bare FastAPI | 100 | 10.0 | 10.0 | 10.0 |" in page
    with (tmp_path / "serving.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len([*rows(OURS, 1.0)]) * 2
