"""Annotated videos: each frame with its time and faces, the sound, a full disk."""

import resource
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from recognizer.cli.annotate import annotated_video
from recognizer.cli.drawing import COLOURS
from recognizer.cropping import box_square
from recognizer.detectors.base import Box
from recognizer.errors import OutputError, VideoError
from recognizer.recognizer import RecognizedFace
from recognizer.video.reader import Video
from recognizer.video.writer import VideoWriter
from tests.recognizer.video_fixture import cut, write_frames, write_video

ROOT = Path(__file__).parents[3]
SUFFIXES = [".mp4", ".webm"]
SOUNDS = {".mp4": "aac", ".webm": "opus"}
GREY = np.full((480, 640, 3), 128, np.uint8)


def face(emotion):
    probabilities = dict.fromkeys(COLOURS, 0.05) | {emotion: 0.7}
    box = Box(100, 100, 90, 90)
    return RecognizedFace(box, 0.9, emotion, probabilities, box_square(box))


def bgr(colour):
    return np.array([int(colour[k : k + 2], 16) for k in (5, 3, 1)])


def annotate(source, path, every=1, emotions=()):
    """Write a copy; the results have the emotions in turn, or no face."""
    with Video(source) as video:
        answers = -(-len(list(video.frames())) // every)
    with annotated_video(source, path, every) as write:
        for number in range(answers):
            write([face(emotions[number % len(emotions)])] if emotions else [])


def read(path):
    with Video(path) as video:
        return list(video.frames())


def sound_of(path):
    """The codec of the sound, its start and its end in seconds."""
    with av.open(path) as container:
        (stream,) = container.streams.audio
        times = [frame.time for frame in container.decode(stream)]
        return stream.codec_context.name.removeprefix("lib"), times[0], times[-1]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("every", [1, 4])
def test_all_frames_are_written_each_with_its_faces(tmp_path, suffix, every):
    source, path = write_video(tmp_path / "a.mp4", frames=10), tmp_path / f"out/a{suffix}"
    emotions = ["happy", "sad", "angry"]
    annotate(source, path, every, emotions)
    frames = read(path)
    assert [frame.seconds for frame in frames] == pytest.approx(
        [frame.seconds for frame in read(source)], abs=0.0011
    )
    for number, frame in enumerate(frames):
        assert frame.image.shape == (480, 640, 3)
        # The left edge of the box, in a picture enlarged by 2.
        shown = frame.image[210:370, 199:202].reshape(-1, 3).mean(axis=0)
        distances = {name: np.abs(shown - bgr(COLOURS[name])).sum() for name in emotions}
        assert min(distances, key=distances.get) == emotions[number // every % 3]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_browsers_and_phones_play_the_codecs(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    annotate(write_video(tmp_path / "a.mp4", frames=5, sound=(0, 0.2)), path)
    with av.open(path) as container:
        context = container.streams.video[0].codec_context
        assert context.name.removeprefix("lib") == {".mp4": "h264", ".webm": "vp9"}[suffix]
        assert (context.pix_fmt, context.colorspace, context.color_range) == ("yuv420p", 1, 1)
    if suffix == ".mp4":
        content = path.read_bytes()
        assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colours_are_kept(tmp_path, suffix):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    frames = [np.full((480, 640, 3), colour, np.uint8) for colour in colours]
    path = tmp_path / f"out{suffix}"
    annotate(write_frames(tmp_path / "a.mp4", frames), path)
    for frame, colour in zip(read(path), colours, strict=True):
        np.testing.assert_allclose(frame.image[240, 320], colour, atol=10)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_variable_rate_and_a_late_picture_keep_their_times(tmp_path, suffix):
    times = [2.0, 2.1, 2.15, 2.5, 3.7, 3.71, 3.9]
    source = write_frames(tmp_path / "a.mkv", [GREY] * 7, times, sound=(0, 4))
    path = tmp_path / f"out{suffix}"
    annotate(source, path)
    assert [frame.seconds for frame in read(path)] == pytest.approx(
        [frame.seconds for frame in read(source)], abs=0.03
    )
    codec, start, end = sound_of(path)
    assert codec == SOUNDS[suffix]
    assert (start, end) == pytest.approx((0, 4), abs=0.1)


def test_frames_at_one_time_can_be_written(tmp_path):
    source = write_frames(tmp_path / "a.mkv", [GREY] * 4, [0, 0.04, 0.0404, 0.08])
    annotate(source, tmp_path / "out.mp4")
    assert [f.seconds for f in read(tmp_path / "out.mp4")] == pytest.approx(
        [0, 0.04, 0.04, 0.08], abs=0.001
    )


@pytest.mark.parametrize("source", [".mp4", ".mkv", ".webm", ".avi", ".wmv", ".mpg"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_sound_is_kept(tmp_path, source, suffix):
    source = write_frames(tmp_path / f"a{source}", [GREY] * 25, sound=(0, 2))
    path = tmp_path / f"out{suffix}"
    annotate(source, path)
    codec, start, end = sound_of(path)
    assert codec == SOUNDS[suffix]
    assert (start, end) == pytest.approx((0, 2), abs=0.15)


def test_sound_that_players_support_is_copied(tmp_path):
    source = write_frames(tmp_path / "a.mp4", [GREY] * 5, sound=(0, 1))
    annotate(source, tmp_path / "out.mp4")

    def packets(path):
        with av.open(path) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[0])]

    assert packets(tmp_path / "out.mp4") == packets(source)


def test_a_video_without_sound_gets_none(tmp_path):
    annotate(write_frames(tmp_path / "a.mp4", [GREY] * 3), tmp_path / "out.mp4")
    with av.open(tmp_path / "out.mp4") as container:
        assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_odd_size_can_be_written(tmp_path, suffix):
    source = write_frames(tmp_path / "odd.avi", [np.full((481, 641, 3), 99, np.uint8)] * 3)
    annotate(source, tmp_path / f"out{suffix}")
    assert [f.image.shape for f in read(tmp_path / f"out{suffix}")] == [(480, 640, 3)] * 3


def test_a_turned_video_is_written_upright(tmp_path):
    picture = np.zeros((640, 480, 3), np.uint8)
    picture[:, :240] = 250
    source = write_frames(tmp_path / "a.mp4", [np.rot90(picture)] * 3, turn={"degrees": 270})
    annotate(source, tmp_path / "out.mp4")
    for frame in read(tmp_path / "out.mp4"):
        assert np.abs(frame.image.astype(int) - picture).mean() < 3


def test_a_source_cut_short_is_copied_up_to_its_end(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (20, 480, 640, 3), dtype=np.uint8)
    source = cut(write_frames(tmp_path / "a.avi", noise, sound=(0, 1)), 0.6)
    with annotated_video(source, tmp_path / "out.mp4", 1) as write:
        for _ in range(20):
            write([])
    assert 8 < len(read(tmp_path / "out.mp4")) < 16


# ---------------------------------------------------------------- what cannot be written


def test_a_failed_video_leaves_no_file(tmp_path):
    source, folder = write_video(tmp_path / "a.mp4", frames=5), tmp_path / "out"
    with pytest.raises(RuntimeError), annotated_video(source, folder / "a.mp4", 1) as write:
        write([])
        raise RuntimeError
    assert list(folder.iterdir()) == []


def test_a_missing_frame_is_an_error(tmp_path):
    with (
        Video(write_video(tmp_path / "a.mp4", frames=3)) as source,
        pytest.raises(OutputError, match=r"^b\.mp4: cannot be written: it has only 3 of 4 frames$"),
        VideoWriter(tmp_path / "out.mp4", Path("b.mp4"), 240, 320, source) as writer,
    ):
        for frame in source.frames():
            writer.write(frame.image, frame.seconds)
        writer._frames += 1


def test_a_file_that_is_no_video_is_not_annotated(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError), annotated_video(tmp_path / "a.mp4", tmp_path / "b.mp4", 1):
        pass
    assert not (tmp_path / "b.mp4").exists()


def test_the_error_of_a_missing_encoder_names_it(tmp_path, monkeypatch):
    source = write_video(tmp_path / "a.mp4", frames=1)
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264", "libopenh264"})
    with (
        pytest.raises(OutputError, match=r"no encoder libx264 or libopenh264; name .* in \.webm$"),
        annotated_video(source, tmp_path / "b.mp4", 1),
    ):
        pass


COPY = """
import pathlib, resource, sys
from recognizer.errors import OutputError
from recognizer.cli.annotate import annotated_video
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with annotated_video(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 1) as write:
        for _ in range(10): write([])
except OutputError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_incomplete_file_replaces_none(tmp_path, suffix):
    source = write_video(tmp_path / "a.mp4", frames=10, sound=(0, 0.5))
    path = tmp_path / f"out/b{suffix}"

    def copy(limit):
        # With -B, the limit leaves no cut-off .pyc file of an installed package.
        command = [sys.executable, "-B", "-c", COPY, source, path, str(limit)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert copy(resource.RLIM_INFINITY).returncode == 0
    whole = path.read_bytes()
    path.write_bytes(b"a good file")
    for limit in (0, len(whole) // 2, len(whole) - 1):
        done = copy(limit)
        assert done.returncode == 1
        assert done.stderr == f"{path}: cannot be written: File too large\n"
        assert path.read_bytes() == b"a good file"
        assert list(path.parent.iterdir()) == [path]
    assert copy(len(whole)).returncode == 0
    assert path.read_bytes() == whole
