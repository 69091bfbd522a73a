"""Executors of a run: this process, other processes of this machine, or a Dask cluster."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Thread
from time import sleep
from typing import TypeVar

from recognizer.errors import WorkersError
from recognizer.optional_packages import needs_package
from recognizer.printable import printable

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 8
"""Items in a chunk; processing them should take longer than sending them to a process."""

CHUNKS_AHEAD = 2
"""Submitted chunks for each processor, so that no processor waits for the next chunk."""

CONNECT_SECONDS = 10
"""Seconds within which a Dask scheduler must answer."""


@dataclass(frozen=True)
class BoundedExecutor:
    """Applies a function to chunks of items, with a bounded number of submitted chunks.

    joblib.Parallel takes items as fast as its processes finish, however slowly the results are
    consumed. This class takes items only as results are consumed, so the memory does not grow
    with the length of the run.
    """

    executor: Executor | None
    """None: this process."""
    chunks: int = 1
    """The most submitted chunks."""

    def map(
        self,
        function: Callable[[Sequence[T]], list[R]],
        items: Iterable[T],
        chunk: int = CHUNK,
    ) -> Iterator[R]:
        """Apply a function to chunks of items; yield the results one by one, in order.

        Parameters
        ----------
        function : callable
            Takes a sequence of items and returns a list with a result for each. It may run
            again on the same chunk after a process is lost.
        items : iterable
        chunk : int
            The most items in one chunk. This process takes one at a time.
        """
        if self.executor is None:
            for item in items:
                yield from function([item])
            return
        pending: deque[Future[list[R]]] = deque()
        for part in _chunks(items, chunk):
            pending.append(self.executor.submit(function, part))
            if len(pending) == self.chunks:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    items = iter(items)
    while part := list(islice(items, size)):
        yield part


@contextmanager
def local_processes(number: int) -> Iterator[BoundedExecutor]:
    """Start processes on this machine.

    Raises
    ------
    WorkersError
        joblib is not installed, or a process was lost.
    """
    try:
        from joblib.externals.loky import ProcessPoolExecutor
    except ModuleNotFoundError as error:
        raise WorkersError(needs_package("--workers", error, "command")) from error
    executor = ProcessPoolExecutor(
        number, timeout=None, initializer=_exit_with_parent, initargs=(os.getpid(),)
    )
    try:
        yield BoundedExecutor(executor, CHUNKS_AHEAD * number)
    except BrokenExecutor as error:
        raise WorkersError(
            "a worker process was killed, perhaps because memory ran out; try fewer --workers"
        ) from error
    finally:
        executor.shutdown(kill_workers=True)


def _exit_with_parent(parent: int) -> None:
    """Exit this process within a second after its parent, which may be killed."""

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def dask_cluster(address: str) -> Iterator[BoundedExecutor]:
    """Use the workers of a Dask cluster, which see the same files and can import `recognizer`.

    The cluster repeats the chunks of a lost worker.

    Raises
    ------
    WorkersError
        dask.distributed is not installed; the scheduler does not answer, cannot import
        `recognizer`, or is lost; a chunk was lost with several workers.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import parse_address, parse_host_port
    except ModuleNotFoundError as error:
        raise WorkersError(needs_package("--dask", error, "dask")) from error
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
            print(printable(f"{address} has no workers yet; waiting for them"), file=sys.stderr)
        try:
            client.submit(_check_import, pure=False).result()
        except (ImportError, RuntimeError) as error:
            raise WorkersError(
                f"--dask {address}: the cluster cannot import `recognizer`; install this project"
                " for its scheduler and its workers, too"
            ) from error
        processors = max(1, sum(client.nthreads().values()))
        try:
            yield BoundedExecutor(client.get_executor(pure=False), CHUNKS_AHEAD * processors)
        except KilledWorker as error:
            raise WorkersError(
                f"--dask {address}: the same inputs were lost with several workers, perhaps"
                " because their memory ran out"
            ) from error
        except CancelledError as error:
            raise WorkersError(f"--dask {address}: the scheduler is lost") from error


def _check_import() -> None:
    """Do nothing. The call fails in a process that cannot import this module."""
