"""The frames of a video file, with their times."""

import os
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import inf, log
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.frame import VideoFrame

from recognizer.errors import VideoError
from recognizer.regular_file import open_regular_file
from recognizer.video.declared_size import missing_bytes
from recognizer.video.frame import Frame

USUAL_RATE = 30.0
"""Frames per second of a file that states no rate, or one outside 1 … 240."""

OPTIONS = {
    # No playlists, which can name other files, and no still images, whatever the name of the file.
    "format_whitelist": "mov,matroska,avi,asf,flv,mpeg,mpegts,mpegvideo,m4v,ogg,dv,mxf,rm",
    "protocol_whitelist": "file",
}

MAX_READ_ERRORS = 10
"""Consecutive errors after which the rest of a file is not read."""

STILL = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
"""A stream with one of these dispositions is a cover or a preview, not a video."""

SHOWN_SHORTER = 0.1
"""The least missing seconds for which an error states both durations."""

MIN_DISTORTION, MAX_DISTORTION = log(1.02), log(4)
"""Pixels that are not square are scaled, as in players, if the logarithm of their width divided by
their height is in this range: not a rounding error, and not a nonsense value."""

TORN_END = 0.5
"""Seconds before the end of a cut file in which a damaged frame is not reported."""


S = TypeVar("S", bound=av.stream.Stream)
Packet: TypeAlias = "av.Packet[Any]"


