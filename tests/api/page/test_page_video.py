"""A video file on the page: sampling, timeline, export."""

import csv
import io
import itertools
import json
import time

import pytest
from selenium.webdriver.common.keys import Keys

from tests.page_fixture import LABELS, PATIENCE, WATCH, dark_and_left

DURATION = 4.0
"""Seconds of cut.webm: 1.5 with a happy face, a cut, 1.5 with an angry one, 1 without."""

SLACK = 0.25
"""Tolerance in seconds: two samples and a frame."""


@pytest.fixture
def analysed(page, files):
    """The page with cut.webm analysed to its end."""
    page.choose(files["cut.webm"])
    page.until_says("Done: ")
    return page


@pytest.fixture
def downloads(browser, tmp_path):
    """A function that returns the content of a file that the browser saves."""
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)

    def saved(name):
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / name).is_file():
            assert time.monotonic() < deadline, list(tmp_path.iterdir())
            time.sleep(0.05)
        return (tmp_path / name).read_bytes().decode()

    return saved


def test_the_timeline_shows_each_person(analysed):
    page = analysed
    assert page.text("#status") == page.text("[role=status]") == "Done: 2 people in 0:04."
    assert page.texts(".person .row-number") == ["1", "2"]
    assert page.texts(".person-most") == ["happy 100 %", "angry 100 %"]
    segments = page.run("""return [...document.querySelectorAll('.segment')].map(
        e => [e.dataset.emotion, parseFloat(e.style.left), parseFloat(e.style.width)])""")
    assert [emotion for emotion, _, _ in segments] == ["happy", "angry"]
    for (_, left, width), (start, end) in zip(segments, ((0, 1.5), (1.5, 3)), strict=True):
        assert left / 100 * DURATION == pytest.approx(start, abs=SLACK)
        assert (left + width) / 100 * DURATION == pytest.approx(end, abs=SLACK)
    assert not page.find("#stop").is_displayed()
    time.sleep(2.5)  # longer than an announcement is delayed
    assert page.text("#status") == page.text("[role=status]") == "Done: 2 people in 0:04."


def test_the_result_can_be_saved(analysed, downloads):
    page = analysed
    page.find("#save [value=json]").click()
    result = json.loads(downloads("cut.json"))
    assert result["video"] == "cut.webm" and result["detector"] == "yunet"
    assert result["duration"] == result["analysed"] == pytest.approx(DURATION, abs=0.1)
    assert len(result["model"]["version"]) == 64
    (cut,) = (cut for cut in result["cuts"] if cut < 2.5)
    assert cut == pytest.approx(1.5, abs=SLACK)
    for person, number, emotion, start in zip(
        result["persons"], (1, 2), ("happy", "angry"), (0, 1.5), strict=True
    ):
        assert person["person"] == number and person["shares"] == {emotion: 1}
        assert person["seconds"] == pytest.approx(1.5, abs=SLACK)
        (stretch,) = person["changes"]
        assert stretch["emotion"] == emotion
        assert stretch["start"] == person["first"] == pytest.approx(start, abs=SLACK)
    times = [sample["seconds"] for sample in result["samples"]]
    assert times[0] == 0 and times[-1] > DURATION - 1.1 and times == sorted(set(times))
    assert all(b - a <= 1.001 for a, b in itertools.pairwise(times))

    page.find("#save [value=persons]").click()
    rows = list(csv.DictReader(io.StringIO(downloads("cut-persons.csv"))))
    assert [(row["person"], row["emotion"]) for row in rows] == [("1", "happy"), ("2", "angry")]
    assert [float(row["share_of_emotion"]) for row in rows] == [1, 1]

    page.find("#save [value=samples]").click()
    rows = list(csv.DictReader(io.StringIO(downloads("cut-samples.csv"))))
    faces = [(s["seconds"], f) for s in result["samples"] for f in s["faces"]]
    assert [float(row["seconds"]) for row in rows] == [seconds for seconds, _ in faces]
    assert [float(row["happy"]) for row in rows] == [f["probabilities"]["happy"] for _, f in faces]
    assert list(rows[0])[-7:] == LABELS


