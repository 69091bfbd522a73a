"""The bytes of all request bodies that are in memory."""

import asyncio

from fastapi import HTTPException

SLOW_SECONDS = 2
"""An incomplete upload that is older gives its place to newer ones when the memory is full."""

RETRY_SECONDS = 1
"""The value of `Retry-After` for a refused upload."""


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
