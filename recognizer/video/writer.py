"""Video files that browsers and phones play, with the sound of another file."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
from av.container import Flags
from av.video.reformatter import ColorRange, Colorspace

from recognizer.errors import OutputError, VideoError
from recognizer.video.reader import Video, default_stream

TICK = Fraction(1, 90_000)
"""Seconds of the encoder's clock: a whole number of ticks for all usual rates."""

BT709 = 1
"""The code of BT.709 for primaries, transfer and matrix (ITU-T H.273); said in the file, for
players guess it by the size otherwise."""

PRIMING = 0.1
"""Seconds of sound before the start that are copied where the edit list hides them."""


@dataclass(frozen=True)
class _Format:
    """What is written into a container, chosen by its file's suffix."""

    picture: dict[str, dict[str, str]]
    """Encoders with their options; the first that this build of FFmpeg has is used."""
    sound: str
    copied: frozenset[str]
    """Codecs of sound that players take in this container: not encoded again."""
    options: dict[str, str]


FORMATS = {
    ".mp4": _Format(
        picture={
            "libx264": {"preset": "veryfast", "crf": "23"},
            "libopenh264": {"rc_mode": "quality"},
        },
        sound="aac",
        copied=frozenset({"aac"}),
        # The index comes first, so that a browser plays while it loads.
        options={"movflags": "+faststart"},
    ),
    ".webm": _Format(
        picture={"libvpx-vp9": {"crf": "32", "deadline": "realtime", "cpu-used": "7"}},
        sound="libopus",
        copied=frozenset({"opus", "vorbis"}),
        options={},
    ),
}


