"""The serving benchmark: its load, its servers, and the page made from its measurements."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.provenance import Provenance
from benchmarks.servers import (
    BARE,
    OURS,
    OURS_WITH_WORKERS,
    REVISION,
    checked_out,
    servers,
)
from benchmarks.serving import (
    CLIENTS,
    OVERLOAD_CLIENTS,
    PHOTO,
    SMALL,
    Row,
    check_same_results,
    page,
    write_requests,
)

ROOT = Path(__file__).parents[2]

SOURCE = Provenance("fer2013 `0123456789ab`", "`0123abc`", "a machine")
BODY = b'{"faces": []}'


class Handler(BaseHTTPRequestHandler):
    """Closes every second connection, responds 429 to `faces=whole`, counts connections."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self):
        super().setup()
        type(self).connections += 1
        self.close_after_all = self.connections % 2 == 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(429 if "whole" in self.path else 200)
        self.send_header("Content-Length", str(len(BODY)))
        if self.close_after_all:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address():
    Handler.connections = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def generate_load(address, *arguments):
    command = [sys.executable, "-m", "benchmarks.load_generator", address, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_every_request_is_sent_once_and_its_response_is_recorded(address, tmp_path):
    files = write_requests(tmp_path)
    result = generate_load(address, files[PHOTO], files[SMALL], "--clients=4", "--requests=40")
    statuses = [status for status, _ in result["answers"]]
    assert sorted(statuses) == [200] * 20 + [429] * 20
    assert all(0 < seconds < result["seconds"] for _, seconds in result["answers"])
    # A client whose connection is closed opens another one.
    assert Handler.connections > 4


def test_the_load_lasts_as_long_as_asked(address, tmp_path):
    result = generate_load(address, write_requests(tmp_path)[PHOTO], "--clients=2", "--seconds=0.2")
    assert result["seconds"] >= 0.2 and result["answers"]


def rows(server, speed):
    for name in (SMALL, PHOTO):
        for clients in (*CLIENTS, OVERLOAD_CLIENTS):
            yield Row(server, name, clients, "requests/s", speed)
            for p in (50, 95, 99):
                yield Row(server, name, clients, f"p{p} ms", 1000 / speed)
    yield Row(server, PHOTO, OVERLOAD_CLIENTS, "refused/s", 3.0)
    for measure, value in (("before", 100), ("after", 104), ("at the peak", 120)):
        yield Row(server, "both", 8, f"MiB {measure}", value)
    for measure, value in (("seconds to ready", 1.2), ("first ms", 30), ("median ms", 20)):
        yield Row(server, PHOTO, 1, measure, value)


def cells(text):
    """Rows of all tables of a page."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]


def test_the_page_says_which_goals_are_met():
    measured = [*rows(OURS, 50.0), *rows(BARE, 100.0)]
    text = page(measured, SOURCE, "python …")
    assert "as fast as bare FastAPI: 0.50 … 0.50 times its requests per second, **not met**" in text
    assert "memory grows by 5 % at the most: +4.0%, met" in text
    assert "peak memory under 300 MB: 126 MB, met" in text
    assert ["640×480", "32", "bare FastAPI", "100", "10.0", "10.0", "10.0"] in cells(text)


def test_the_page_compares_an_older_revision_at_640_x_480():
    old = f"{REVISION}0123abc"
    for speed, expected in (
        (3.2, "3.20 times, 160 and 50 at the most, met"),
        (2.0, "2.00 times, 100 and 50 at the most, **not met**"),
    ):
        written = [*rows(OURS, 50 * speed), *rows(BARE, 100.0), *rows(old, 50.0)]
        text = page(written, SOURCE, "python …")
        goal = f"640×480: at least 3 times the requests per second of {old}: {expected}"
        assert goal in text
        assert ["640×480", "8", old, "50"] in [row[:4] for row in cells(text)]


def test_all_servers_give_the_same_results(tmp_path):
    """The servers that need no other environment, with the committed model."""
    with checked_out("HEAD", tmp_path / "head") as name:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
        assert name == f"revision {head}"
        compared = [
            server
            for server in servers(None, {name: tmp_path / "head"})
            if server.name != OURS_WITH_WORKERS
        ]
        assert {server.folder for server in compared} == {ROOT, tmp_path / "head"}
        check_same_results(compared, write_requests(tmp_path))
    assert not (tmp_path / "head").exists()


def test_a_revision_that_does_not_exist_is_named(tmp_path):
    expected = "error: --revision no-such-tag: no such commit"
    with (
        pytest.raises(SystemExit, match=expected),
        checked_out("no-such-tag", tmp_path / "tree"),
    ):
        pytest.fail("there is no such revision")
