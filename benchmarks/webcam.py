"""Measure the webcam of the page on the visitor's device: answers a second in headless Chromium.

    python -m benchmarks.webcam

Needs `make page-packages`, Chromium and its driver. Writes `benchmarks/webcam.csv` and, from it,
the page `benchmarks/webcam.md`; takes about three minutes.

A web server of files serves the page as `make page` writes it (`tools/static_page.py`). Chromium's
fake webcam shows a moving picture of 640×480 pixels, 30 frames a second: one portrait, three
portraits, or a part of the portrait without the face. For each picture and each model that the page
offers, the answers a second and the latency are those that the page shows, means over two seconds;
they are read every two seconds. CPU time is that of all processes of Chromium, which also draw the
page and play the fake webcam. A request during a measurement is an error.
"""

import argparse
import functools
import http.server
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import psutil
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from api.on_device import MODELS
from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import as_written, write_results
from stages.evaluation.markdown_table import markdown_table
from tools import static_page

RESULT = Path(__file__).with_suffix(".csv")
PORTRAIT = Path(__file__).parents[1] / "docs" / "astronaut.jpg"
WIDTH, HEIGHT, FRAMES_PER_SECOND = 640, 480, 30
FRAMES = 60
"""The picture moves once around a small circle, then the file begins anew."""
RADIUS = 12
"""Of that circle, in pixels."""
ONE, THREE, NONE = "one face", "three faces", "no face"
GOAL = 15
"""Answers a second for one face with the model that the page preselects."""
WINDOW = 2
"""Seconds over which the page takes its means (api/static/rates.js)."""
PATIENCE = 120
"""Seconds to load a model on a busy machine."""
FLAGS = (
    *("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run"),
    *("disable-background-networking", "window-size=1280,900"),
    *("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream"),
)


@dataclass(frozen=True)
class Row:
    """The webcam with one picture and one model."""

    picture: str
    model: str
    answers_per_second: float
    """Median of the readings."""
    lowest: float
    """Least reading."""
    latency_ms: float
    """Median: from the frame to its answer."""
    cpu_ms_per_answer: float


# ---------------------------------------------------------------- the picture


def stills() -> dict[str, np.ndarray]:
    """The picture of each kind, uint8 [HEIGHT, WIDTH, 3], BGR."""
    portrait = cv2.imread(str(PORTRAIT))
    third = cv2.resize(portrait[:480, 66:386], (WIDTH // 3 + 1, WIDTH // 2))
    below = HEIGHT - third.shape[0]
    three = cv2.copyMakeBorder(np.hstack([third] * 3), 0, below, 0, 0, cv2.BORDER_REPLICATE)
    return {
        ONE: cv2.resize(portrait[:384], (WIDTH, HEIGHT)),
        THREE: three[:, :WIDTH],
        NONE: cv2.resize(portrait[200:, 128:], (WIDTH, HEIGHT)),
    }


def write_camera(path: Path, still: np.ndarray) -> None:
    """Write a picture that moves on a circle as YUV4MPEG2, which Chromium takes as a webcam."""
    border = cv2.copyMakeBorder(still, *[RADIUS] * 4, cv2.BORDER_REPLICATE)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FRAMES_PER_SECOND}:1 Ip A1:1 C420\n".encode())
        for turn in 2 * np.pi * np.arange(FRAMES) / FRAMES:
            x, y = (round(RADIUS * (1 + shift)) for shift in (np.cos(turn), np.sin(turn)))
            frame = border[y : y + HEIGHT, x : x + WIDTH]
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())


# ---------------------------------------------------------------- the page


class Host(http.server.SimpleHTTPRequestHandler):
    """A web server of files that counts its requests."""

    requests: list[str]

    def log_request(self, code: object = "-", size: object = "-") -> None:
        self.requests.append(self.path)


