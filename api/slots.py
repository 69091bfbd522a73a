"""Inferences at the same time: a limited number, with a bounded queue in front of it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil
from typing import Any

from fastapi import HTTPException


class InferenceSlots:
    """A thread for each inference at a time; requests beyond that wait in a bounded queue.

    The queue is that of the thread pool: a free thread takes the next call at once, without
    waiting for the event loop.

    Parameters
    ----------
    slots : int
        Inferences at the same time.
    max_waiting : int
        Requests that may wait for a slot; one more is refused at once.
    max_seconds : float
        Longest wait for a slot.
    """

    def __init__(self, slots: int, max_waiting: int, max_seconds: float):
        self.max_waiting = max_waiting
        self.max_seconds = max_seconds
        self._slots = slots
        self._threads = ThreadPoolExecutor(slots, "inference")
        self._inside = 0
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Slots that are taken at this moment."""
        return min(self._inside, self._slots)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot at this moment."""
        return max(0, self._inside - self._slots)

    async def run(self, function: Callable, *arguments: Any) -> Any:
        """Call a function in a slot's thread, in the order of arrival.

        Raises
        ------
        HTTPException
            429: the queue is full, or no slot became free in time.
        """
        must_wait = self._enter()
        job = self._threads.submit(function, *arguments)
        # A request can be cancelled, a running thread cannot: it keeps its slot until it ends.
        job.add_done_callback(self._leave)
        answer = asyncio.wrap_future(job)
        try:
            return await (self._in_time(job, answer) if must_wait else answer)
        finally:
            # A reference cycle through an error would keep its image in memory.
            del job, answer

    async def _in_time(self, job: Future, answer: asyncio.Future) -> Any:
        """Wait for an answer, and at most `max_seconds` until a thread begins with it."""
        # `cancel` has no effect on a job that a thread has begun.
        timer = asyncio.get_running_loop().call_later(self.max_seconds, job.cancel)
        try:
            return await answer
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():
                raise  # the request itself was cancelled
            raise self._overloaded() from None
        finally:
            timer.cancel()
            del job, answer

    def _enter(self) -> bool:
        """Take a slot or a place in the queue; returns whether it is the latter."""
        with self._lock:
            if self._inside >= self._slots + self.max_waiting:
                raise self._overloaded()
            self._inside += 1
            return self._inside > self._slots

    def _leave(self, job: Future) -> None:
        with self._lock:
            self._inside -= 1

    def _overloaded(self) -> HTTPException:
        return HTTPException(
            429,
            "the server is busy: too many images are waiting; try again later",
            {"Retry-After": str(ceil(self.max_seconds))},
        )
