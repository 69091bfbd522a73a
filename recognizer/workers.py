"""Executors of a run: this process, other processes of this machine, or a Dask cluster."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Thread
from time import sleep
from typing import TypeVar

from joblib.externals.loky import ProcessPoolExecutor

from recognizer.errors import WorkersError

Item, Result = TypeVar("Item"), TypeVar("Result")

CHUNK = 8
"""Items in a chunk; it should outlast its way to another process."""

CHUNKS_AHEAD = 2
"""Chunks under way for each processor, so that none waits for the next."""

CONNECT_SECONDS = 10
"""How long a Dask scheduler may take to answer."""


@dataclass(frozen=True)
class Workers:
    """Runs a function over chunks of items.

    joblib.Parallel would take items as fast as its processes finish, however slowly the
    results are used. Here, items are taken only as results are, so a run of any length
    holds no more than the chunks under way.
    """

    executor: Executor | None
    """None is this process."""
    chunks: int = 1
    """How many are under way at most."""

    def map(
        self,
        function: Callable[[Sequence[Item]], list[Result]],
        items: Iterable[Item],
        chunk: int = CHUNK,
    ) -> Iterator[Result]:
        """Apply a function to chunks of items; the results come one by one, in order.

        Parameters
        ----------
        function : callable
            It takes a sequence of items and returns a list with a result for each. It may
            be run again on the same chunk if a process is lost.
        items : iterable
        chunk : int
            The most items in one chunk. This process takes one at a time.
        """
        if self.executor is None:
            for item in items:
                yield from function([item])
            return
        pending = deque()
        for part in _chunks(items, chunk):
            pending.append(self.executor.submit(function, part))
            if len(pending) == self.chunks:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    items = iter(items)
    while part := list(islice(items, size)):
        yield part


@contextmanager
def local_processes(number: int) -> Iterator[Workers]:
    """Start processes on this machine.

    Raises
    ------
    WorkersError
        A process was lost.
    """
    executor = ProcessPoolExecutor(
        number, timeout=None, initializer=_end_with, initargs=(os.getpid(),)
    )
    try:
        yield Workers(executor, CHUNKS_AHEAD * number)
    except BrokenExecutor as error:
        raise WorkersError(
            "a worker process was killed, perhaps because memory ran out; try fewer --workers"
        ) from error
    finally:
        executor.shutdown(kill_workers=True)


def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may be killed and tell nobody."""

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def dask_cluster(address: str) -> Iterator[Workers]:
    """Use the workers of a Dask cluster, which see the same files and can import `recognizer`.

    The cluster does a lost worker's chunks again.

    Raises
    ------
    WorkersError
        dask.distributed is not installed; the scheduler does not answer, cannot import
        `recognizer`, or is lost; a chunk was lost with several workers.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import parse_address, parse_host_port
    except ImportError as error:
        raise WorkersError("--dask needs dask.distributed: pip install distributed") from error
    try:
        parse_host_port(parse_address(address)[1])
    except ValueError as error:
        raise WorkersError(f"--dask {address}: expected an address, as tcp://HOST:PORT") from error
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except OSError as error:
        raise WorkersError(f"--dask {address}: no Dask scheduler answers there") from error
    with client:
        if not client.nthreads():
            print(f"{address} has no workers yet; waiting for them", file=sys.stderr)
        try:
            client.submit(_arrive, pure=False).result()
        except (ImportError, RuntimeError) as error:
            raise WorkersError(
                f"--dask {address}: the cluster cannot import `recognizer`; install this project"
                " for its scheduler and its workers, too"
            ) from error
        processors = max(1, sum(client.nthreads().values()))
        try:
            yield Workers(client.get_executor(pure=False), CHUNKS_AHEAD * processors)
        except KilledWorker as error:
            raise WorkersError(
                f"--dask {address}: the same inputs were lost with several workers, perhaps"
                " because their memory ran out"
            ) from error
        except CancelledError as error:
            raise WorkersError(f"--dask {address}: the scheduler is lost") from error


def _arrive() -> None:
    """Does nothing. The call fails in a process that cannot import this module."""