def test_unsure_faces_of_a_video_are_unsure_everywhere(analysed, downloads):
    page = analysed
    page.run("document.getElementById('unsure').add(new Option('1.01'))")
    choose = """const select = document.getElementById("unsure");
        select.value = arguments[0];
        select.dispatchEvent(new Event("change"));"""
    page.run(choose, "1.01")
    assert page.texts(".person-most") == ["unsure 100 %", "unsure 100 %"]
    assert set(page.texts(".segment-name")) == {"unsure"}
    page.until_shows("unsure")
    assert "share of that time: unsure 100 %" in page.text("#detail-note")
    page.find("#save [value=json]").click()
    result = json.loads(downloads("cut.json"))
    assert result["min_probability"] == 1.01
    assert {face["emotion"] for s in result["samples"] for face in s["faces"]} == {None}
    page.find("#save [value=samples]").click()
    rows = csv.DictReader(io.StringIO(downloads("cut-samples.csv")))
    assert {row["emotion"] for row in rows} == {""}
    page.run(choose, "0")
    assert page.texts(".person-most") == ["happy 100 %", "angry 100 %"]


def test_the_timeline_moves_the_video(analysed):
    page = analysed
    band = page.find(".person[data-id='2'] .band")
    page.pointer(band, click=True)  # in its middle
    now = "return document.getElementById('video').currentTime"
    page.until(lambda: page.run(now) == pytest.approx(DURATION / 2, abs=0.1))
    page.until_shows("angry")
    marked = "return document.querySelector('.person.is-selected').dataset.id"
    assert page.run(marked) == "2"
    assert page.text(".box-label").startswith("angry ")
    assert "In view 0:01–0:0" in page.text("#detail-note")
    assert "share of that time: angry 100 %" in page.text("#detail-note")

    page.find(".person[data-id='1'] .person-name").click()
    page.until(lambda: page.run(now) == pytest.approx(0, abs=0.1))
    page.until_shows("happy")
    assert page.run(marked) == "1"

    page.run("document.getElementById('ruler').focus()")
    page.press(Keys.END)
    page.until_shows()
    assert page.texts(".box") == []
    value = page.find("#ruler").get_attribute("aria-valuetext")
    assert value == "0:04 of 0:04" or value == "0:03 of 0:04"
    page.press(Keys.HOME)
    page.until_shows("happy")
    page.find("#play").click()
    page.until(lambda: page.run("return document.getElementById('video').ended"))
    page.until(lambda: page.text("#play") == "Play")


def test_boxes_belong_to_the_frame_that_is_shown(page, files):
    page.run(WATCH)
    page.choose(files["jumps.webm"])
    page.until_says("Done: ")
    seen = dark_and_left(page)
    assert set(seen) == {(True, True), (False, False)}

    # The same during playback.
    page.run("window.seen = []; document.getElementById('ruler').focus()")
    page.press(Keys.HOME)
    page.find("#play").click()
    page.until(lambda: page.run("return document.getElementById('video').ended"))
    assert set(dark_and_left(page)) == {(True, True), (False, False)}


def test_a_stopped_analysis_keeps_its_result(page, files, downloads):
    page.run("""
        const observer = new MutationObserver(() => {
            if (!document.querySelector(".segment")) return;
            observer.disconnect();
            document.getElementById("stop").click();
        });
        observer.observe(document.getElementById("persons"), { childList: true, subtree: true });
    """)
    page.choose(files["jumps.webm"])
    page.until_says("Stopped at 0:0")
    page.find("#save [value=json]").click()
    result = json.loads(downloads("jumps.json"))
    assert result["analysed"] < result["duration"]
    page.find("#clear").click()
    page.until_says("No picture yet.")
    assert not page.find("#timeline").is_displayed() and page.texts(".box") == []


def test_a_video_that_the_browser_cannot_play(page, files):
    page.choose(files["broken.mp4"])
    page.until_says("This browser cannot play broken.mp4.")
    assert "is-problem" in page.find("#status").get_attribute("class")


def test_a_recording_without_a_duration_is_analysed(page, files):
    """MediaRecorder writes WebM files without a duration."""
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    page.call("""
        const canvas = document.createElement("canvas");
        const pen = canvas.getContext("2d");
        canvas.width = 320;
        canvas.height = 240;
        const photo = document.getElementById("photo");
        const draw = setInterval(() => pen.drawImage(photo, 0, 0, 320, 240), 50);
        const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm" });
        const parts = [];
        recorder.ondataavailable = ({ data }) => parts.push(data);
        recorder.start();
        await new Promise((resolve) => setTimeout(resolve, 1500));
        await new Promise((resolve) => { recorder.onstop = resolve; recorder.stop(); });
        clearInterval(draw);
        const files = new DataTransfer();
        files.items.add(new File(parts, "recorded.webm", { type: "video/webm" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
    """)
    page.until_says("Done: 1 person in 0:01.")
