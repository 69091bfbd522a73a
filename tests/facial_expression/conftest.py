"""The photo and the video of these tests."""

from pathlib import Path

import pytest

from tests.recognizer.video_fixture import write_video

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "docs/astronaut.jpg"


@pytest.fixture(scope="session")
def video(tmp_path_factory) -> Path:
    """A video of 30 frames with two persons."""
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", 30)
