"""Predictions on the visitor's device: loading, requests, errors, and the page as static files.

test_page_same_answers.py compares the predictions with the server's.
"""

import base64
import functools
import http.server
import json
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

import api.on_device
from api.on_device import device_files, device_models
from recognizer.classifier import Classifier
from tests.page_fixture import Page, needs_runtime, requests
from tools import static_page

ROOT = Path(__file__).parents[3]
SMALL = ROOT / "models/fer2013-small/model.onnx"


def choose(page, control, start):
    """Choose the option whose text begins with `start`."""
    page.run(
        """
        const select = document.getElementById(arguments[0]);
        const option = [...select.options].find(({ text }) => text.startsWith(arguments[1]));
        select.value = option.value;
        select.dispatchEvent(new Event("change"));
        """,
        control,
        start,
    )


def test_images_are_scaled_and_rotated_as_by_opencv(page):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (21, 30, 3), np.uint8)
    image = np.vstack([noise, cv2.resize(noise[:3], (30, 40), interpolation=cv2.INTER_CUBIC)])
    sizes = [(60, 122), (25, 60), (41, 37)]
    matrix = [[1.3, -0.6, 4.2], [0.6, 1.3, -3.7]]
    found = page.call(
        """
        const images = await import("/static/device/images.js");
        const bytes = Uint8Array.from(atob(args[0]), (c) => c.charCodeAt(0));
        const image = images.imageOf(bytes, args[1], args[2]);
        return {
            halved: [...images.halved(image).data],
            scaled: args[3].map((size) => [...images.scaledLinearly(image, ...size).data]),
            warped: [...images.warped(image, args[4], 40).data],
            grey: [...images.grey(image)],
            turned: [1, 2, 3].map((turn) => [...images.turned(image, turn).data]),
        };
        """,
        base64.b64encode(cv2.cvtColor(image, cv2.COLOR_BGR2RGBA).tobytes()).decode(),
        image.shape[1],
        image.shape[0],
        sizes,
        matrix,
    )

    def same(data, expected):
        rgba = np.array(data, np.uint8).reshape(*expected.shape[:2], 4)
        # The same on x86-64; OpenCV has other code on Arm.
        np.testing.assert_allclose(rgba[..., 2::-1].astype(int), expected.astype(int), atol=1)

    half = cv2.resize(image[:60], (15, 30), interpolation=cv2.INTER_AREA)
    same(found["halved"], half)
    for size, data in zip(sizes, found["scaled"], strict=True):
        same(data, cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REPLICATE
    same(
        found["warped"],
        cv2.warpAffine(image, np.array(matrix), (40, 40), flags=flags, borderMode=border),
    )
    for turn, data in enumerate(found["turned"], 1):
        same(data, np.rot90(image, -turn))
    grey = np.array(found["grey"]).reshape(image.shape[:2])
    np.testing.assert_allclose(grey, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(int), atol=1)


def test_a_webcam_without_a_face_is_searched_as_a_photo_now_and_then(page):
    """The passes over each of 25 pictures, 100 ms apart, by their width; the network finds none."""
    passes = page.call(
        """
        const { YuNet } = await import("/static/device/yunet.js");
        const { imageOf } = await import("/static/device/images.js");
        let widths = [];
        const run = async (values, height, width) => {
            widths.push(width);
            const empty = (stride, size) => new Float32Array(size * height * width / stride ** 2);
            const sizes = Object.entries({ cls: 1, obj: 1, bbox: 4, kps: 10 });
            return Object.fromEntries([8, 16, 32].flatMap((stride) =>
                sizes.map(([name, size]) => [`${name}_${stride}`, empty(stride, size)])));
        };
        const detector = new YuNet(run, {});
        const picture = imageOf(new Uint8Array(4 * 640 * 480), 640, 480);
        const passes = [];
        for (let index = 0; index < 25; index += 1) {
            performance.now = () => 10_000 + 100 * index;
            widths = [];
            await detector.follow(picture);
            passes.push(widths);
        }
        delete performance.now;
        return passes;
        """
    )
    thorough = [640, 640, 320, 256, 320, 256, 960]
    quick = [[320]] * 4
    assert passes == [thorough, *quick, *([[640], *quick] * 3), thorough, *quick]


@needs_runtime
def test_nothing_is_sent_from_the_device(page, site, files):
    """The log of the server has every request, also those of the worker."""
    choose(page, "place", "on this device")
    page.until(lambda: page.text("#status") == "No picture yet.")
    assert page.text("#privacy") == "Pictures stay on this device: nothing is sent."
    assert page.text("#version") == Classifier(SMALL).version[:12]
    loaded = requests(site)
    assert any("fer2013-small.onnx" in line for line in loaded)
    page.choose(files["pair.png"])
    page.until(lambda: len(page.texts(".faces:not(.is-placeholder) .row-emotion")) == 2)
    page.find("#webcam").click()
    for emotion in ("happy", "surprise"):
        page.until(lambda emotion=emotion: f"Live: {emotion}" in page.text("#status"))
    page.find("#webcam").click()
    page.until_says("The webcam is off.")
    page.choose(files["jumps.webm"])
    page.until(lambda: page.texts(".person"))
    assert requests(site) == loaded
    page.find("#clear").click()
    choose(page, "place", "on the server")
    page.until(lambda: page.text("#status") == "No picture yet.")
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    assert any("/predict" in line for line in requests(site)[len(loaded) :])


@needs_runtime
def test_an_image_that_the_browser_cannot_decode_is_refused(page, files):
    choose(page, "place", "on this device")
    page.until(lambda: page.text("#status") == "No picture yet.")
    page.choose(files["happy.tiff"])
    page.until_says("This browser cannot read this file as an image.")


@needs_runtime
def test_a_model_that_cannot_be_loaded_is_reported_and_loaded_again(page):
    page.expected_messages = ["absent.onnx"]
    answers = page.call(
        """
        const { prepare } = await import("/static/on_device.js");
        const { models } = await (await fetch("/device/choices.json")).json();
        const absent = { ...models[0], name: "absent", version: "0" };
        const reason = await prepare(absent).then(() => "", (error) => error.message);
        return [reason, await prepare(models[0]).then(() => "loaded")];
        """
    )
    assert answers == [
        "The model does not run on this device: absent.onnx cannot be loaded: status 404.",
        "loaded",
    ]


def test_without_the_runtime_the_server_alone_predicts(monkeypatch, tmp_path):
    monkeypatch.setattr(api.on_device, "RUNTIME", tmp_path / "absent.mjs")
    assert device_files() == {} and device_models(ROOT / "metrics") == []


@needs_runtime
def test_the_files_of_the_device_are_served(site):
    choices = site.get("/device/choices.json").json()
    assert choices["server"]
    assert choices["models"][0]["name"] == "fer2013-small"
    assert site.get("/device/fer2013-small.onnx").content == SMALL.read_bytes()
    assert site.get("/device/absent.onnx").status_code == 404
    policy = site.get("/static/device/worker.js").headers["content-security-policy"]
    assert "wasm" in policy and "default-src 'self'" in policy
    assert "wasm" not in site.get("/").headers["content-security-policy"]


# ------------------------------------------------------------------ static files


class Host(http.server.SimpleHTTPRequestHandler):
    """A web server for files, which records the paths of its requests."""

    paths: list[str]

    def log_request(self, code="-", size="-"):
        self.paths.append(f"{self.command} {self.path} {int(code)}")


@pytest.fixture
def hosted(tmp_path):
    """The page as static files in a folder of another web server: its address, its requests."""
    static_page.write(tmp_path / "some" / "page")
    handler = type("Recording", (Host,), {"paths": []})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=tmp_path)
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/some/page/", handler.paths
    server.shutdown()
    thread.join()
    server.server_close()


