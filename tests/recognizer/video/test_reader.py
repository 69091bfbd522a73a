"""Frames of video files: whole, trimmed, rotated, damaged, cut short, and other files."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from recognizer.errors import VideoError
from recognizer.video import reader
from recognizer.video.reader import Video
from tests.recognizer.video_fixture import RATE, cut, trim, write_frames

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared/inputs"
SUFFIXES = [".mp4", ".mov", ".mkv", ".avi", ".webm", ".wmv", ".mpg"]


def levels(count=20, size=(48, 64)):
    """Frame k has grey level 10 · k."""
    return [np.full((*size, 3), 10 * k, np.uint8) for k in range(count)]


def noise(count=50, size=(96, 128)):
    """Frames of many bytes, so that a cut at any byte damages one of them."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)


def read(path, every=1):
    with Video(path) as video:
        return list(video.frames(every))


def read_broken(path):
    """The frames of a file and the error at its end."""
    frames = []
    with Video(path) as video, pytest.raises(VideoError) as caught:
        for frame in video.frames():
            frames.append(frame)
    return frames, str(caught.value)


def level(frame):
    return round(frame.image.mean() / 10)


# ---------------------------------------------------------------- frames and their times


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("every", [1, 3, 7, 100])
def test_every_nth_frame_comes_with_its_time(tmp_path, suffix, every):
    path = write_frames(tmp_path / f"a{suffix}", levels())
    with Video(path) as video:
        assert video.rate == pytest.approx(RATE)
        assert abs(video.announced - 20) <= 1
        assert (video.width, video.height) == (64, 48)
        frames = list(video.frames(every))
    expected = list(range(0, 20, every))
    assert [frame.index for frame in frames] == expected
    # The first time in a WMV is a little later than that of its picture.
    first = frames[0].seconds
    assert first == pytest.approx(0, abs=0.05 if suffix == ".wmv" else 0.001)
    assert [f.seconds - first for f in frames] == pytest.approx(
        [k / RATE for k in expected],
        # An MPEG program stream states times for some of its frames only.
        abs=1.1 / RATE if suffix == ".mpg" else 0.0011,
    )
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.dtype == np.uint8
        assert level(frame) == frame.index


def test_skipped_frames_are_not_converted_to_pixels(tmp_path, monkeypatch):
    path = write_frames(tmp_path / "a.mp4", levels())
    converted, convert = [], reader._upright

    def counted(picture, pixel_ratio):
        converted.append(picture)
        return convert(picture, pixel_ratio)

    monkeypatch.setattr(reader, "_upright", counted)
    with Video(path) as video:
        converted.clear()
        assert len(list(video.frames(every=5))) == 4
    assert len(converted) == 4


def test_colours_are_those_of_the_file(tmp_path):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    path = write_frames(tmp_path / "a.mp4", [np.full((48, 64, 3), c, np.uint8) for c in colours])
    for frame, colour in zip(read(path), colours, strict=True):
        np.testing.assert_allclose(frame.image[24, 32], colour, atol=6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_rate_keeps_the_times_of_the_file(tmp_path, suffix):
    times = [0.0, 0.1, 0.15, 0.5, 1.7, 1.71, 1.9]
    path = write_frames(tmp_path / f"a{suffix}", levels(7), times)
    frames = read(path)
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=0.0011)
    assert [level(frame) for frame in frames] == list(range(7))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ([0, 0.04, 0.08, 0.12], [0, 0.04, 0.08, 0.12]),
        ([0, 0.04, 0.04, 0.08, 0.12], [0, 0.04, 0.04, 0.08, 0.12]),  # a repeated time
        ([0, 0.04, None, 0.12], [0, 0.04, 0.08, 0.12]),  # a missing one
        ([5, 5.04, 0.3, 5.12], [5, 5.04, 5.08, 5.12]),  # a wrong one
        ([9, 9.04, 0, 0.5, 0.6], [9, 9.04, 9.08, 9.58, 9.68]),  # two files joined
        ([2, 2.04], [2, 2.04]),  # a late picture
    ],
)
def test_wrong_times_do_not_move_the_others(stated, expected):
    clock = reader._Clock(0.0, 0.04)
    assert [clock.read(time) for time in stated] == pytest.approx(expected)


