"""Writes videos for the tests: rendered faces, plain frames, sound, irregular times, cut files."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from stages.dataset.sample_faces import render_face

RATE = 25.0
HAPPY, SURPRISE, NEUTRAL = 3, 5, 6

CODECS = {
    ".avi": ("mjpeg", "yuvj420p", "libmp3lame"),
    ".webm": ("libvpx", "yuv420p", "libopus"),
    ".wmv": ("wmv2", "yuv420p", "wmav2"),
    ".mpg": ("mpeg2video", "yuv420p", "mp2"),
}
"""Codec of the picture, its pixel format and codec of the sound, by suffix; else H.264 and AAC."""

TICK = Fraction(1, 1000)


def write_video(path: Path, frames: int = 50, sound: tuple[float, float] | None = None) -> Path:
    """Write 320×240 frames: one face drifts on the left, one stands still on the right.

    The left face is neutral in the first half and happy in the second; the right one is
    surprised throughout, and hidden from frame 20 to 25.
    """
    left = [render_face(label, np.random.default_rng(0), size=96) for label in (NEUTRAL, HAPPY)]
    right = render_face(SURPRISE, np.random.default_rng(1), size=96)
    scenes = []
    for number in range(frames):
        scene = np.full((240, 320), 128, np.uint8)
        x, y = 20 + number // 2, 60 + number // 4
        scene[y : y + 96, x : x + 96] = left[number >= frames // 2]
        if not 20 <= number < 25:
            scene[70:166, 200:296] = right
        scenes.append(cv2.cvtColor(scene, cv2.COLOR_GRAY2BGR))
    return write_frames(path, scenes, sound=sound)


def write_frames(
    path: Path,
    frames: Iterable[np.ndarray],
    times: Sequence[float] | None = None,
    sound: tuple[float, float] | None = None,
    turn: dict | None = None,
    pixel: Fraction = Fraction(1),
    key_frames: int = 12,
) -> Path:
    """Write frames, uint8 [H, W, 3], BGR, and a tone.

    Parameters
    ----------
    times : sequence of float
        Seconds of each frame; at 25 frames a second without them.
    sound : (float, float)
        From when to when there is a tone, in seconds.
    turn : dict
        Arguments of PyAV's `set_display_rotation`, as a phone writes.
    pixel : Fraction
        Width over height of a pixel.
    key_frames : int
        Frames from one key frame to the next.
    """
    codec, pixels, audio_codec = CODECS.get(path.suffix, ("libx264", "yuv420p", "aac"))
    frames = list(frames)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=int(RATE))
        stream.pix_fmt = pixels
        stream.height, stream.width = frames[0].shape[:2]
        stream.bit_rate = 2_000_000
        stream.gop_size = key_frames
        stream.codec_context.sample_aspect_ratio = pixel
        if times is not None:
            stream.codec_context.time_base = TICK
        if turn:
            stream.set_display_rotation(**turn)
        # Opus has only 48 kHz.
        rate = 48000 if path.suffix == ".webm" else 44100
        tone = container.add_stream(audio_codec, rate=rate, layout="mono") if sound else None
        if tone:
            tone.bit_rate = 64_000
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            if times is None:
                frame.pts, frame.time_base = number, Fraction(1, int(RATE))
            else:
                frame.pts, frame.time_base = round(times[number] / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone:
            container.mux(
                packet for frame in _tone(*sound, tone.rate) for packet in tone.encode(frame)
            )
            container.mux(tone.encode())
    return path


def _tone(start: float, end: float, rate: int) -> Iterable[av.AudioFrame]:
    for first in range(round(start * rate), round(end * rate), 1024):
        wave = np.sin(np.arange(first, first + 1024) * 2 * np.pi * 440 / rate)
        frame = av.AudioFrame.from_ndarray(np.int16(8000 * wave)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
        yield frame


def trim(source: Path, path: Path, start: float) -> Path:
    """Copy a video from `start` seconds without re-encoding, so that an MP4 gets an edit list."""
    with av.open(source) as whole, av.open(path, "w") as copy:
        stream = whole.streams.video[0]
        target = copy.add_stream_from_template(stream)
        whole.seek(round(start / stream.time_base), stream=stream)
        for packet in whole.demux(stream):
            if packet.dts is not None:
                packet.pts -= round(start / packet.time_base)
                packet.dts -= round(start / packet.time_base)
                packet.stream = target
                copy.mux(packet)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path
