"""benchmarks/webcam.py: the webcam's picture, a short measurement, the page."""

import shutil

import pytest

from api.on_device import MODELS
from benchmarks.provenance import Provenance
from benchmarks.webcam import (
    FRAMES,
    HEIGHT,
    NONE,
    ONE,
    THREE,
    WIDTH,
    Row,
    chromium,
    hosted,
    measure,
    page,
    stills,
    write_camera,
)
from recognizer.detectors.registry import build_detector
from tests.page_fixture import needs_runtime
from tools import static_page

SOURCES = {name: Provenance("fer2013 `0123456789ab`", "`0123456`", "a machine") for name in MODELS}


def test_the_pictures_have_one_face_three_faces_and_none():
    detector = build_detector("yunet")
    found = {name: len(detector.detect(still)) for name, still in stills().items()}
    assert found == {ONE: 1, THREE: 3, NONE: 0}


def test_the_camera_has_a_whole_number_of_frames(tmp_path):
    write_camera(tmp_path / "camera.y4m", stills()[ONE])
    header, _, frames = (tmp_path / "camera.y4m").read_bytes().partition(b"\n")
    assert header.startswith(b"YUV4MPEG2 W640 H480 F30:1 ")
    assert len(frames) == FRAMES * (len(b"FRAME\n") + WIDTH * HEIGHT * 3 // 2)


@needs_runtime
@pytest.mark.skipif(not shutil.which("chromedriver"), reason="chromedriver is not installed")
def test_the_numbers_of_the_page_are_read(tmp_path):
    static_page.write(tmp_path / "page")
    write_camera(tmp_path / "camera.y4m", stills()[ONE])
    with (
        hosted(tmp_path / "page") as (address, requests),
        chromium(tmp_path / "camera.y4m") as browser,
    ):
        browser.get(address)
        rows = [measure(browser, requests, ONE, name, seconds=1) for name in MODELS[:2]]
    assert [(row.picture, row.model) for row in rows] == [(ONE, name) for name in MODELS[:2]]
    assert all(0 < row.lowest <= row.answers_per_second <= 31 for row in rows)
    assert all(row.latency_ms > 0 and row.cpu_ms_per_answer > 0 for row in rows)


@pytest.mark.parametrize(("reached", "verdict"), [(15.04, "15.0, met"), (9, "9.0, **not met**")])
def test_the_page_says_whether_the_goal_is_met(reached, verdict):
    rows = [
        Row(picture, name, reached if picture == ONE else 1, 1, 70, 50)
        for picture in (ONE, THREE, NONE)
        for name in MODELS
    ]
    text = page(rows, SOURCES, "python …")
    assert f"at least 15 answers a second. Measured: {verdict}." in text
    lines = [line.replace(" ", "") for line in text.splitlines()]
    assert f"|noface|{MODELS[1]}|1.0|1.0|70|50|" in lines