def test_repeated_times_in_a_file_do_not_move_the_others(tmp_path):
    # The writer refuses them; a Matroska file has them at more than 1000 frames a second.
    times = [0, 0.04, 0.0404, 0.08, 0.12]
    path = write_frames(tmp_path / "a.mkv", levels(5), times)
    assert [frame.seconds for frame in read(path)] == [0, 0.04, 0.04, 0.08, 0.12]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_frames_outside_the_edit_list_are_left_out(tmp_path, suffix):
    whole = write_frames(tmp_path / f"a{suffix}", levels(25, (96, 128)), key_frames=25)
    part = trim(whole, tmp_path / f"b{suffix}", start=0.4)
    with av.open(part) as container:
        assert container.streams.video[0].frames == 25
    frames = read(part)
    assert [level(frame) for frame in frames] == list(range(10, 25))
    assert [frame.seconds for frame in frames] == pytest.approx([k / RATE for k in range(15)])


@pytest.mark.parametrize(
    ("suffix", "times", "sound", "first"),
    [
        (".webm", (0, 1), (0, 2), 0),  # sound longer than the picture
        (".mkv", (0, 1), (0, 2), 0),
        (".mp4", (0, 1), (0, 2), 0),
        (".mp4", (2, 3), (0, 3), 2),  # a picture that starts late
        (".mkv", (2, 3), (0, 1), 2),
        (".mkv", (5, 6), (5, 6), 0),  # a segment of a longer recording
        (".webm", (5, 6), (5.5, 7), 0),
    ],
)
def test_a_complete_file_has_all_frames_and_the_times_of_a_player(
    tmp_path, suffix, times, sound, first
):
    seconds = np.arange(*times, 0.05)
    path = write_frames(tmp_path / f"a{suffix}", levels(20), seconds, sound)
    # The audio encoder starts up to 23 ms before the sound.
    assert [frame.seconds for frame in read(path)] == pytest.approx(
        first + seconds - times[0], abs=0.03
    )


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is not there")
@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("trim_2_4.mp4", 62, 0.0, 2.067),
        ("trim_2_4.mov", 62, 0.0, 2.067),
        ("audio12_video10.webm", 300, 0.007, 9.974),
        ("subtitle20.mkv", 300, 0.023, 9.99),
        ("video_starts_at_2.mkv", 300, 2.023, 11.99),
        ("seg2.mkv", 75, 0.054, 2.521),
    ],
)
def test_the_shared_videos(name, count, first, last):
    frames = read(SHARED / name)
    assert len(frames) == count
    assert (frames[0].seconds, frames[-1].seconds) == pytest.approx((first, last), abs=0.001)


# ---------------------------------------------------------------- turned pictures


