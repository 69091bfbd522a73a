"""The limit of concurrent inferences, with a bounded queue. Beyond both, the status is 429."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil
from typing import Any, Concatenate, ParamSpec, TypeVar

from fastapi import HTTPException

P = ParamSpec("P")
Result = TypeVar("Result")

Check = Callable[[], None]
"""Raises AbandonedError if nobody waits for the result; called before each image."""


class AbandonedError(Exception):
    """The client has disconnected, or the deadline of its request has passed."""


class _Job(Future[Any]):
    """The result of a call, with the call itself."""

    def __init__(self, call: Callable[[], Any], heavy: bool) -> None:
        super().__init__()
        self.call: Callable[[], Any] | None = call
        """None once it has ended or was cancelled, so that a queue keeps no image in memory."""
        self.heavy = heavy


class InferenceSlots:
    """A thread per concurrent inference; further requests wait in a bounded queue.

    The queue is that of the thread pool: a free thread takes the next call at once, without
    waiting for the event loop. A heavy call is one of many pixels. Heavy calls take all slots but
    one and half of the queue, so that they cannot delay or refuse the others. With one slot, heavy
    and other calls take turns.

    Parameters
    ----------
    slots : int
        Concurrent inferences.
    max_waiting : int
        Requests that may wait for a slot; one more is refused at once.
    max_seconds : float
        Longest wait for a slot.
    heavy_pixels : int
        A call of more pixels is heavy.
    """

    def __init__(
        self, slots: int, max_waiting: int, max_seconds: float, heavy_pixels: int = 2**63
    ) -> None:
        self.max_seconds = max_seconds
        self.heavy_pixels = heavy_pixels
        self._slots = slots
        self._heavy_slots = max(1, slots - 1)
        self._max_waiting = max_waiting
        self._threads = ThreadPoolExecutor(slots, "inference")
        self._lock = threading.RLock()
        self._unfinished = 0  # running and waiting
        self._heavy_unfinished = 0
        self._heavy_submitted = 0  # to the thread pool
        self._heavy_queue: deque[_Job] = deque()
        self._queue: deque[_Job] = deque()
        """The jobs of the thread pool. As arguments of `submit`, an exception would keep them."""

    @property
    def running(self) -> int:
        """Slots that are taken."""
        with self._lock:
            held_back = max(0, self._heavy_unfinished - self._heavy_submitted)
            return min(self._slots, self._unfinished - held_back)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        with self._lock:
            return self._unfinished - self.running

    async def run(
        self,
        pixels: int,
        function: Callable[Concatenate[Check, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Call a function in the thread of a slot, in the order of arrival.

        Parameters
        ----------
        pixels : int
            The sum over the images, by which a call is heavy.
        function : callable
            Its first argument is a `Check`.

        Raises
        ------
        HTTPException
            429: the queue is full, or no slot became free in time.
        """
        abandoned = threading.Event()
        job = _Job(
            lambda: function(_check_of(abandoned), *args, **kwargs), pixels > self.heavy_pixels
        )
        self._submit(job)
        result: asyncio.Future[Result] = asyncio.wrap_future(job)
        # `cancel` has no effect on a job that a thread has started.
        timer = asyncio.get_running_loop().call_later(self.max_seconds, job.cancel)
        try:
            return await result
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # A running thread cannot be cancelled. It ends at its next check.
                abandoned.set()
                raise
            raise self._overloaded() from None
        finally:
            timer.cancel()
            # If the job failed, its exception refers to this frame. These names would close a
            # reference cycle that keeps the image in memory.
            del job, result, timer

    def _submit(self, job: _Job) -> None:
        """Take a slot or a place in the queue."""
        with self._lock:
            if self._unfinished >= self._slots + self._max_waiting or (
                job.heavy and self._heavy_unfinished >= self._heavy_slots + self._max_waiting // 2
            ):
                raise self._overloaded()
            self._unfinished += 1
            self._heavy_unfinished += job.heavy
            if job.heavy:
                self._heavy_queue.append(job)
                self._submit_heavy()
            else:
                self._submit_now(job)
        job.add_done_callback(self._leave)

    def _submit_heavy(self) -> None:
        """Hand over heavy calls to the thread pool while they may take a slot."""
        while self._heavy_queue and self._heavy_submitted < self._heavy_slots:
            self._heavy_submitted += 1
            self._submit_now(self._heavy_queue.popleft())

    def _submit_now(self, job: _Job) -> None:
        self._queue.append(job)
        self._threads.submit(self._work)

    def _work(self) -> None:
        """Run a call in a thread of the pool, unless it was cancelled while it waited."""
        job = self._queue.popleft()
        try:
            if job.set_running_or_notify_cancel() and job.call:
                try:
                    result = job.call()
                except BaseException as error:
                    job.set_exception(error)
                else:
                    job.set_result(result)
        finally:
            if job.heavy:
                with self._lock:
                    self._heavy_submitted -= 1
                    self._submit_heavy()
            del job  # The exception refers to this frame; see `run`.

    def _leave(self, job: Any) -> None:
        job.call = None
        with self._lock:
            self._unfinished -= 1
            self._heavy_unfinished -= job.heavy

    def _overloaded(self) -> HTTPException:
        return HTTPException(
            429,
            "the server is busy: too many images are waiting; try again later",
            {"Retry-After": str(ceil(self.max_seconds))},
        )


def _check_of(abandoned: threading.Event) -> Check:
    def check() -> None:
        if abandoned.is_set():
            raise AbandonedError

    return check
