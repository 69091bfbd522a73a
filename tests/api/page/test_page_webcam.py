"""The webcam on the page."""

import re

from tests.page_fixture import LABELS, WATCH, dark_and_left

SENT = """return performance.getEntriesByType("resource")
    .filter(e => e.name.includes("/predict")).map(e => [e.startTime, e.responseEnd])"""


def test_the_label_follows_the_webcam(page):
    page.find("#webcam").click()
    for emotion in ("happy", "surprise", "happy"):
        page.until_shows(emotion)
        page.until(lambda emotion=emotion: page.text(".box-label").startswith(f"{emotion} "))
    page.until(lambda: re.fullmatch(r"\d+\.\d", page.text("#rate")))
    assert re.fullmatch(r"\d+ ms", page.text("#latency"))
    assert page.texts("#chart-names li") == LABELS
    drawn = """
        const chart = document.getElementById("chart");
        return chart.getContext("2d").getImageData(0, 0, chart.width, chart.height).data.some(
            (value, index) => index % 4 === 3 && value > 50);
    """
    assert page.run(drawn)

    # At most two concurrent requests.
    requests = page.run(SENT)
    assert len(requests) > 5
    assert all(sum(start <= now < end - 1 for start, end in requests) <= 2 for now, _ in requests)

    page.find("#webcam").click()
    page.until_says("The webcam is off.")
    count = len(page.run(SENT))
    page.browser.execute_async_script("setTimeout(arguments[0], 500)")
    assert len(page.run(SENT)) <= count + 2
    assert page.texts(".box") == [] and not page.find("#recent").is_displayed()
    assert page.run("return document.getElementById('video').srcObject") is None


def test_the_picture_can_be_mirrored(page):
    """The happy face is on the left of the camera's picture, and on the right when mirrored."""
    page.find("#webcam").click()
    place = """
        const box = document.querySelector(".box[data-emotion=happy]");
        const picture = document.getElementById("picture");
        return box && (box.offsetLeft + box.offsetWidth / 2) / picture.clientWidth;
    """
    page.until(lambda: (page.run(place) or 0) > 0.5)
    page.find("#mirror").click()
    page.until(lambda: (page.run(place) or 1) < 0.5)


def test_status_label_and_bars_agree(page):
    page.run("""
        window.seen = [];
        const text = (selector) => document.querySelector(selector)?.textContent ?? "";
        const watch = () => {
            if (document.querySelector(".box")) {
                const bar = document.querySelector(".bar.is-first");
                const first = bar.querySelector(".bar-name").textContent
                    + " " + bar.querySelector(".bar-value").textContent;
                window.seen.push([text("#status"), text(".box-label"), first]);
            }
            requestAnimationFrame(watch);
        };
        watch();
    """)
    page.find("#webcam").click()
    for emotion in ("happy", "surprise", "happy"):
        page.until_shows(emotion)
    seen = page.run("return window.seen")
    assert {sentence.split()[1] for sentence, _, _ in seen} == {"happy", "surprise"}
    for sentence, label, first in seen:
        assert sentence == f"Live: {first}." and label == first


def test_boxes_belong_to_the_frame_that_is_shown(page):
    page.run(WATCH)
    page.find("#webcam").click()
    page.until(lambda: page.find("#mirror").is_displayed())
    page.find("#mirror").click()
    for emotion in ("happy", "surprise", "happy", "surprise"):
        page.until_shows(emotion)
    assert set(dark_and_left(page)) == {(True, True), (False, False)}
