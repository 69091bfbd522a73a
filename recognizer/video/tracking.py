"""Who is who from frame to frame, and probabilities that do not flicker."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import exp

import numpy as np

from recognizer.detectors.base import Box
from recognizer.recognizer import DECIMALS, RecognizedFace

MIN_OVERLAP = 0.3
"""Two boxes with less in common are of two people."""

MAX_GAP = 1.0
"""Seconds after which a face that is not seen is given up, unless frames are further apart."""

TIME_CONSTANT = 0.5
"""Seconds after which a change of expression shows by 1 − 1/e = 63 %."""


@dataclass(frozen=True, kw_only=True)
class TrackedFace(RecognizedFace):
    """A face in a video; its emotion and probabilities are smoothed over time."""

    person: int
    """1 for the first face that was seen, 2 for the next new one, and so on."""


@dataclass
class _Track:
    person: int
    box: Box
    seen: float
    probabilities: np.ndarray


class Tracker:
    """Follows the faces of one video.

    A face is the person of the latest box that it overlaps most, pairs with the largest
    overlap first (Bochinski, Eiselein & Sikora, High-Speed Tracking-by-Detection Without
    Using Image Information, 2017). Its probabilities are an exponential moving average:
    after Δt seconds a new frame counts by 1 − exp(−Δt / time constant), however many
    frames there are in a second.

    Parameters
    ----------
    time_constant : float
        Seconds; 0 smooths nothing.
    """

    def __init__(self, time_constant: float = TIME_CONSTANT):
        self.time_constant = time_constant
        self._tracks: list[_Track] = []
        self._persons = 0
        self._now = 0.0

    def update(
        self, seconds: float, faces: Sequence[RecognizedFace], cut: bool = False
    ) -> list[TrackedFace]:
        """Tell who the faces of the next frame are; they come back in their order.

        Parameters
        ----------
        seconds : float
            Time of the frame, not before that of the frame before.
        faces : sequence of RecognizedFace
        cut : bool
            Whether another shot begins with this frame: then all its faces are new persons.
        """
        before, self._now = self._now, seconds
        if cut:
            self._tracks = []
        # Whoever was there in the frame before is never too old, however long ago that was.
        self._tracks = [
            track
            for track in self._tracks
            if track.seen == before or seconds - track.seen <= MAX_GAP
        ]
        known = self._match(faces)
        return [self._follow(face, known.get(number)) for number, face in enumerate(faces)]

    def _match(self, faces: Sequence[RecognizedFace]) -> dict[int, _Track]:
        """The track of each known face, by the face's number."""
        overlaps = [
            (overlap(track.box, face.box), track, number)
            for track, (number, face) in product(self._tracks, enumerate(faces))
        ]
        matches, taken = {}, set()
        for shared, track, number in sorted(overlaps, key=lambda pair: -pair[0]):
            if shared < MIN_OVERLAP:
                break
            if number not in matches and track.person not in taken:
                matches[number] = track
                taken.add(track.person)
        return matches

    def _follow(self, face: RecognizedFace, track: _Track | None) -> TrackedFace:
        latest = np.array(list(face.probabilities.values()), np.float64)
        if track is None:
            self._persons += 1
            track = _Track(self._persons, face.box, self._now, latest)
            self._tracks.append(track)
        else:
            track.probabilities += self._weight(track.seen) * (latest - track.probabilities)
            track.box, track.seen = face.box, self._now
        labels = list(face.probabilities)
        smoothed = [round(float(p), DECIMALS) for p in track.probabilities]
        return TrackedFace(
            **vars(face)
            | {
                "emotion": labels[int(track.probabilities.argmax())],
                "probabilities": dict(zip(labels, smoothed, strict=True)),
                "person": track.person,
            }
        )

    def _weight(self, seen: float) -> float:
        if not self.time_constant:
            return 1.0
        return 1 - exp(-(self._now - seen) / self.time_constant)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 … 1."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.width * a.height + b.width * b.height - shared)
