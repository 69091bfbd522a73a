"""The bytes of all request bodies that are in memory."""

import asyncio
import ctypes

from fastapi import HTTPException

SLOW_SECONDS = 2
"""An incomplete upload that is older gives its place to newer ones when the memory is full."""

RETRY_SECONDS = 1
"""The value of `Retry-After` for a refused upload."""

TRIM_BYTES = 16 * 2**20
"""After this many bytes of bodies at once, free memory is given back to the system."""

TRIM_SECONDS = 1
"""Time until then; the last responses have released their memory."""


class Upload:
    """The body of one request, until its response."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.bytes = 0
        self.patience: asyncio.Timeout | None = None
        """The time limit of the current wait for bytes."""


class Uploads:
    """A limit on the bytes of all bodies together.

    If it is reached, the oldest incomplete upload ends, provided that it is older than
    `SLOW_SECONDS`; otherwise the newest one is refused. So stalled uploads do not keep others out.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._incomplete: dict[Upload, None] = {}
        """In the order of their start."""
        self._trim_is_due = False

    def begin(self) -> Upload:
        """Start to count a body."""
        upload = Upload(asyncio.get_running_loop().time())
        self._incomplete[upload] = None
        return upload

    def add(self, upload: Upload, count: int) -> None:
        """Count bytes that have arrived.

        Raises
        ------
        HTTPException
            429: they do not fit into the memory.
        """
        upload.bytes += count
        self.bytes += count
        if self.bytes > TRIM_BYTES and not self._trim_is_due:
            self._trim_is_due = True
            self._trim_later()
        while self.bytes > self.max_bytes:
            if not self._end_slowest(upload):
                self.end(upload)
                raise HTTPException(
                    429,
                    "the server is busy: too many bytes are arriving; try again later",
                    {"Retry-After": str(RETRY_SECONDS)},
                )

    def complete(self, upload: Upload) -> None:
        """Note that the whole body has arrived; its bytes still count."""
        self._incomplete.pop(upload, None)

    def end(self, upload: Upload) -> None:
        """Stop to count a body."""
        self._incomplete.pop(upload, None)
        self.bytes -= upload.bytes
        upload.bytes = 0

    def _end_slowest(self, newest: Upload) -> bool:
        """End the oldest incomplete upload; false if there is none that is slow."""
        now = asyncio.get_running_loop().time()
        for upload in self._incomplete:
            if upload is newest or now - upload.start < SLOW_SECONDS:
                return False
            if upload.patience and upload.patience.when() is None:
                upload.patience.reschedule(now)
                self.end(upload)
                return True
        return False

    def _trim_later(self) -> None:
        asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim_if_idle)

    def _trim_if_idle(self) -> None:
        if self.bytes > TRIM_BYTES:
            self._trim_later()
            return
        self._trim_is_due = False
        asyncio.get_running_loop().run_in_executor(None, give_back_free_memory)


def give_back_free_memory() -> None:
    """Give free memory back to the system, if the C library is glibc; others do it themselves."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
