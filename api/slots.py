"""The limit of concurrent inferences, with a bounded queue. Beyond both, the status is 429."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil
from typing import Any, ParamSpec, TypeVar

from fastapi import HTTPException

P = ParamSpec("P")
Result = TypeVar("Result")


class InferenceSlots:
    """A thread per concurrent inference; further requests wait in a bounded queue.

    The queue is that of the thread pool: a free thread takes the next call at once, without
    waiting for the event loop.

    Parameters
    ----------
    slots : int
        Concurrent inferences.
    max_waiting : int
        Requests that may wait for a slot; one more is refused at once.
    max_seconds : float
        Longest wait for a slot.
    """

    def __init__(self, slots: int, max_waiting: int, max_seconds: float) -> None:
        self.max_waiting = max_waiting
        self.max_seconds = max_seconds
        self._slots = slots
        self._threads = ThreadPoolExecutor(slots, "inference")
        self._unfinished = 0  # running and waiting
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Slots that are taken."""
        return min(self._unfinished, self._slots)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return max(0, self._unfinished - self._slots)

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Call a function in the thread of a slot, in the order of arrival.

        Raises
        ------
        HTTPException
            429: the queue is full, or no slot became free in time.
        """
        must_wait = self._enter()
        job = self._threads.submit(function, *args, **kwargs)
        # A request can be cancelled, a running thread cannot: it keeps its slot until it ends.
        job.add_done_callback(self._leave)
        result = asyncio.wrap_future(job)
        try:
            return await (self._in_time(job, result) if must_wait else result)
        finally:
            # If the job failed, its exception refers to this frame. These names would close a
            # reference cycle that keeps the image in memory.
            del job, result

    async def _in_time(self, job: Future[Result], result: "asyncio.Future[Result]") -> Result:
        """Wait for the result; fail if no thread starts the job within `max_seconds`."""
        # `cancel` has no effect on a job that a thread has started.
        timer = asyncio.get_running_loop().call_later(self.max_seconds, job.cancel)
        try:
            return await result
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the request itself was cancelled
            raise self._overloaded() from None
        finally:
            timer.cancel()
            del job, result

    def _enter(self) -> bool:
        """Take a slot or a place in the queue; returns whether it is a place in the queue."""
        with self._lock:
            if self._unfinished >= self._slots + self.max_waiting:
                raise self._overloaded()
            self._unfinished += 1
            return self._unfinished > self._slots

    def _leave(self, job: Future[Any]) -> None:
        with self._lock:
            self._unfinished -= 1

    def _overloaded(self) -> HTTPException:
        return HTTPException(
            429,
            "the server is busy: too many images are waiting; try again later",
            {"Retry-After": str(ceil(self.max_seconds))},
        )
