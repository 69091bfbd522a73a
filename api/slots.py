"""Inferences at the same time: a limited number, with a limited wait in front of it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import Any

import anyio
from fastapi import HTTPException


class InferenceSlots:
    """As many threads as there may be inferences at once. Who finds no free one waits a little.

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
        self._free = anyio.Semaphore(slots)
        self._threads = ThreadPoolExecutor(slots, "inference")

    @property
    def running(self) -> int:
        """Slots that are taken at this moment."""
        return self._slots - self._free.value

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot at this moment."""
        return self._free.statistics().tasks_waiting

    async def run(self, function: Callable, *arguments: Any) -> Any:
        """Call a function in a slot's thread; no slot in time is answered with 429."""
        await self.acquire()
        return await self.start(function, *arguments)

    async def acquire(self) -> None:
        """Wait for a slot, in the order of arrival; `start` must follow at once.

        Raises
        ------
        HTTPException
            429: too many wait already, or none became free in time.
        """
        if self._free.value == 0 and self.waiting >= self.max_waiting:
            raise self._overloaded()
        try:
            with anyio.fail_after(self.max_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise self._overloaded() from None

    async def start(self, function: Callable, *arguments: Any) -> Any:
        """Call a function in the thread of the acquired slot."""
        job = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        # A request may be given up, but a thread cannot: the slot is free when its thread is.
        job.add_done_callback(lambda done: self._free.release())
        return await asyncio.shield(job)

    def _overloaded(self) -> HTTPException:
        return HTTPException(
            429,
            "the server is busy: too many images are waiting; try again later",
            {"Retry-After": str(ceil(self.max_seconds))},
        )
