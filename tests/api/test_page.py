"""The page in a real Chromium: photos, video, a webcam, plain words, and the keyboard."""

import base64
import itertools
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.classifier import Classifier
from stages.sample_faces import render_face

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "sample" / "model.onnx"
LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
HAPPY, SURPRISE = LABELS.index("happy"), LABELS.index("surprise")
PATIENCE = 60
"""Seconds that anything may take on a busy machine."""


def scene(emotion, place=(40, 40), size=160, shape=(240, 320)):
    """A grey scene, uint8 [H, W], with one rendered face in the square of `size` at (x, y)."""
    image = np.full(shape, 128, np.uint8)
    face = render_face(emotion, np.random.default_rng(0), size=240)
    x, y = place
    image[y : y + size, x : x + size] = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
    return image


# ---------------------------------------------------------------- what the page is given


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files to choose, by name."""
    folder = tmp_path_factory.mktemp("files")
    portrait = cv2.cvtColor(scene(HAPPY, (200, 120), 240, (480, 640)), cv2.COLOR_GRAY2BGR)
    for name in ("happy.jpg", "happy.gif", "happy.tiff"):
        assert cv2.imwrite(str(folder / name), portrait)
    assert cv2.imwrite(str(folder / "blank.png"), np.full((240, 320), 128, np.uint8))
    (folder / "words.txt").write_text("no image")
    video = cv2.VideoWriter(
        str(folder / "surprise.webm"), cv2.VideoWriter_fourcc(*"VP80"), 10, (320, 240)
    )
    for _ in range(30):
        video.write(cv2.cvtColor(scene(SURPRISE), cv2.COLOR_GRAY2BGR))
    video.release()
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """A webcam's picture as YUV4MPEG2: a happy face for 2 seconds, then a surprised one."""
    path = tmp_path_factory.mktemp("camera") / "faces.y4m"
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W320 H240 F10:1 Ip A1:1 C420jpeg\n")
        for emotion in (HAPPY, SURPRISE):
            image = scene(emotion)
            file.write((b"FRAME\n" + image.tobytes() + bytes([128]) * (image.size // 2)) * 20)
    return path


@pytest.fixture(scope="module")
def site(serve, tmp_path_factory):
    """A client of a live server with the sample's model and metrics that belong to it."""
    if not MODEL.is_file():
        pytest.skip("models/sample/model.onnx is not there: make repro builds it")
    metrics = tmp_path_factory.mktemp("metrics")
    (metrics / "sample").mkdir()
    evaluation = {
        "PrivateTest": {"accuracy": 0.7123, "accuracy_low": 0.698, "accuracy_high": 0.7266},
        "model": {"version": Classifier(MODEL).version[:12]},
    }
    (metrics / "sample" / "evaluation.json").write_text(json.dumps(evaluation))
    with serve(MODEL_PATH=str(MODEL), METRICS_DIR=str(metrics)) as client:
        # What the policy forbids, Chromium reports on its console.
        assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
        yield client


@pytest.fixture(scope="module")
def chromium(camera, tmp_path_factory):
    """A Chromium without a window that can reach this machine only."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "use-fake-device-for-media-stream",
        "use-fake-ui-for-media-stream",
        f"use-file-for-fake-video-capture={camera}",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
        "window-size=1280,900",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


class Page:
    """The page as a visitor meets it."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address

    def open(self):
        self.browser.get(self.address)
        self.until(lambda: "Asking" not in self.text("#accuracy-note"))

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """Of every match, what is there for the eye."""
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

    def until_says(self, words):
        self.until(lambda: words in self.text("#status"))

    def until_shows(self, *emotions):
        self.until(lambda: self.texts(".face:not(.is-ghost) h3") == list(emotions))


@pytest.fixture
def page(chromium, site):
    """The page, freshly opened. Afterwards: no complaint, and no request elsewhere."""
    address = str(site.base_url)
    page = Page(chromium, address)
    page.complaints = []
    chromium.get_log("performance")  # what came before is not of this page
    page.open()
    yield page
    requests = [
        event["params"]["request"]["url"]
        for entry in chromium.get_log("performance")
        if (event := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    chromium.get("about:blank")
    assert any(url.startswith(address) for url in requests)
    at_home = (address, "blob:", "data:")
    assert [url for url in requests if not url.startswith(at_home)] == []
    said = [entry["message"] for entry in chromium.get_log("browser")]
    assert [words for words in said if not any(c in words for c in page.complaints)] == []


# ---------------------------------------------------------------- photos


def test_a_photo_shows_the_emotion_seven_bars_and_a_box(page, site, files):
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    assert page.text("#status").startswith("One face: happy ")
    assert page.texts(".bar-name") == LABELS
    answer = site.post("/predict", content=files["happy.jpg"].read_bytes()).json()
    (face,) = answer["faces"]

    widths = page.run("return [...document.querySelectorAll('.fill')].map(e => e.style.width)")
    shown = [float(width.removesuffix("%")) / 100 for width in widths]
    np.testing.assert_allclose(shown, list(face["probabilities"].values()), atol=1e-5)
    assert re.fullmatch(r">?\d\d? %", page.texts(".bar.is-first .bar-value")[0])
    assert page.text(".box-label").startswith("happy ")

    outside, box = (page.find(selector).rect for selector in ("#photo", ".box"))
    scale = outside["width"] / answer["image"]["width"]
    assert outside["height"] == pytest.approx(answer["image"]["height"] * scale, abs=1)
    for side, length in face["box"].items():
        origin = outside[side] if side in "xy" else 0
        assert box[side] - origin == pytest.approx(length * scale, abs=1)
    crop = "return document.querySelector('.crop').getContext('2d').getImageData(24, 24, 1, 1).data"
    assert page.run(crop)[3] == 255

    page.find("#clear").click()
    page.until_says("No picture yet.")
    assert page.texts(".box") == [] and page.find("#plate").is_displayed()


def test_a_file_can_be_dropped_and_pasted(page, files):
    deliver = """
        const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], "happy.jpg", { type: "image/jpeg" }));
        document.body.dispatchEvent(arguments[1] === "drop"
            ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: files, bubbles: true }));
    """
    content = base64.b64encode(files["happy.jpg"].read_bytes()).decode()
    for way in ("drop", "paste"):
        page.run(deliver, content, way)
        page.until_shows("happy")
        page.find("#clear").click()


def test_formats_that_only_one_side_can_read(page, site, files):
    assert site.post("/predict", content=files["happy.gif"].read_bytes()).status_code == 422
    page.choose(files["happy.gif"])
    page.until_shows("happy")
    page.choose(files["happy.tiff"])
    page.until_says("Your browser cannot show this kind of image.")
    assert page.texts(".face h3") == ["happy"] and page.find(".box").is_displayed()
    assert not page.find("#photo").is_displayed()


def test_the_visitor_chooses_how_faces_are_found(page, site, files):
    offered = page.run("return [...document.getElementById('detector').options].map(e => e.value)")
    assert offered == site.get("/models").json()["detectors"]
    page.choose(files["blank.png"])
    page.until_says("No face found. ")
    page.find("#detector option[value=whole]").click()
    page.until_says("One face: ")
    outside, box = (page.find(selector).rect for selector in ("#photo", ".box"))
    for side in ("x", "y", "width", "height"):
        assert box[side] == pytest.approx(outside[side], abs=1)


def test_no_face_is_a_sentence(page, files):
    page.choose(files["blank.png"])
    page.until_says("No face found. ")
    assert page.texts(".face:not(.is-ghost)") == page.texts(".box") == []
    assert page.find("#status").get_attribute("role") == "status"


def test_what_is_no_image_gets_the_servers_sentence(page, site, files):
    page.complaints = ["422 (Unprocessable"]
    reason = site.post("/predict", content=files["words.txt"].read_bytes()).json()["detail"]
    page.choose(files["words.txt"])
    page.until_says(f"{reason[:1].upper()}{reason[1:]}.")
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    assert "is-problem" not in page.find("#status").get_attribute("class")


# ---------------------------------------------------------------- live


def test_the_label_follows_the_webcam(page):
    page.find("#webcam").click()
    for emotion in ("happy", "surprise", "happy"):
        page.until_shows(emotion)
        page.until(lambda emotion=emotion: page.text(".box-label").startswith(f"{emotion} "))
    page.until(lambda: re.fullmatch(r"\d+\.\d", page.text("#rate")))
    assert re.fullmatch(r"\d+ ms", page.text("#latency"))
    assert page.texts("#strip-names li") == LABELS
    drawn = """
        const strips = document.getElementById("strips");
        return strips.getContext("2d").getImageData(0, 0, strips.width, strips.height).data.some(
            (value, index) => index % 4 === 3 && value > 50);
    """
    assert page.run(drawn)

    # The face is on the left: in a mirror it is on the right.
    centre = """
        const [box, picture] = [".box", "#picture"].map(
            (name) => document.querySelector(name)?.getBoundingClientRect());
        return box && (box.left + box.width / 2 - picture.left) / picture.width;
    """
    page.until(lambda: (page.run(centre) or 0) > 0.55)
    page.find("#mirror").click()
    page.until(lambda: (page.run(centre) or 1) < 0.45)

    sent = """return performance.getEntriesByType("resource")
        .filter(e => e.name.includes("/predict")).map(e => [e.startTime, e.responseEnd])"""
    requests = page.run(sent)
    assert len(requests) > 5
    assert all(end <= start + 1 for (_, end), (start, _) in itertools.pairwise(requests))

    page.find("#webcam").click()
    page.until_says("The webcam is off.")
    count = len(page.run(sent))
    page.browser.execute_async_script("setTimeout(arguments[0], 500)")
    assert len(page.run(sent)) <= count + 1
    assert page.texts(".box") == [] and not page.find("#timeline").is_displayed()
    assert page.run("return document.getElementById('video').srcObject") is None


def test_a_video_is_read_while_it_plays(page, files):
    page.choose(files["surprise.webm"])
    page.until_shows("surprise")
    assert page.find("#timeline").is_displayed() and not page.find("#mirror").is_displayed()


# ---------------------------------------------------------------- model


def test_the_model_and_its_accuracy(page):
    assert page.text("#version") == Classifier(MODEL).version[:12]
    assert page.text("#accuracy") == "71.2 %"
    assert "95 % interval 69.8 to 72.7 %" in page.text("#accuracy-note")
    assert "An expression is not a feeling." in page.text("#limits")
    assert "not kept" in page.text(".caption")


def test_without_a_model_the_page_says_so(chromium, serve, files, tmp_path):
    with serve(ready=False, MODEL_PATH=str(tmp_path / "absent.onnx")) as client:
        page = Page(chromium, str(client.base_url))
        page.open()
        page.until(lambda: "absent.onnx: cannot be read" in page.text("#accuracy-note"))
        page.choose(files["happy.jpg"])
        page.until_says("absent.onnx: cannot be read")
    page.choose(files["happy.jpg"])
    page.until_says("The server does not answer. Is it still running?")
    chromium.get_log("browser")


def test_a_key_is_asked_for_and_figures_that_are_not_there_are_not_shown(
    chromium, serve, model_path, files, tmp_path
):
    environment = {"MODEL_PATH": str(model_path), "METRICS_DIR": str(tmp_path)}
    with serve(**environment, API_KEY="schlüssel") as client:
        page = Page(chromium, str(client.base_url))
        page.open()
        assert page.text("#accuracy-note") == "This server asks for a key."
        page.find("#key").send_keys("wrong", Keys.ENTER)
        page.until(lambda: page.find("#key").is_displayed())
        page.find("#key").clear()
        page.find("#key").send_keys("schlüssel", Keys.ENTER)
        page.until(lambda: "not measured" in page.text("#accuracy-note"))
        assert not page.find("#measured").is_displayed()
        page.choose(files["happy.jpg"])
        page.until_says("One face: ")
    chromium.get_log("browser")


# ---------------------------------------------------------------- manners


def test_every_control_is_reached_by_keyboard_and_shows_it(page, files):
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    page.run("document.activeElement.blur()")
    tab_through(page, ["Limits", "Model", "API", "file", "webcam", "clear", "detector"])

    page.run("document.getElementById('webcam').focus()")
    webdriver.ActionChains(page.browser).send_keys(Keys.ENTER).perform()
    page.until(lambda: page.find("#mirror").is_displayed())
    webdriver.ActionChains(page.browser).send_keys(Keys.TAB, Keys.SPACE).perform()
    assert not page.find("#mirror").is_selected()
    assert outline(page) == "solid"


def tab_through(page, expected):
    """Press the tabulator; the controls come in this order, each with a visible focus."""
    for name in expected:
        webdriver.ActionChains(page.browser).send_keys(Keys.TAB).perform()
        focused = page.browser.switch_to.active_element
        assert name in (focused.get_attribute("id"), focused.text)
        assert outline(page) == "solid", name


def outline(page):
    return page.run("""
        const focused = document.activeElement;
        return getComputedStyle(focused.closest("label") ?? focused).outlineStyle;
    """)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(page, files, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    widest = "return document.documentElement.scrollWidth"
    assert page.run(widest) <= width
    page.choose(files["happy.jpg"])
    page.until_shows("happy")
    assert page.run(widest) <= width
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