class Video:
    """An open video file, which can be read once from its start to its end.

    Frames outside the edit list, which a trim without re-encoding hides, are left out, as in
    players. Rotation, mirroring and the aspect ratio of the pixels are applied. If a file has
    several video streams, the default one is read; covers and previews are not videos.

    Times are those of the file, from the start of its earliest stream: if the sound starts
    two seconds before the picture, the first frame is at 2.0. A missing or decreasing time is
    replaced by the time of the previous frame plus one step.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    rate : float
        Frames per second on average.
    announced : int
        Approximate number of frames by the header; 0 if unknown.
    width, height : int
        Of the first frame in pixels, upright.
    start : float
        The time in the file, in seconds, that is 0 here.

    Raises
    ------
    VideoError
        The file cannot be read, or contains no video that can be decoded.
    """

    def __init__(self, path: Path):
        # FFmpeg would read a relative path such as "concat:a.mp4" as an address.
        self._path = path.absolute()
        try:
            with open_regular_file(path) as file:
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise VideoError(error.strerror) from error
        if not size:
            raise VideoError("the file is empty (0 bytes)")
        self._missing = missing_bytes(path)
        try:
            self._container = self.reopened()
        except av.error.FFmpegError as error:
            raise self._undecodable() from error
        try:
            self._open_stream()
        except BaseException:
            self._container.close()
            raise

    def _open_stream(self) -> None:
        self._stream = _video_stream(self._container)
        # With threads per frame, PyAV loses the frames around a damaged one.
        self._stream.thread_type = "SLICE"
        rate = float(self._stream.average_rate or 0)
        self.rate = rate if 1 <= rate <= 240 else USUAL_RATE
        self._delay = 0.0
        self._end, self._torn = 0.0, False
        self._damaged: list[float] = []
        self._pictures = self._decode()
        self._first = next(self._pictures, None)
        if self._first is None:
            raise self._undecodable()
        self._pixel_ratio = self._stream.sample_aspect_ratio
        self.height, self.width = _upright(self._first, self._pixel_ratio).shape[:2]
        if self._is_avi:
            self._delay = self._time(self._first) or 0.0
        first = self._time(self._first) or 0.0
        self.start = (self._container.start_time or 0) / av.time_base
        if self.start < 0:
            # The delay of the audio encoder, which does not delay the picture.
            self.start = min(0.0, first)
        self._stated_end = _stated_end(self._container, self._stream)
        self.announced = max(0, round((self._stated_end - first) * self.rate))

    @property
    def _is_avi(self) -> bool:
        return self._container.format.name == "avi"

    def _time(self, picture: VideoFrame) -> float | None:
        """The time of a frame in the file, in seconds; None if the file states none."""
        # An AVI has only decoding times, which may be earlier than the presentation.
        stamp = picture.dts if self._is_avi else picture.pts
        if stamp is None or picture.time_base is None:
            return None
        return float(stamp * picture.time_base) - self._delay

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def reopened(self) -> av.container.InputContainer:
        """Open the file again from its start, for its sound or its packets."""
        return av.open(str(self._path), options=OPTIONS)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield the first frame and every N-th after it; the others are not converted to pixels.

        Raises
        ------
        VideoError
            After the last frame, if the file was cut short or frames of it are damaged.
        """
        clock = _Clock(self.start, 1 / self.rate)
        picture, index, seconds = self._first, 0, 0.0
        self._first = None
        while picture is not None:
            seconds = clock.read(self._time(picture))
            if picture.is_corrupt:
                self._damaged.append(seconds)
            if index % every == 0:
                yield Frame(index, seconds, _upright(picture, self._pixel_ratio))
            picture = next(self._pictures, None)
            index += 1
        self._check_end(seconds)

    def _check_end(self, last: float) -> None:
        """Raise VideoError if the file was cut short or frames of it are damaged."""
        problems = []
        # A frame that ends with a cut file is reported with the cut.
        whole = last - TORN_END if self._missing or self._torn else inf
        damaged = [seconds for seconds in self._damaged if seconds < whole]
        if damaged:
            problems.append(
                f"damaged: {len(damaged)} frame{'s' * (len(damaged) > 1)} cannot be decoded, or"
                f" not wholly, the first after {damaged[0]:.2f} seconds"
            )
        if self._missing:
            cut = f"cut short: {self._missing:,} bytes are missing at its end"
            if self._stated_end - self._end > SHOWN_SHORTER:
                end, stated = self._end - self.start, self._stated_end - self.start
                cut += f", and it ends after {end:.1f} of {stated:.1f} seconds"
            problems.append(cut)
        elif self._torn:
            problems.append("cut short: it ends in the middle of a frame or of its sound")
        if problems:
            raise VideoError("; ".join(problems))

    def _decode(self) -> Iterator[VideoFrame]:
        """Yield the frames in their order of presentation; record and skip damaged ones."""
        last = 0.0
        for packet in self._packets():
            if packet.stream is not self._stream:
                continue
            try:
                pictures: list[VideoFrame] = packet.decode()
            except av.error.FFmpegError:
                self._damaged.append(last)
                continue
            for picture in pictures:
                yield picture
                last = (self._time(picture) or last + self.start) - self.start

    def _packets(self) -> Iterator[Packet]:
        """Yield the packets of all streams, because the picture may end before the file."""
        errors = 0
        while True:
            packets = self._container.demux()
            try:
                for packet in packets:
                    errors = 0
                    self._note_end(packet)
                    yield packet
                return
            except OSError as error:
                raise VideoError(f"cannot be read to its end: {error.strerror}") from error
            except av.error.FFmpegError as error:
                errors += 1
                if errors > MAX_READ_ERRORS:
                    raise VideoError("damaged: the rest of it cannot be read") from error

    def _note_end(self, packet: Packet) -> None:
        if packet.size:
            self._torn = packet.is_corrupt
            if packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._end = max(self._end, end)

    def _undecodable(self) -> VideoError:
        if self._missing:
            return VideoError(
                f"cut short: {self._missing:,} bytes are missing at its end, and nothing can be"
                " decoded without them"
            )
        return VideoError("not a video that can be decoded, or a damaged one")


class _Clock:
    """Times of frames in seconds; missing and decreasing times of the file are repaired."""

    def __init__(self, start: float, step: float):
        self._start, self._step = start, step
        self._stated: float | None = None
        self._seconds = 0.0

    def read(self, stated: float | None) -> float:
        """Return the time of the next frame: the stated one, unless it is missing or decreases."""
        before, self._stated = self._stated, stated
        seconds = None if stated is None else stated - self._start
        if seconds is not None and seconds >= self._seconds:
            self._seconds = seconds
        elif stated is not None and before is not None and 0 <= stated - before <= 1:
            # Joined MPEG files restart their times; the steps between frames are still right.
            self._seconds += stated - before
        else:
            self._seconds += self._step
        return self._seconds


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """Return the default video stream, else the first.

    Raises
    ------
    VideoError
        There is no video stream.
    """
    videos = [stream for stream in container.streams.video if not stream.disposition & STILL]
    stream = default_stream(videos)
    if stream is None:
        raise VideoError("has no video in it, only " + _content(container))
    return stream


def default_stream(streams: Sequence[S]) -> S | None:
    """Return the first stream that is marked as the default, else the first, else None."""
    defaults = [stream for stream in streams if stream.disposition & Disposition.default]
    return next(iter([*defaults, *streams]), None)


def _content(container: av.container.InputContainer) -> str:
    kinds = {"audio": "sound", "video": "a still image", "subtitle": "subtitles"}
    names = [kinds.get(stream.type, "data") for stream in container.streams]
    return " and ".join(dict.fromkeys(names)) or "an empty container"


def _stated_end(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Return the end by the header, as a time in the file in seconds; 0 if unknown."""
    if container.format.name == "avi" and stream.frames and stream.time_base:
        # FFmpeg shortens the duration of an AVI by the bytes that are missing.
        return float(stream.frames * stream.time_base)
    duration = (container.duration or 0) / av.time_base
    if container.format.name.startswith(("mov", "matroska", "flv")):
        return duration
    return duration and duration + (container.start_time or 0) / av.time_base


def _upright(picture: VideoFrame, pixel_ratio: Fraction | None) -> np.ndarray:
    """Return the pixels of a frame as players show them, uint8 [H, W, 3], BGR.

    Parameters
    ----------
    picture : VideoFrame
    pixel_ratio : Fraction or None
        Width of a pixel in the file divided by its height.
    """
    width, height = picture.width, picture.height
    if pixel_ratio and MIN_DISTORTION < abs(log(pixel_ratio)) < MAX_DISTORTION:
        # One side is enlarged and none reduced, so that no detail is lost.
        if pixel_ratio > 1:
            width = round(width * pixel_ratio)
        else:
            height = round(height / pixel_ratio)
    image = picture.to_ndarray(format="bgr24", width=width, height=height)
    # The stubs of PyAV type the keys as strings.
    matrix: Any = picture.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]
    if matrix is None:
        return image
    # x' = a·x + c·y, y' = b·x + d·y; players apply only rotations by 90° and mirroring.
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    if abs(b) > abs(a):
        image = image.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])
