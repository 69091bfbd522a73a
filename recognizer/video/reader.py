"""A video file, frame by frame."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, log
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.frame import VideoFrame

from recognizer.errors import VideoError
from recognizer.video.declared_size import missing_bytes

USUAL_RATE = 30.0
"""Frames per second of a file that states none, or one that no camera has."""

OPTIONS = {
    # Playlists name other files, and pictures are no videos: neither is opened, whatever its name.
    "format_whitelist": "mov,matroska,avi,asf,flv,mpeg,mpegts,mpegvideo,m4v,ogg,dv,mxf,rm",
    "protocol_whitelist": "file",
}

MAX_READ_ERRORS = 10
"""Errors in a row after which the rest of a file is given up."""

STILL = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
"""A stream of this kind is a cover or a preview, no video."""

SHOWN_SHORTER = 0.1
"""Seconds that a file must lack before an error names its two durations."""


MIN_DISTORTION, MAX_DISTORTION = log(1.02), log(4)
"""Pixels that are not square are scaled, as in players: between a rounding error and nonsense."""

TORN_END = 0.5
"""Seconds before the end of a cut file in which a damaged frame is part of the cut."""


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    index: int
    """From 0."""
    seconds: float
    """Time of the frame as a player shows it; never less than that of the frame before."""
    image: np.ndarray
    """uint8 [H, W, 3], BGR, upright."""
    cut: bool = False
    """Whether another shot begins with this frame; see `mark_cuts`."""


class Video:
    """An open video file, for one pass from its start to its end.

    Only frames inside the edit list are frames: what a trim without re-encoding hides is
    left out, as players do. Rotation, mirroring and the shape of the pixels in the file are
    applied. Where a file has
    several video streams, the default one is read; covers and previews are no videos.

    Times are those of the file, from the start of its earliest stream: if the sound starts
    two seconds before the picture, the first frame is at 2.0. Where the file's times are
    missing or go back, they go on from the frame before.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    rate : float
        Frames per second on average.
    announced : int
        About how many frames there are by the header; 0 if it does not say.
    width, height : int
        Of the first frame, upright.
    start : float
        The file's own time, in seconds, that counts as 0.

    Raises
    ------
    VideoError
        No such file, or no video in it that can be decoded.
    """

    def __init__(self, path: Path):
        # An absolute path is never taken for an address such as "concat:a.mp4".
        self._path = path.absolute()
        try:
            with path.open("rb"):
                size = path.stat().st_size
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
        # With a thread for each frame, PyAV loses the frames around a damaged one.
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
            # The encoder's delay of the sound; the picture does not wait for it.
            self.start = min(0.0, first)
        self._stated_end = _stated_end(self._container, self._stream)
        self.announced = max(0, round((self._stated_end - first) * self.rate))

    @property
    def _is_avi(self) -> bool:
        return self._container.format.name == "avi"

    def _time(self, picture: VideoFrame) -> float | None:
        """The file's own time of a frame in seconds, if it has one."""
        # An AVI has no times of presentation, only the order of decoding, which may run ahead.
        stamp = picture.dts if self._is_avi else picture.pts
        return None if stamp is None else float(stamp * picture.time_base) - self._delay

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_) -> None:
        self._container.close()

    def reopened(self) -> av.container.InputContainer:
        """The file once more from its start, for its sound or its packets."""
        return av.open(str(self._path), options=OPTIONS)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Read the first frame and every N-th after it; the others are not converted to pixels.

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
        self._complain(seconds)

    def _complain(self, last: float) -> None:
        """Say what is wrong with a file whose last frame has come."""
        problems = []
        # A frame that breaks off with the file is told of with the file.
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
        """Frames in the order in which they are shown; damage is noted and passed over."""
        seen = 0.0
        for packet in self._packets():
            if packet.stream is not self._stream:
                continue
            try:
                pictures = packet.decode()
            except av.error.FFmpegError:
                self._damaged.append(seen)
                continue
            for picture in pictures:
                yield picture
                seen = (self._time(picture) or seen + self.start) - self.start

    def _packets(self) -> Iterator[av.Packet]:
        """Packets of all streams: the picture may end before the file does."""
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

    def _note_end(self, packet: av.Packet) -> None:
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
    """Seconds of frames by the file's times, repaired where these are missing or go back."""

    def __init__(self, start: float, step: float):
        self._start, self._step = start, step
        self._stated: float | None = None
        self._seconds = 0.0

    def read(self, stated: float | None) -> float:
        """The next frame's time: as the file states it, unless it lies before the last one."""
        before, self._stated = self._stated, stated
        seconds = None if stated is None else stated - self._start
        if seconds is not None and seconds >= self._seconds:
            self._seconds = seconds
        elif seconds is None or before is None or not 0 <= stated - before <= 1:
            self._seconds += self._step
        else:
            # Times that have started anew, as in joined MPEG files, go on by their own steps.
            self._seconds += stated - before
        return self._seconds


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The default video stream, or the first.

    Raises
    ------
    VideoError
        There is none.
    """
    videos = [stream for stream in container.streams.video if not stream.disposition & STILL]
    stream = default_stream(videos)
    if stream is None:
        raise VideoError("has no video in it, only " + _content(container))
    return stream


def default_stream(streams: Sequence[av.stream.Stream]) -> av.stream.Stream | None:
    """The first of some streams that is marked as the default, else the first, else None."""
    defaults = [stream for stream in streams if stream.disposition & Disposition.default]
    return next(iter([*defaults, *streams]), None)


def _content(container: av.container.InputContainer) -> str:
    kinds = {"audio": "sound", "video": "a still image", "subtitle": "subtitles"}
    names = [kinds.get(stream.type, "data") for stream in container.streams]
    return " and ".join(dict.fromkeys(names)) or "an empty container"


def _stated_end(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """The file's own time at which it ends by its header, in seconds; 0 if that is unknown."""
    if container.format.name == "avi" and stream.frames:
        # FFmpeg shortens the duration of an AVI by the bytes that are missing.
        return float(stream.frames * stream.time_base)
    duration = (container.duration or 0) / av.time_base
    if container.format.name.startswith(("mov", "matroska", "flv")):
        return duration
    return duration and duration + (container.start_time or 0) / av.time_base


def _upright(picture: VideoFrame, pixel_ratio: Fraction | None) -> np.ndarray:
    """The pixels of a frame as they are to be shown, uint8 [H, W, 3], BGR.

    Parameters
    ----------
    picture : VideoFrame
    pixel_ratio : Fraction or None
        Width over height of a pixel in the file.
    """
    width, height = picture.width, picture.height
    if pixel_ratio and MIN_DISTORTION < abs(log(pixel_ratio)) < MAX_DISTORTION:
        # The shorter side is enlarged, so that no detail is lost.
        if pixel_ratio > 1:
            width = round(width * pixel_ratio)
        else:
            height = round(height / pixel_ratio)
    image = picture.to_ndarray(format="bgr24", width=width, height=height)
    matrix = picture.side_data.get(SideData.DISPLAYMATRIX)
    if matrix is None:
        return image
    # x' = a·x + c·y, y' = b·x + d·y; players apply turns by 90° and mirroring alone.
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    if abs(b) > abs(a):
        image = image.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])