@needs_runtime
def test_the_page_works_as_static_files(browser, hosted, files):
    address, paths = hosted
    page = Page(browser, address)
    page.open()
    page.until(lambda: any("fer2013-small.onnx" in path for path in paths))
    page.until(lambda: page.text("#status") == "No picture yet.")
    assert not page.find("#place").is_displayed()
    choose(page, "model-choice", "FER+")
    page.until(lambda: "contempt" in page.texts(".bar-name"))
    page.until(lambda: page.text("#status") == "No picture yet.")
    page.choose(files["pair.png"])
    page.until(lambda: len(page.texts(".faces:not(.is-placeholder) .row-emotion")) == 2)
    with page.window(360):
        # The controls fit into the window, although the names of the models are long.
        assert all(
            page.run("return arguments[0].getBoundingClientRect().right <= 360", control)
            for control in page.all(".controls select, .controls button")
        )
    loaded = list(paths)
    assert all(path.startswith("GET ") and path.endswith(" 200") for path in loaded)
    page.find("#webcam").click()
    page.until(lambda: "Live: " in page.text("#status"))
    assert paths == loaded
    browser.get("about:blank")
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@needs_runtime
def test_a_page_replaces_a_former_page_alone(tmp_path):
    static_page.write(tmp_path / "page")
    (tmp_path / "page" / "old.txt").touch()
    static_page.write(tmp_path / "page")
    assert not (tmp_path / "page" / "old.txt").exists()
    choices = json.loads((tmp_path / "page" / "device" / "choices.json").read_text())
    assert not choices["server"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(SystemExit, match="other files"):
        static_page.write(tmp_path / "other")
    assert (tmp_path / "other" / "notes.txt").exists()