class VideoWriter:
    """Writes frames and the sound of another file: H.264 and AAC in MP4, VP9 and Opus in WebM.

    The sound is copied where players take it in this container, else encoded again. Of
    several, the default one is kept. When the block ends well, the file is closed, opened
    again and checked.

    Parameters
    ----------
    path : Path
        A file .mp4 or .webm.
    name : Path
        What errors call it.
    height, width : int
        Of the picture; an odd last row and column are cut off, as colours have half the
        resolution.
    source : Video
        For its sound, its rate and the time that counts as 0.

    Raises
    ------
    OutputError
        The file cannot be written whole, or nothing here encodes its format.
    """

    def __init__(self, path: Path, name: Path, height: int, width: int, source: Video):
        self._path, self._name = path, name
        self._form = FORMATS[path.suffix.lower()]
        self._size = width // 2 * 2, height // 2 * 2
        self._frames, self._ticks = 0, -1
        encoder, options = _encoder(name, self._form)
        with _writing(name):
            self._container = av.open(
                str(path.absolute()), "w", container_options=self._form.options
            )
        # The same input gives the same bytes.
        self._container.flags |= Flags.bitexact.value
        self._stream = self._container.add_stream(
            encoder,
            rate=Fraction(source.rate).limit_denominator(1001),
            options=options,
            time_base=TICK,
            width=self._size[0],
            height=self._size[1],
        )
        context = self._stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = ColorRange.MPEG
        self._sound = _sound(source, self._container, self._form)
        self._waiting = next(self._sound, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            self._sound.close()
            with suppress(av.error.FFmpegError):
                self._container.close()
            return
        with _writing(self._name):
            self._container.mux(self._stream.encode())
            self._write_sound(None)
            self._container.close()
        self._check()

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Add a frame.

        Parameters
        ----------
        image : uint8 [H, W, 3]
            BGR; one of another size is scaled to that of the file.
        seconds : float
            When it is shown; not before the frame before.
        """
        width, height = self._size
        if image.shape[0] // 2 * 2 == height and image.shape[1] // 2 * 2 == width:
            image = np.ascontiguousarray(image[:height, :width])
        else:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        # A container takes no two frames at one time.
        self._ticks = max(self._ticks + 1, round(seconds / TICK))
        frame.pts, frame.time_base = self._ticks, TICK
        with _writing(self._name):
            self._write_sound(seconds)
            self._container.mux(self._stream.encode(frame))
        self._frames += 1

    def _write_sound(self, end: float | None) -> None:
        """Add the packets of the sound before a time, or all that are left."""
        while self._waiting and (end is None or self._waiting[0] < end):
            self._container.mux(self._waiting[1])
            self._waiting = next(self._sound, None)

    def _check(self) -> None:
        """Read the file that was written; a full disk may have shown itself in no other way."""
        try:
            with Video(self._path) as video, video.reopened() as container:
                packets = container.demux(container.streams.video[0])
                written = sum(packet.size > 0 for packet in packets)
        except (VideoError, av.error.FFmpegError) as error:
            raise OutputError(
                f"{self._name}: cannot be written: what was written cannot be read again: {error}"
            ) from error
        if written != self._frames:
            raise OutputError(
                f"{self._name}: cannot be written: only {written} of {self._frames} frames were"
            )


@contextmanager
def _writing(name: Path) -> Iterator[None]:
    """Turn what FFmpeg says about a write into an OutputError."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise OutputError(f"{name}: cannot be written: {error.strerror}") from error


def _encoder(name: Path, form: _Format) -> tuple[str, dict[str, str]]:
    for encoder, options in form.picture.items():
        if encoder in av.codecs_available:
            return encoder, options
    others = ", ".join(suffix for suffix in FORMATS if suffix != name.suffix.lower())
    raise OutputError(
        f"{name}: cannot be written: this build of PyAV has no encoder"
        f" {' or '.join(form.picture)}; name a file that ends in {others}"
    )


def _sound(
    source: Video, copy: av.container.OutputContainer, form: _Format
) -> Iterator[tuple[float, av.Packet]]:
    """The packets of the sound to write, each with its time in seconds.

    The stream for them is added to `copy` before the first comes. A source that breaks off
    ends the sound; the pass that looks for faces reports it.
    """
    with source.reopened() as container:
        stream = default_stream(container.streams.audio)
        if stream is None:
            return
        packets = _packets(container, stream)
        if stream.codec_context.name in form.copied:
            sound = _copied(packets, copy.add_stream_from_template(stream), source.start)
        else:
            sound = _encoded(packets, stream, copy, form.sound, source.start)
        last = -inf
        for seconds, packet in sound:
            # A damaged source may go back in time, which no container takes.
            if seconds > last:
                yield seconds, packet
                last = seconds


def _packets(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.Packet]:
    with suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:
                yield packet


def _copied(
    packets: Iterator[av.Packet], target: av.AudioStream, start: float
) -> Iterator[tuple[float, av.Packet]]:
    for packet in packets:
        if packet.dts is None:
            continue
        packet.dts -= round(start / packet.time_base)
        packet.pts = packet.dts
        seconds = float(packet.dts * packet.time_base)
        # Before an edit list's start; a decoder needs the last of it to begin with.
        if packet.is_discard and seconds < -PRIMING:
            continue
        packet.stream = target
        yield seconds, packet


def _encoded(
    packets: Iterator[av.Packet],
    stream: av.AudioStream,
    copy: av.container.OutputContainer,
    codec: str,
    start: float,
) -> Iterator[tuple[float, av.Packet]]:
    # Opus is always at 48 kHz; AAC in browsers at 48 kHz at most.
    rate = 48_000 if codec == "libopus" else min(48_000, stream.rate)
    layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    target = copy.add_stream(codec, rate=rate, layout=layout, bit_rate=128_000)
    for packet in packets:
        with suppress(av.error.InvalidDataError):
            for frame in packet.decode():
                if frame.pts is not None:
                    frame.pts -= round(start / frame.time_base)
                # The encoder brings it to its own rate and layout.
                yield from _timed(target.encode(frame))
    yield from _timed(target.encode())


def _timed(packets: list[av.Packet]) -> Iterator[tuple[float, av.Packet]]:
    for packet in packets:
        yield float(packet.pts * packet.time_base), packet
