"""Predictions on the visitor's device: the same answers as the server's, and no request."""

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
from api.on_device import RUNTIME, device_files, device_models
from recognizer.classifier import Classifier
from recognizer.detectors.yunet import YuNetDetector
from recognizer.image import decode
from recognizer.recognizer import Recognizer
from stages.dataset.sample_faces import render_face
from tests.page_fixture import Page
from tools import static_page

ROOT = Path(__file__).parents[3]
SMALL = ROOT / "models/fer2013-small/model.onnx"
PHOTOS = ROOT.parent / "shared/photos"
TOLERANCE = 0.05
"""Of a probability: WebAssembly rounds eight-bit layers in other places."""

needs_runtime = pytest.mark.skipif(
    not RUNTIME.is_file(), reason="onnxruntime-web is absent: make page-packages fetches it"
)


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


def recognized_on_device(page, files):
    """The faces in image files, as the page's modules recognize them with the small model."""
    return page.call(
        """
        const { recognizeOnDevice } = await import("/static/on_device.js");
        const { models } = await (await fetch("/device/choices.json")).json();
        const model = models.find(({ name }) => name === "fer2013-small");
        const answers = [];
        for (const file of args[0]) {
            const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
            answers.push(await recognizeOnDevice(new Blob([bytes]), model, "yunet", false));
        }
        return answers.map(({ faces }) => faces);
        """,
        [base64.b64encode(file).decode() for file in files],
    )


def compare(found, files):
    """Check that faces and probabilities are the library's; return the largest differences."""
    recognizer = Recognizer(Classifier(SMALL), YuNetDetector())
    differences = []
    for faces, file in zip(found, files, strict=True):
        expected = recognizer.recognize(decode(file))
        assert len(faces) == len(expected)
        for one in expected:
            face = min(
                faces,
                key=lambda face: np.hypot(
                    face["square"]["x"] - one.square.x, face["square"]["y"] - one.square.y
                ),
            )
            for side, value in face["box"].items():
                assert value == pytest.approx(getattr(one.box, side), abs=2)
            found_by_label = face["probabilities"]
            assert set(found_by_label) == set(one.probabilities)
            difference = max(
                abs(found_by_label[label] - probability)
                for label, probability in one.probabilities.items()
            )
            assert difference < TOLERANCE
            second, first = sorted(one.probabilities.values())[-2:]
            assert face["emotion"] == one.emotion or first - second < 2 * difference
            differences.append(difference)
    return differences


def portraits():
    """Rendered faces of all emotions, and a photo: upright and turned."""
    for emotion in range(7):
        face = render_face(emotion, np.random.default_rng(emotion), size=200)
        image = np.full((300, 420), 120, np.uint8)
        image[40:240, 30 + 20 * emotion : 230 + 20 * emotion] = face
        yield cv2.imencode(".png", image)[1].tobytes()
    yield (ROOT / "docs/astronaut.jpg").read_bytes()
    photo = cv2.imread(str(ROOT / "docs/astronaut.jpg"))
    yield cv2.imencode(".png", np.rot90(photo))[1].tobytes()


@needs_runtime
def test_answers_are_the_servers(page):
    files = list(portraits())
    differences = compare(recognized_on_device(page, files), files)
    assert len(differences) >= len(files)
    assert np.median(differences) < TOLERANCE / 2


@needs_runtime
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos for development are not here")
def test_answers_are_the_servers_on_photos(page):
    files = [path.read_bytes() for path in sorted(PHOTOS.glob("*.jpg"))]
    page.browser.set_script_timeout(300)
    differences = compare(recognized_on_device(page, files), files)
    print(f"median {np.median(differences):.4f}, largest {max(differences):.4f}")


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


def requests(site):
    return [line for line in site.log.read_text().splitlines() if '"path"' in line]


@needs_runtime
def test_an_image_that_the_browser_cannot_decode_is_refused(page, files):
    choose(page, "place", "on this device")
    page.until(lambda: page.text("#status") == "No picture yet.")
    page.choose(files["happy.tiff"])
    page.until_says("This browser cannot read this kind of image.")


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
    assert "wasm" in site.get("/static/device/worker.js").headers["content-security-policy"]
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
