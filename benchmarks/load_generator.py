"""Send the same requests to a server over many connections and record the response times.

    python -m benchmarks.load_generator 127.0.0.1:8000 --clients 8 --seconds 5 request.http …

Each file holds one HTTP request, byte for byte; the clients send the files in turn. A client sends
its next request when it has the whole response to the last one (a closed loop). Prints one line of
JSON: `seconds`, the duration, and `answers`, a list of [status, seconds] in the order of arrival. A
malformed response ends the program with an error. It uses asyncio streams with uvloop, because an
HTTP client library would take more of the cores from the server.
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
    """State that all clients share: the requests, the end of the run, the responses so far."""

    def __init__(self, requests: list[bytes], limit: int | None, seconds: float | None):
        self.requests = requests
        self.limit = limit
        self.end = perf_counter() + seconds if seconds else float("inf")
        self.answers: list[tuple[int, float]] = []
        self._numbers = count()

    def next(self) -> bytes | None:
        """Return the next request to send; None at the end of the run."""
        number = next(self._numbers)
        if perf_counter() >= self.end or (self.limit is not None and number >= self.limit):
            return None
        return self.requests[number % len(self.requests)]


async def run_client(load: Load, host: str, port: int) -> None:
    """Send one request after the other, on one connection until the server closes it."""
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
    """Run all clients to the end; return the duration in seconds."""
    start = perf_counter()
    await asyncio.gather(*(run_client(load, host, port) for _ in range(clients)))
    return perf_counter() - start


def main() -> None:
    """Run, and print the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
    # With PYTHONUNBUFFERED set, print loses the rest of a long line when a signal interrupts the
    # write into a full pipe.
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(line.encode())


if __name__ == "__main__":
    main()
