"""Frames of video files, whole, cut short, and none at all."""

import cv2
import numpy as np
import pytest

from recognizer.errors import VideoError
from recognizer.video.reader import Video
from tests.recognizer.video_fixture import RATE


@pytest.fixture(scope="module")
def grey_steps(tmp_path_factory):
    """Writes 20 frames, frame k of grey level 10 · k, in a container of the given suffix."""

    def write(suffix):
        path = tmp_path_factory.mktemp("steps") / f"steps{suffix}"
        code = cv2.VideoWriter_fourcc(*("MJPG" if suffix == ".avi" else "mp4v"))
        writer = cv2.VideoWriter(str(path), code, RATE, (64, 48))
        for level in range(0, 200, 10):
            writer.write(np.full((48, 64, 3), level, np.uint8))
        writer.release()
        return path

    return write


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".mov"])
@pytest.mark.parametrize("every", [1, 3, 7, 100])
def test_every_nth_frame_comes_with_its_time(grey_steps, suffix, every):
    with Video(grey_steps(suffix)) as video:
        assert (video.rate, video.announced) == (RATE, 20)
        frames = list(video.frames(every))
    expected = list(range(0, 20, every))
    assert [frame.index for frame in frames] == expected
    assert [frame.seconds for frame in frames] == pytest.approx([k / RATE for k in expected])
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert abs(frame.image.mean() - 10 * frame.index) < 4


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_video_cut_short_gives_its_frames_and_then_says_so(grey_steps, suffix):
    path = grey_steps(suffix)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    seen = 0
    with (
        Video(path) as video,
        pytest.raises(VideoError, match=r"cut short: it ends after 0\.\d of"),
    ):
        for _ in video.frames():
            seen += 1
    assert 0 < seen < 18


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x18ftypmp42" + bytes(100)])
def test_what_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match="not a video that can be decoded"):
        Video(path)


def test_a_video_that_is_not_there(tmp_path):
    with pytest.raises(VideoError, match="No such file or directory"):
        Video(tmp_path / "a.mp4")


def test_a_name_is_never_taken_for_an_address(tmp_path, monkeypatch, grey_steps):
    monkeypatch.chdir(tmp_path)
    name = tmp_path / "concat:b.mp4"
    name.write_bytes(grey_steps(".mp4").read_bytes())
    with Video(name.relative_to(tmp_path)) as video:
        assert len(list(video.frames())) == 20
