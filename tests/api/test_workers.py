"""The main process and its workers: who may connect, and that all switch or none."""

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from api.models.workers import VARIABLE, MainProcess, Worker
from api.settings import Settings
from api.worker_metrics import text_of
from recognizer.errors import ModelError

PATIENCE = 60


@pytest.fixture
def model(tmp_path, model_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model_path.read_bytes())
    return path


@pytest.fixture
def environment(model):
    """The environment of the workers of a main process that runs in this process."""
    return {VARIABLE: MainProcess(Settings(model_path=model)).listen()}


class Follower:
    """A worker that records what it is told, and refuses models on demand."""

    def __init__(self, environment):
        self.worker = Worker.of(environment)
        self.problem = None
        self.families = []
        self.served = self.contents(self.worker.snapshots)
        threading.Thread(
            target=self.worker.follow,
            args=(self.prepare, self.switch, lambda: self.families),
            daemon=True,
        ).start()

    @staticmethod
    def contents(snapshots):
        return [snapshot.read() for snapshot in snapshots]

    def prepare(self, snapshots):
        if self.problem:
            raise ModelError(self.problem)
        return self.contents(snapshots)

    def switch(self, models):
        self.served = models


def test_all_workers_switch_or_none(environment, model):
    first = model.read_bytes()
    followers = [Follower(environment) for _ in range(3)]
    model.write_bytes(b"second")
    followers[1].problem = "out of memory"
    with pytest.raises(ModelError, match="out of memory"):
        followers[0].worker.reload()
    assert [follower.served for follower in followers] == [[first]] * 3
    assert Follower(environment).served == [first]
    followers[1].problem = None
    followers[2].worker.reload()
    assert [follower.served for follower in followers] == [[b"second"]] * 3
    # One that starts later gets what the others serve, not what the file is now.
    model.write_bytes(b"third")
    assert Follower(environment).served == [b"second"]


def test_a_worker_that_has_ended_does_not_stop_a_reload(environment, model):
    followers = [Follower(environment) for _ in range(2)]
    ended = followers[0].worker._connection
    ended.stream.shutdown(socket.SHUT_RDWR)
    model.write_bytes(b"second")
    followers[1].worker.reload()
    assert followers[1].served == [b"second"]


def test_any_worker_has_the_metrics_of_all(environment):
    followers = [Follower(environment) for _ in range(3)]
    for number, follower in enumerate(followers):
        sample = ["fer_requests_total", {"worker": str(number)}, float(number)]
        follower.families = [
            {"name": "fer_requests", "documentation": "", "type": "counter", "samples": [sample]}
        ]
    for follower in followers:
        found = follower.worker.metrics()
        assert len(found) == 3
        assert all(each.families in found for each in followers)
    assert text_of(found).decode().splitlines()[1:] == [
        "# TYPE fer_requests_total counter",
        *(
            f'fer_requests_total{{worker="{families[0]["samples"][0][1]["worker"]}"}}'
            f" {families[0]['samples'][0][2]}"
            for families in found
        ),
    ]


def test_only_workers_are_served(environment):
    port = json.loads(environment[VARIABLE])["port"]
    for line in (
        b'{"token": "wrong", "pid": 1, "purpose": "reload"}\n',
        *(b"{}\n", b"[]\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff\n"),
    ):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as stranger:
            stranger.sendall(line)
            assert stranger.recv(100) == b""
    # A silent stranger does not keep a worker waiting.
    with socket.create_connection(("127.0.0.1", port), PATIENCE):
        assert len(Follower(environment).served) == 1


def test_without_a_main_process_there_is_no_worker():
    assert Worker.of({}) is None


def test_the_copies_of_replaced_models_are_freed(environment, model):
    opened = Path("/proc/self/fd")
    if not opened.exists():
        pytest.skip("this system has no /proc")
    follower = Follower(environment)

    def copies():
        found = 0
        for number in list(opened.iterdir()):
            with suppress(FileNotFoundError):  # that of the folder itself
                found += "memfd:model" in str(number.readlink())
        return found

    before = copies()
    for number in range(5):
        model.write_bytes(bytes(number + 1))
        follower.worker.reload()
    assert copies() == before
