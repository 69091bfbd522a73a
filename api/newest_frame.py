"""The frames of a stream that wait for an inference: a newer one replaces an older one."""

import asyncio
import threading
from collections import deque
from typing import NamedTuple

from api.pixels import claimed_pixels
from api.settings import Settings


class Frame(NamedTuple):
    """A message of the client."""

    number: int
    data: bytes | None
    """None for a text message."""


class PendingFrame:
    """The frame of the next inference: the newest one at the first access.

    The thread of an inference slot reads it when the inference starts. After a timeout, the event
    loop reads it.
    """

    def __init__(self, newest: deque[Frame]) -> None:
        self._newest = newest
        self._taken: Frame | None = None
        self._lock = threading.Lock()

    def pixels(self, limits: Settings) -> int:
        """The pixels of the frame that is the newest now; a newer one may replace it."""
        data = self._newest[-1].data
        return 0 if data is None else claimed_pixels([data], limits)

    @property
    def frame(self) -> Frame:
        """The same frame at every access."""
        with self._lock:
            if self._taken is None:
                self._taken = self._newest.pop()
            return self._taken


class NewestFrame:
    """A buffer for one frame: the newest that has not been taken."""

    def __init__(self) -> None:
        self.received = 0
        self.ended = False
        self._frame: deque[Frame] = deque(maxlen=1)
        self._arrived = asyncio.Event()

    def put(self, data: bytes | None) -> None:
        """Number a received frame, and replace the waiting one."""
        self.received += 1
        self._frame.append(Frame(self.received, data))
        self._arrived.set()

    def end(self) -> None:
        """Announce that no further frame will arrive."""
        self.ended = True
        self._arrived.set()

    async def pending(self) -> PendingFrame | None:
        """Wait until there is a frame; None at the end."""
        while not self._frame:
            if self.ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return PendingFrame(self._frame)
