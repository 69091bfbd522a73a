"""A live server with workers: how it is started, what it has loaded, and when a condition holds."""

import ssl
import sys
import time
from contextlib import suppress

import httpx
import psutil

PATIENCE = 60
"""Seconds to wait on a busy machine."""

ONE = [sys.executable, "-m", "api", "--port", "0"]
# The parent checks its workers. On a busy machine a worker responds late, so the timeout is long.
# The parent notices a worker that is killed during a check only after this timeout, so it must be
# shorter than PATIENCE.
TWO = [*ONE, "--workers", "2", "--timeout-worker-healthcheck", "20"]


CERTIFICATES = ssl.create_default_context()
"""Read once: each httpx.Client would read them again, which takes longer than a request."""


def new_connection(address) -> httpx.Client:
    """A client with a connection of its own to a server."""
    return httpx.Client(base_url=address, timeout=PATIENCE, verify=CERTIFICATES)


def until(condition):
    """Wait for a condition, and return its value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def loaded(client):
    """Number of times that a worker has loaded a model since the start."""
    return client.log.read_text().count('"ready: ')


def workers_of(client):
    """The process ids of the workers."""
    found = []
    for child in psutil.Process(client.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # also of a process that was killed just now
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found
