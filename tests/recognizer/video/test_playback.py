"""Annotated videos in a real Chromium."""

import pytest

from recognizer.cli.annotate import annotated_video
from tests.chromium_fixture import open_chromium
from tests.recognizer.video_fixture import write_video

PAGE = '<!doctype html><title>video</title><video src="{}" muted></video>'

PLAY = """
const done = arguments[arguments.length - 1];
const video = document.querySelector("video");
const tell = () => done({
  error: video.error && video.error.message,
  ended: video.ended,
  time: video.currentTime,
  size: [video.videoWidth, video.videoHeight],
  duration: video.duration,
  sound: video.webkitAudioDecodedByteCount,
  frames: video.getVideoPlaybackQuality().totalVideoFrames,
});
video.onended = video.onerror = tell;
video.play().catch(tell);
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with open_chromium(tmp_path_factory.mktemp("chromium")) as browser:
        browser.set_script_timeout(60)
        yield browser


@pytest.mark.parametrize("sound", [None, (0, 1)], ids=["silent", "sound"])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_an_annotated_video_plays_to_its_end(tmp_path, chromium, suffix, sound):
    source = write_video(tmp_path / "a.mp4", frames=25, sound=sound)
    with annotated_video(source, tmp_path / f"b{suffix}", 1) as write:
        for _ in range(25):
            write([])
    (tmp_path / "page.html").write_text(PAGE.format(f"b{suffix}"))
    chromium.get((tmp_path / "page.html").as_uri())
    played = chromium.execute_async_script(PLAY)
    assert played["error"] is None
    assert played["ended"]
    assert played["size"] == [640, 480]
    assert played["duration"] == pytest.approx(1, abs=0.1)
    assert played["time"] == pytest.approx(1, abs=0.1)
    assert played["frames"] > 0
    assert (played["sound"] > 0) == bool(sound)
