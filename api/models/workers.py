"""Several worker processes serve the same models: those that the main process has copied.

The main process listens on a port of the loopback interface. Each worker connects to it at its
start, gets the snapshots of the model files, and then waits for messages. A reload has two phases:
all workers load the new models beside the old ones; only if all have succeeded, all switch. A
scrape of the metrics asks all workers for theirs; during a reload it waits.

A message is a line of JSON. The first one of a connection has the token, a secret that the main
process passes to its workers in the environment.
"""

import json
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import Any, Literal

from api.models.model_source import sources
from api.models.served_model import ServedModel
from api.models.snapshot import Snapshot, Snapshots
from api.settings import Settings
from api.worker_metrics import Family
from recognizer.errors import ModelError

log = logging.getLogger(__name__)

VARIABLE = "FER_MAIN_PROCESS"
"""The environment variable by which the main process passes its port and the token."""

HELLO_SECONDS = 10
RELOAD_SECONDS = 300
SCRAPE_SECONDS = 10
"""Longest wait for the first message of a connection, for a worker that loads models, and for the
metrics of all workers, as Prometheus waits."""

Message = dict[str, Any]
Purpose = Literal["follow", "reload", "metrics"]


class Connection:
    """A connection between two processes of a server; a message is a line of JSON."""

    def __init__(self, stream: socket.socket, seconds: float | None) -> None:
        self.stream = stream
        self.stream.settimeout(seconds)
        self._file = stream.makefile("rwb")

    def send(self, message: Message) -> None:
        """Send a message; raises OSError if the other process is gone."""
        self._file.write(json.dumps(message).encode() + b"\n")
        self._file.flush()

    def receive(self) -> Message:
        """Receive a message; raises OSError if none arrives in time or the other is gone."""
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the other process has closed the connection")
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._file.close()
        self.stream.close()


# ---------------------------------------------------------------- the main process


class Peer:
    """A worker, as the main process sees it."""

    def __init__(self, pid: int, connection: Connection) -> None:
        self.pid = pid
        self.connection = connection
        self._answers: SimpleQueue[Message | None] = SimpleQueue()

    def read(self) -> None:
        """Receive answers until the worker ends."""
        try:
            while True:
                self._answers.put(self.connection.receive())
        except (OSError, ValueError):
            self._answers.put(None)

    def send(self, message: Message) -> None:
        """Send a message; one to a worker that has ended is lost."""
        with suppress(OSError, ValueError):
            self.connection.send(message)

    def answer(self) -> Message | None:
        """The answer to the last message; None if the worker has ended."""
        try:
            answer = self._answers.get(timeout=RELOAD_SECONDS)
        except Empty:
            # It would serve other models than the rest. Its connection is open, so the process id
            # is still its own. uvicorn replaces it.
            log.error("worker %d did not answer for %d seconds: killed", self.pid, RELOAD_SECONDS)
            os.kill(self.pid, signal.SIGKILL)
            return None
        if answer is None:
            self._answers.put(None)  # for the next call
        return answer


