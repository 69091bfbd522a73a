"""Writes video files that browsers and phones play, with the sound of another file."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import TypeAlias

import av
import cv2
import numpy as np
from av.container import Flags
from av.video.reformatter import ColorRange, Colorspace

from recognizer.errors import OutputError, VideoError
from recognizer.video.reader import Video, default_stream

AudioPacket: TypeAlias = "av.Packet[av.AudioStream]"

TICK = Fraction(1, 90_000)
"""Time base of the encoder in seconds; the usual frame rates have a whole number of ticks."""

BT709 = 1
"""The code of BT.709 for primaries, transfer and matrix (ITU-T H.273). The file states it, because
players would guess it by the size."""

PRIMING = 0.1
"""Seconds of sound before the start that are copied although the edit list hides them."""


@dataclass(frozen=True)
class _Format:
    """Codecs and options of a container."""

    picture: dict[str, dict[str, str]]
    """Video encoders with their options; the first that this build of FFmpeg has is used."""
    sound: str
    """Audio encoder."""
    copied: frozenset[str]
    """Audio codecs that players support in this container, copied without encoding."""
    options: dict[str, str]
    """Of the container."""


FORMATS = {
    ".mp4": _Format(
        picture={
            "libx264": {"preset": "veryfast", "crf": "23"},
            "libopenh264": {"rc_mode": "quality"},
        },
        sound="aac",
        copied=frozenset({"aac"}),
        # The index is at the start, so that a browser plays the file while it loads.
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

    The sound is copied if players support its codec in this container, else encoded again. Of
    several audio streams, the default one is kept. When the block ends normally, the file is
    closed, opened again and checked.

    Parameters
    ----------
    path : Path
        A file .mp4 or .webm.
    name : Path
        The path in error messages.
    height, width : int
        Of the picture in pixels; an odd last row or column is cut off, because colours have half
        the resolution.
    source : Video
        Gives the sound, the frame rate and the start time.

    Raises
    ------
    OutputError
        The file cannot be written completely, or there is no encoder for its format.
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
        # The same input gives the same bytes. The stubs of PyAV type an integer as Flags.
        self._container.flags |= Flags.bitexact.value  # type: ignore[operator]
        stream = self._container.add_stream(
            encoder,
            rate=Fraction(source.rate).limit_denominator(1001),
            options=options,
            time_base=TICK,
            width=self._size[0],
            height=self._size[1],
        )
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = ColorRange.MPEG
        self._sound = _sound(source, self._container, self._form)
        self._waiting = next(self._sound, None)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
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
            BGR; an image of another size is scaled to the size of the file.
        seconds : float
            Time of the frame; at least that of the previous frame.
        """
        width, height = self._size
        if image.shape[0] // 2 * 2 == height and image.shape[1] // 2 * 2 == width:
            image = np.ascontiguousarray(image[:height, :width])
        else:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        frame = av.VideoFrame.from_ndarray(
            image.astype(np.uint8, copy=False), format="bgr24"
        ).reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        # A container accepts no two frames with the same time.
        self._ticks = max(self._ticks + 1, round(seconds / TICK))
        frame.pts, frame.time_base = self._ticks, TICK
        with _writing(self._name):
            self._write_sound(seconds)
            self._container.mux(self._stream.encode(frame))
        self._frames += 1

    def _write_sound(self, end: float | None) -> None:
        """Add the audio packets before a time, or all remaining ones."""
        while self._waiting and (end is None or self._waiting[0] < end):
            self._container.mux(self._waiting[1])
            self._waiting = next(self._sound, None)

    def _check(self) -> None:
        """Read the written file; a full disk may have raised no other error."""
        try:
            with Video(self._path) as video, video.reopened() as container:
                packets = container.demux(container.streams.video[0])
                written = sum(packet.size > 0 for packet in packets)
        except (VideoError, av.error.FFmpegError) as error:
            raise OutputError(
                f"{self._name}: cannot be written: the written file cannot be read: {error}"
            ) from error
        if written != self._frames:
            raise OutputError(
                f"{self._name}: cannot be written: it has only {written} of {self._frames} frames"
            )


@contextmanager
def _writing(name: Path) -> Iterator[None]:
    """Convert an error of FFmpeg while writing into an OutputError."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise OutputError(f"{name}: cannot be written: {error.strerror}") from error


def _encoder(name: Path, form: _Format) -> tuple[str, dict[str, str]]:
    """Return the first available video encoder and its options."""
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
) -> Generator[tuple[float, AudioPacket], None, None]:
    """Yield the audio packets to write, each with its time in seconds.

    Their stream is added to `copy` before the first packet. A source that is cut short ends the
    sound; the pass that detects faces reports it.
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
            # The times of a damaged source may decrease, which no container accepts.
            if seconds > last:
                yield seconds, packet
                last = seconds


def _packets(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[AudioPacket]:
    with suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:
                yield packet


def _copied(
    packets: Iterator[AudioPacket], target: av.AudioStream, start: float
) -> Iterator[tuple[float, AudioPacket]]:
    for packet in packets:
        if packet.dts is None or packet.time_base is None:
            continue
        packet.dts -= round(start / packet.time_base)
        packet.pts = packet.dts
        seconds = float(packet.dts * packet.time_base)
        # Hidden by the edit list; a decoder needs the last packets before the start.
        if packet.is_discard and seconds < -PRIMING:
            continue
        packet.stream = target
        yield seconds, packet


def _encoded(
    packets: Iterator[AudioPacket],
    stream: av.AudioStream,
    copy: av.container.OutputContainer,
    codec: str,
    start: float,
) -> Iterator[tuple[float, AudioPacket]]:
    # Opus always has 48 kHz; AAC in browsers has at most 48 kHz.
    rate = 48_000 if codec == "libopus" else min(48_000, stream.rate)
    layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    target = copy.add_stream(codec, rate=rate, layout=layout, bit_rate=128_000)
    assert isinstance(target, av.AudioStream)
    for packet in packets:
        with suppress(av.error.InvalidDataError):
            for frame in packet.decode():
                if frame.pts is not None and frame.time_base:
                    frame.pts -= round(start / frame.time_base)
                # The encoder converts the rate and the layout.
                yield from _timed(target.encode(frame))
    yield from _timed(target.encode())


def _timed(packets: list[AudioPacket]) -> Iterator[tuple[float, AudioPacket]]:
    for packet in packets:
        assert packet.pts is not None
        assert packet.time_base is not None
        yield float(packet.pts * packet.time_base), packet
