"""The page in a browser, and rendered pictures and videos for it."""

from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from api.on_device import RUNTIME
from stages.dataset.sample_faces import render_face

LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
ANGRY, HAPPY, SURPRISE = map(LABELS.index, ("angry", "happy", "surprise"))
PATIENCE = 60
"""Seconds to wait for a result on a busy machine."""

needs_runtime = pytest.mark.skipif(
    not RUNTIME.is_file(), reason="onnxruntime-web is absent: make page-packages fetches it"
)

DARK, LIGHT = 60, 200
"""Grey levels behind the face at the left, and behind the face at the right."""


def scene(*faces, shape=(240, 320), ground=128):
    """A grey scene, uint8 [H, W], with rendered faces given as (emotion, (x, y), side)."""
    image = np.full(shape, ground, np.uint8)
    for emotion, (x, y), size in faces:
        face = render_face(emotion, np.random.default_rng(0), size=240)
        face = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
        image[y : y + size, x : x + size] = face
    return image


LEFT = scene((HAPPY, (10, 40), 150), ground=DARK)
RIGHT = scene((SURPRISE, (170, 40), 140), ground=LIGHT)


def write_video(path, frames):
    """Write grey frames as VP8 at 10 frames per second."""
    height, width = frames[0].shape
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"VP80"), 10, (width, height))
    for frame in frames:
        video.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    video.release()


def requests(site):
    """Every request that the server of a client has logged, also those of the page's worker."""
    return [line for line in site.log.read_text().splitlines() if '"path"' in line]


class Page:
    """The page as a visitor uses it."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address

    def open(self):
        self.browser.get(self.address)
        self.until(lambda: "Loading" not in self.text("#accuracy-note"))

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """The visible text of every match."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)"
        return [text.replace("\xa0", " ") for text in self.browser.execute_script(script, selector)]

    def text(self, selector):
        return " ".join(self.texts(selector))

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def choose(self, path):
        self.find("#file").send_keys(str(path))

    def until(self, condition):
        return WebDriverWait(self.browser, PATIENCE, 0.05).until(lambda _: condition())

    def until_says(self, text):
        self.until(lambda: text in self.text("#status"))

    def until_shows(self, *emotions):
        self.until(lambda: self.texts(".faces:not(.is-placeholder) .row-emotion") == list(emotions))

    def call(self, script, *arguments):
        """The result of an asynchronous script; it may `await import("/static/….js")`."""
        answer = self.browser.execute_async_script(
            "const args = [...arguments], done = args.pop();"
            f"(async () => {{ {script} }})().then((value) => done({{ value }}),"
            " (error) => done({ error: String(error) }))",
            *arguments,
        )
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def press(self, *keys):
        webdriver.ActionChains(self.browser).send_keys(*keys).perform()

    def pointer(self, element, *, click=False):
        """Move the mouse to an element, and click it if `click` is set."""
        actions = webdriver.ActionChains(self.browser).move_to_element(element)
        (actions.click() if click else actions).perform()

    @contextmanager
    def window(self, width, height=800):
        """Set the size of the window for a while."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield
        self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


WATCH = """
    // At every animation frame, record the grey level and the middle of the box.
    window.seen = [];
    const small = document.createElement("canvas");
    small.width = small.height = 1;
    const pen = small.getContext("2d", { willReadFrequently: true });
    const watch = () => {
        const [box] = document.querySelectorAll(".box");
        const frame = document.getElementById("frame");
        if (box) {
            pen.clearRect(0, 0, 1, 1);
            if (!frame.hidden) pen.drawImage(frame, frame.width / 2 - 4, 0, 8, 8, 0, 0, 1, 1);
            const middle = box.offsetLeft + box.offsetWidth / 2;
            window.seen.push([...pen.getImageData(0, 0, 1, 1).data, middle / frame.clientWidth]);
        }
        requestAnimationFrame(watch);
    };
    watch();
"""


def dark_and_left(page):
    """For each observation: whether the frame is the dark one, whether its box is at the left."""
    middle = (DARK + LIGHT) / 2
    return [
        (level < middle, place < 0.5) for level, _, _, _, place in page.run("return window.seen")
    ]