class MainProcess:
    """The process that starts the workers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._snapshots = Snapshots(sources(settings))
        self._workers: set[Peer] = set()
        self._token = secrets.token_hex()
        # A worker that starts during a reload gets its snapshots after it.
        self._lock = threading.Lock()

    def listen(self) -> str:
        """Accept connections in a thread; returns the value of VARIABLE for the workers."""
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return json.dumps({"port": listener.getsockname()[1], "token": self._token})

    def _accept(self, listener: socket.socket) -> None:
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        """Read the first message of a connection, and do what it asks for."""
        connection = Connection(stream, HELLO_SECONDS)
        try:
            hello = connection.receive()
            if not secrets.compare_digest(str(hello["token"]), self._token):
                raise ValueError("wrong token")
            stream.settimeout(None)
            if hello["purpose"] == "reload":
                with self._lock:
                    problem = self._reload()
                connection.send({"problem": problem})
            elif hello["purpose"] == "metrics":
                with self._lock:
                    answers = self._ask({"metrics": True})
                connection.send({"metrics": [answer["metrics"] for answer in answers]})
            else:
                self._greet(Peer(hello["pid"], connection))
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Another process of this machine, or a worker that was killed.
            log.warning("a connection to the main process failed: %r", error)
        finally:
            connection.close()

    def _greet(self, worker: Peer) -> None:
        """Send a new worker the snapshots, and keep it until it ends."""
        with self._lock:
            worker.connection.send({"snapshots": list(map(asdict, self._snapshots.all))})
            self._workers.add(worker)
        try:
            worker.read()
        finally:
            self._workers.discard(worker)

    def _reload(self) -> str | None:
        """Let all workers switch to the present model files, or none; returns the reason."""
        try:
            fresh = Snapshots(sources(self._settings))
        except ModelError as error:
            return str(error)
        answers = self._ask({"prepare": list(map(asdict, fresh.all))})
        problems = [answer["problem"] for answer in answers]
        problem = next(filter(None, problems), None if problems else "no worker has answered")
        if problem is None:
            self._snapshots, fresh = fresh, self._snapshots
        self._ask({"commit": problem is None})
        fresh.close()
        return problem

    def _ask(self, message: Message) -> list[Message]:
        """The answers of all workers that have not ended."""
        workers = list(self._workers)
        for worker in workers:
            worker.send(message)
        answers = [worker.answer() for worker in workers]
        return [answer for answer in answers if answer is not None]


# ---------------------------------------------------------------- a worker


class Worker:
    """This process, as a worker of a main process.

    Attributes
    ----------
    snapshots : list of Snapshot
        The model files that it loads at its start.
    """

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._connection = self._connect("follow", RELOAD_SECONDS)
        greeting = self._connection.receive()
        self._connection.stream.settimeout(None)
        self.snapshots = _snapshots(greeting["snapshots"])

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Worker | None":
        """Connect to the main process; None if the server was started in another way."""
        value = environment.get(VARIABLE)
        return cls(**json.loads(value)) if value else None

    def _connect(self, purpose: Purpose, seconds: float) -> Connection:
        stream = socket.create_connection(("127.0.0.1", self._port), HELLO_SECONDS)
        connection = Connection(stream, seconds)
        connection.send({"token": self._token, "pid": os.getpid(), "purpose": purpose})
        return connection

    def _answer(self, purpose: Purpose, seconds: float) -> Message:
        """The answer of the main process; raises OSError."""
        connection = self._connect(purpose, seconds)
        try:
            return connection.receive()
        finally:
            connection.close()

    def reload(self) -> None:
        """Let all workers switch to the present model files.

        Raises
        ------
        ModelError
            A model cannot be loaded. All workers serve what they have served before.
        """
        try:
            problem = self._answer("reload", RELOAD_SECONDS)["problem"]
        except OSError as error:
            raise ModelError(f"the main process does not answer: {error}") from error
        if problem:
            raise ModelError(problem)

    def metrics(self) -> list[list[Family]]:
        """The metrics of all workers; raises OSError if the main process does not answer."""
        metrics: list[list[Family]] = self._answer("metrics", SCRAPE_SECONDS)["metrics"]
        return metrics

    def follow(
        self,
        prepare: Callable[[list[Snapshot]], list[ServedModel]],
        switch: Callable[[list[ServedModel]], None],
        metrics: Callable[[], list[Family]],
    ) -> None:
        """Take part in each reload and scrape until the main process ends; runs in a thread.

        Parameters
        ----------
        prepare : callable
            Loads models; raises ModelError.
        switch : callable
            Serves them.
        metrics : callable
            The metrics of this worker.
        """
        prepared: list[ServedModel] = []
        try:
            while True:
                message = self._connection.receive()
                if "metrics" in message:
                    self._connection.send({"metrics": metrics()})
                    continue
                problem = None
                if "prepare" in message:
                    try:
                        prepared = prepare(_snapshots(message["prepare"]))
                    except ModelError as error:
                        problem = str(error)
                else:
                    if message["commit"]:
                        switch(prepared)
                    prepared = []
                self._connection.send({"problem": problem})
        except OSError:
            log.warning("the main process has ended: this worker can no longer reload")


def _snapshots(fields: list[Message]) -> list[Snapshot]:
    return [Snapshot(**values) for values in fields]