@contextmanager
def hosted(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder; yields the address, and the paths of the requests so far."""
    handler = type("Counting", (Host,), {"requests": []})
    bound = functools.partial(handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", handler.requests
        server.shutdown()


@contextmanager
def chromium(camera: Path) -> Iterator[webdriver.Chrome]:
    """Start Chromium without a window, with a file as its webcam."""
    driver = shutil.which("chromedriver")
    if not driver:
        raise SystemExit("error: chromedriver not found; install Chromium and its driver")
    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        own = (f"user-data-dir={profile}", f"use-file-for-fake-video-capture={camera}")
        for flag in (*FLAGS, *own):
            options.add_argument(f"--{flag}")
        with webdriver.Chrome(options, webdriver.ChromeService(driver)) as browser:
            yield browser


def measure(
    browser: webdriver.Chrome, requests: list[str], picture: str, model: str, seconds: float
) -> Row:
    """Choose a model on the page, start the webcam, and read the page's numbers."""
    text = functools.partial(text_of, browser)
    wait = WebDriverWait(browser, PATIENCE, 0.2)
    wait.until(lambda _: any("fer2013" in path for path in requests))  # the page has its models
    browser.execute_script(
        "const select = document.getElementById('model-choice');"
        "select.selectedIndex = arguments[0]; select.dispatchEvent(new Event('change'));",
        MODELS.index(model),
    )
    wait.until(lambda _: text("status") == "No picture yet.")
    loaded = len(requests)
    webcam = browser.find_element(By.ID, "webcam")
    webcam.click()
    wait.until(lambda _: text("rate").replace(".", "").isdigit())
    time.sleep(2 * WINDOW)  # the first answers are slower
    before, start = cpu_seconds(browser), time.perf_counter()
    rates, latencies = [], []
    while time.perf_counter() - start < seconds:
        time.sleep(WINDOW)
        rates.append(float(text("rate")))
        latencies.append(float(text("latency").removesuffix(" ms")))
    taken, cpu = time.perf_counter() - start, cpu_seconds(browser) - before
    webcam.click()
    if len(requests) > loaded:
        raise SystemExit(f"error: the webcam has sent a request: {requests[loaded:]}")
    per_answer = 1000 * cpu / (sum(rates) / len(rates) * taken)
    return Row(picture, model, median(rates), min(rates), median(latencies), per_answer)


def text_of(browser: webdriver.Chrome, name: str) -> str:
    """The text of an element."""
    return browser.find_element(By.ID, name).text


def cpu_seconds(browser: webdriver.Chrome) -> float:
    """CPU time of all processes of Chromium so far."""
    driver = psutil.Process(browser.service.process.pid)
    total = 0.0
    for process in driver.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # some of them are short
            times = process.cpu_times()
            total += times.user + times.system
    return total


def measure_all(folder: Path, seconds: float) -> tuple[list[Row], str]:
    """The rows of all pictures and models, and the version of Chromium."""
    static_page.write(folder / "page")
    rows, camera = [], folder / "camera.y4m"
    for picture, still in stills().items():
        write_camera(camera, still)
        with hosted(folder / "page") as (address, requests), chromium(camera) as browser:
            browser.get(address)
            rows += [measure(browser, requests, picture, name, seconds) for name in MODELS]
            version = browser.capabilities["browserVersion"]
    return rows, version


# ---------------------------------------------------------------- the report


def page(rows: list[Row], sources: dict[str, Provenance], command: str) -> str:
    """Format the first block, the goal and the table."""
    (wanted,) = (row for row in rows if (row.picture, row.model) == (ONE, MODELS[0]))
    reached = wanted.answers_per_second
    verdict = "met" if reached >= GOAL else "**not met**"
    cells = [
        (
            row.picture,
            row.model,
            f"{row.answers_per_second:.1f}",
            f"{row.lowest:.1f}",
            f"{row.latency_ms:.0f}",
            f"{row.cpu_ms_per_answer:.0f}",
        )
        for row in rows
    ]
    headers = ("webcam", "model", "answers/s", "lowest", "latency, ms", "CPU ms an answer")
    parts = [
        opening("The webcam on the visitor's device", sources.items()),
        f"Made by `{command}`. `benchmarks/webcam.py` describes the measurement. The webcam has"
        f" {FRAMES_PER_SECOND} frames a second, and no answer comes twice.",
        f"{wanted.model} is preselected. Goal for one face: at least {GOAL} answers a second."
        f" Measured: {reached:.1f}, {verdict}.",
        markdown_table(headers, cells, text_columns=2),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12, help="per picture and model")
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file")
    arguments = parser.parse_args()
    sources = {name: here(name) for name in MODELS}
    with tempfile.TemporaryDirectory() as folder:
        rows, version = measure_all(Path(folder), arguments.seconds)
    sources = {
        name: replace(source, machine=f"{source.machine}, Chromium {version}")
        for name, source in sources.items()
    }
    command = shlex.join(["python", "-m", "benchmarks.webcam", *sys.argv[1:]])
    write_results(arguments.result, rows, page([as_written(row) for row in rows], sources, command))
    print(arguments.result.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