TURNS = [
    {"degrees": degrees, "hflip": hflip} for degrees in (0, 90, 180, 270) for hflip in (False, True)
]


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_the_display_matrix_is_applied(tmp_path, turn):
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32, :48], stored[:32, 48:], stored[32:, :48] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    path = write_frames(tmp_path / "a.mp4", [stored] * 2, turn=turn)
    expected = np.rot90(stored, turn["degrees"] // 90)
    if turn["hflip"]:
        expected = expected[:, ::-1]
    with Video(path) as video:
        frame = next(video.frames())
        assert (video.height, video.width) == expected.shape[:2]
    assert frame.image.shape == expected.shape
    assert np.abs(frame.image.astype(int) - expected).mean() < 12


@pytest.mark.parametrize(
    ("pixel", "size"), [((16, 11), (48, 93)), ((11, 16), (70, 64)), ((1, 1), (48, 64))]
)
def test_pixels_that_are_not_square_are_scaled(tmp_path, pixel, size):
    path = write_frames(tmp_path / "a.mp4", levels(2), pixel=Fraction(*pixel))
    assert [frame.image.shape for frame in read(path)] == [(*size, 3)] * 2


# ---------------------------------------------------------------- cut short and damaged


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi", ".wmv"])
@pytest.mark.parametrize("share", [0.98, 0.6, 0.3])
def test_a_video_cut_short_gives_its_frames_and_then_an_error(tmp_path, suffix, share):
    path = cut(write_frames(tmp_path / f"a{suffix}", noise(), sound=(0, 3)), share)
    frames, error = read_broken(path)
    assert 0 < len(frames) <= 50
    assert error.startswith("cut short: ")
    assert " bytes are missing at its end" in error
    if share < 0.9 and suffix != ".wmv":
        assert len(frames) < 45
        end = float(error.partition("it ends after ")[2].split()[0])
        assert end == pytest.approx(frames[-1].seconds, abs=0.6)


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_an_mp4_cut_short_behind_its_index(tmp_path, flags):
    whole = write_frames(tmp_path / "whole.mp4", noise())
    path = tmp_path / "a.mp4"
    with av.open(whole) as source, av.open(path, "w", options={"movflags": flags}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert len(read(path)) == 50
    frames, error = read_broken(cut(path, 0.55))
    assert 15 < len(frames) < 40
    assert error.startswith("cut short: ")


def test_an_mp4_cut_short_before_its_index(tmp_path):
    path = cut(write_frames(tmp_path / "a.mp4", noise()), 0.6)
    with pytest.raises(VideoError, match=r"^cut short: [\d,]+ bytes are missing at its end, and"):
        Video(path)


def test_a_damaged_frame_is_reported_and_later_ones_are_read(tmp_path):
    path = write_frames(tmp_path / "a.avi", levels(20, (96, 128)))
    with av.open(path) as container:
        packets = [(p.pos, p.size) for p in container.demux() if p.size]
    content = bytearray(path.read_bytes())
    start, size = packets[5]
    content[start : start + size] = bytes(size)
    path.write_bytes(content)
    frames, error = read_broken(path)
    assert [level(frame) for frame in frames] == [k for k in range(20) if k != 5]
    assert [f.seconds for f in frames] == pytest.approx([k / RATE for k in range(20) if k != 5])
    assert error == (
        "damaged: 1 frame cannot be decoded, or not wholly, the first after 0.16 seconds"
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_ffmpeg_prints_nothing(tmp_path, suffix):
    path = write_frames(tmp_path / f"a{suffix}", noise())
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)
    path.write_bytes(content[: len(content) * 9 // 10] if suffix == ".mkv" else content)
    code = (
        "import sys, pathlib; from recognizer.video.reader import Video\n"
        "try: print(len(list(Video(pathlib.Path(sys.argv[1])).frames())))\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


# ---------------------------------------------------------------- what is no video


@pytest.mark.parametrize("content", [b"no video", b"\0\0\0\x18ftypmp42" + bytes(100)])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match="not a video that can be decoded"):
        Video(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(VideoError, match=r"the file is empty \(0 bytes\)"):
        Video(tmp_path / "a.mp4")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(VideoError, match="No such file or directory"):
        Video(tmp_path / "a.mp4")


def copy_streams(path, *streams, dispositions=()):
    """Write streams of other files, given as (file, kind of stream), into one file."""
    with av.open(path, "w") as copy:
        for number, (source, kind) in enumerate(streams):
            with av.open(source) as container:
                stream = getattr(container.streams, kind)[0]
                target = copy.add_stream_from_template(stream)
                if dispositions:
                    target.disposition = dispositions[number]
        targets = list(copy.streams)
        for target, (source, kind) in zip(targets, streams, strict=True):
            with av.open(source) as container:
                for packet in container.demux(getattr(container.streams, kind)[0]):
                    if packet.dts is not None:
                        packet.stream = target
                        copy.mux(packet)
    return path


@pytest.fixture
def sounding(tmp_path):
    return write_frames(tmp_path / "sounding.mp4", levels(), sound=(0, 1))


def test_a_file_with_only_sound_is_refused(tmp_path, sounding):
    path = copy_streams(tmp_path / "sound.mp4", (sounding, "audio"))
    with pytest.raises(VideoError, match=r"^has no video in it, only sound$"):
        Video(path)


def test_a_file_with_only_a_cover_is_refused(tmp_path, sounding):
    picture = tmp_path / "cover.avi"
    write_frames(picture, levels(1))
    still = av.stream.Disposition.attached_pic
    path = copy_streams(
        tmp_path / "song.mp4", (sounding, "audio"), (picture, "video"), dispositions=(1, still)
    )
    with pytest.raises(VideoError, match=r"^has no video in it, only sound and a still image$"):
        Video(path)


@pytest.mark.parametrize("default", [0, 1])
def test_of_two_video_streams_the_default_one_is_read(tmp_path, default):
    other = write_frames(tmp_path / "other.mp4", levels(10, (96, 96)))
    first = write_frames(tmp_path / "first.mp4", levels())
    flags = [int(number == default) for number in (0, 1)]
    path = copy_streams(
        tmp_path / "two.mkv", (first, "video"), (other, "video"), dispositions=flags
    )
    with Video(path) as video:
        assert video.width == (64, 96)[default]
        assert len(list(video.frames())) == (20, 10)[default]


@pytest.mark.parametrize(
    "playlist",
    ["ffconcat version 1.0\nfile '{}'\n", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n"],
)
def test_a_playlist_does_not_open_other_files(tmp_path, playlist):
    target = write_frames(tmp_path / "target.mp4", levels())
    path = tmp_path / "a.mp4"
    path.write_text(playlist.format(target.name))
    with pytest.raises(VideoError, match="not a video that can be decoded"):
        Video(path)


def test_a_file_name_is_not_read_as_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = tmp_path / "concat:b.mp4"
    name.write_bytes(write_frames(tmp_path / "a.mp4", levels()).read_bytes())
    assert len(read(name.relative_to(tmp_path))) == 20
