"""Inferences at the same time: a limited number, with a limited wait in front of it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil
from typing import Any

from fastapi import HTTPException


class InferenceSlots:
    """As many threads as there may be inferences at once. Who finds no free one waits a little.

    The waiting line is the threads' own: one that is done takes the next call at once, without
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
            429: too many wait already, or no slot became free in time.
        """
        must_wait = self._enter()
        job = self._threads.submit(function, *arguments)
        # A request may be given up, but a thread cannot: the slot is free when its thread is.
        job.add_done_callback(self._leave)
        answer = asyncio.wrap_future(job)
        try:
            return await (self._in_time(job, answer) if must_wait else answer)
        finally:
            # An error holds this frame, and these hold the error, with a whole image.
            del job, answer

    async def _in_time(self, job: Future, answer: asyncio.Future) -> Any:
        """Wait for an answer, but for its beginning only so long."""
        # This does nothing to a job that a thread has begun.
        timer = asyncio.get_running_loop().call_later(self.max_seconds, job.cancel)
        try:
            return await answer
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():
                raise  # it is the request that is given up
            raise self._overloaded() from None
        finally:
            timer.cancel()
            del job, answer

    def _enter(self) -> bool:
        """Take a place, if there is one left; returns whether a slot must be waited for."""
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
