"""Ask a server the same things over and over from many connections, and note how long it takes.

    python -m benchmarks.load 127.0.0.1:8000 --clients 8 --seconds 5 request.http …

Each file holds one HTTP request, byte for byte; the clients send them by turns. A client sends its
next request when it has the whole answer to the last one (a closed loop). Prints one line of JSON:
`seconds` that it took and `answers`, a list of [status, seconds] in the order of their arrival. An
answer that cannot be read ends the program with an error. Raw asyncio with uvloop, because a client
with more comfort would take more of the machine than the server that it is there to measure.
"""

import argparse
import asyncio
import json
import re
import sys
from itertools import count
from pathlib import Path
from time import perf_counter

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


class Load:
    """What all clients share: the requests, when to stop, and the answers so far."""

    def __init__(self, requests: list[bytes], limit: int | None, seconds: float | None):
        self.requests = requests
        self.limit = limit
        self.end = perf_counter() + seconds if seconds else float("inf")
        self.answers: list[tuple[int, float]] = []
        self._numbers = count()

    def next(self) -> bytes | None:
        """The next request to send; None when enough have been sent."""
        number = next(self._numbers)
        if perf_counter() >= self.end or (self.limit is not None and number >= self.limit):
            return None
        return self.requests[number % len(self.requests)]


async def ask(load: Load, host: str, port: int) -> None:
    """One client: one request after the other, on one connection as long as the server keeps it."""
    connection = None
    while request := load.next():
        start = perf_counter()
        if connection is None:
            connection = await asyncio.open_connection(host, port, limit=2**20)
        reader, writer = connection
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(LENGTH.search(head)[1]))
        load.answers.append((int(head[9:12]), perf_counter() - start))
        if CLOSE.search(head):
            writer.close()
            connection = None
    if connection:
        connection[1].close()


async def run(load: Load, host: str, port: int, clients: int) -> float:
    """Let all clients ask until it is enough; returns the seconds that it took."""
    start = perf_counter()
    await asyncio.gather(*(ask(load, host, port) for _ in range(clients)))
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Load a server and print its answers' times.")
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("files", nargs="+", type=Path, help="requests, byte for byte")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--requests", type=int)
    arguments = parser.parse_args()
    host, _, port = arguments.address.rpartition(":")
    requests = [path.read_bytes() for path in arguments.files]
    load = Load(requests, arguments.requests, arguments.seconds)
    seconds = uvloop.run(run(load, host, int(port), arguments.clients))
    line = json.dumps({"seconds": seconds, "answers": load.answers}) + "\n"
    # Unbuffered, as PYTHONUNBUFFERED makes it, print loses the rest of a long line when a signal
    # interrupts the write into a full pipe.
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(line.encode())


if __name__ == "__main__":
    main()
