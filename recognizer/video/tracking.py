"""Tracking: the faces of a person over the frames, with smoothed probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import exp

import numpy as np

from recognizer.detectors.base import Box
from recognizer.recognizer import DECIMALS, RecognizedFace, most_probable

MIN_OVERLAP = 0.3
"""Least intersection over union of two boxes of one person."""

MAX_GAP = 1.0
"""Seconds without a face after which its track ends, unless the frames are further apart."""

TIME_CONSTANT = 0.5
"""Of the moving average in seconds: the time after which it shows 1 − 1/e = 63 % of a change."""


@dataclass(frozen=True, kw_only=True)
class TrackedFace(RecognizedFace):
    """A face in a video, with emotion and probabilities smoothed over time."""

    person: int
    """Number of the person, from 1, in the order of appearance."""


@dataclass
class _Track:
    person: int
    box: Box
    seconds: float
    """Time of its last frame."""
    probabilities: np.ndarray


class Tracker:
    """Tracks the faces of one video.

    Faces are matched with the latest boxes of the tracks by intersection over union, the largest
    first (Bochinski, Eiselein & Sikora, High-Speed Tracking-by-Detection Without Using Image
    Information, 2017). The probabilities are an exponential moving average: Δt seconds after the
    last frame of the person, a frame has the weight 1 − exp(−Δt / time constant), so that the
    smoothing does not depend on the frame rate.

    Parameters
    ----------
    time_constant : float
        In seconds; 0: no smoothing.
    min_probability : float
        The emotion of a face is None where its highest smoothed probability is below this, 0 … 1.
    """

    def __init__(self, time_constant: float = TIME_CONSTANT, min_probability: float = 0.0):
        self.time_constant = time_constant
        self.min_probability = min_probability
        self._tracks: list[_Track] = []
        self._persons = 0
        self._now = 0.0

    def update(
        self, seconds: float, faces: Sequence[RecognizedFace], cut: bool = False
    ) -> list[TrackedFace]:
        """Assign the faces of the next frame to persons; keep their order.

        Parameters
        ----------
        seconds : float
            Time of the frame, at least that of the previous frame.
        faces : sequence of RecognizedFace
        cut : bool
            Whether a new shot begins with this frame: then all its faces are new persons.
        """
        before, self._now = self._now, seconds
        if cut:
            self._tracks = []
        # A person of the previous frame stays, however long ago that frame was.
        self._tracks = [
            track
            for track in self._tracks
            if track.seconds == before or seconds - track.seconds <= MAX_GAP
        ]
        known = self._match(faces)
        return [self._follow(face, known.get(index)) for index, face in enumerate(faces)]

    def _match(self, faces: Sequence[RecognizedFace]) -> dict[int, _Track]:
        """Map the index of each matched face to its track."""
        overlaps = [
            (overlap(track.box, face.box), track, index)
            for track, (index, face) in product(self._tracks, enumerate(faces))
        ]
        matches: dict[int, _Track] = {}
        taken: set[int] = set()
        for shared, track, index in sorted(overlaps, key=lambda pair: -pair[0]):
            if shared < MIN_OVERLAP:
                break
            if index not in matches and track.person not in taken:
                matches[index] = track
                taken.add(track.person)
        return matches

    def _follow(self, face: RecognizedFace, track: _Track | None) -> TrackedFace:
        latest = np.array(list(face.probabilities.values()), np.float64)
        if track is None:
            self._persons += 1
            track = _Track(self._persons, face.box, self._now, latest)
            self._tracks.append(track)
        else:
            track.probabilities += self._weight(track.seconds) * (latest - track.probabilities)
            track.box, track.seconds = face.box, self._now
        smoothed = {
            label: round(float(p), DECIMALS)
            for label, p in zip(face.probabilities, track.probabilities, strict=True)
        }
        return TrackedFace(
            **vars(face)
            | {
                "emotion": most_probable(smoothed, self.min_probability),
                "probabilities": smoothed,
                "person": track.person,
            }
        )

    def _weight(self, last: float) -> float:
        if not self.time_constant:
            return 1.0
        return 1 - exp(-(self._now - last) / self.time_constant)


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, 0 … 1."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.width * a.height + b.width * b.height - shared)
