import base64
import json
from pathlib import Path

import cv2
import pytest
from PIL import Image

from recognizer.classifier import Classifier
from tests.chromium_fixture import open_chromium
from tests.page_fixture import (
    ANGRY,
    DARK,
    HAPPY,
    LEFT,
    LIGHT,
    RIGHT,
    SURPRISE,
    Page,
    scene,
    write_video,
)

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "models" / "sample" / "model.onnx"


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Files for the page, by name."""
    folder = tmp_path_factory.mktemp("files")
    portrait = scene((HAPPY, (200, 120), 240), shape=(480, 640))
    for name in ("happy.jpg", "happy.tiff"):
        assert cv2.imwrite(str(folder / name), portrait)
    content = base64.b64encode((folder / "happy.jpg").read_bytes()).decode()
    (folder / "happy.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480">'
        f'<image href="data:image/jpeg;base64,{content}" width="640" height="480"/></svg>'
    )
    grid = [
        (HAPPY, (30 + 200 * column, 20 + 200 * row), 160)
        for row in (0, 1, 2)
        for column in range(4)
    ]
    assert cv2.imwrite(str(folder / "crowd.png"), scene(*grid, shape=(620, 820)))
    pair = [(HAPPY, (30, 150), 200), (SURPRISE, (400, 150), 200)]
    assert cv2.imwrite(str(folder / "pair.png"), scene(*pair, shape=(480, 640)))
    first, second = Image.fromarray(LEFT), Image.fromarray(RIGHT)
    first.save(folder / "jumps.gif", append_images=[second], save_all=True, duration=100, loop=0)
    assert cv2.imwrite(str(folder / "blank.png"), scene())
    (folder / "text.txt").write_text("no image")
    (folder / "broken.mp4").write_text("no video")
    # A hard cut from one person to another in the same place, then an empty scene.
    happy, angry = (
        scene((emotion, (40, 40), 160), ground=ground)
        for emotion, ground in ((HAPPY, DARK), (ANGRY, LIGHT))
    )
    write_video(folder / "cut.webm", [happy] * 15 + [angry] * 15 + [scene()] * 10)
    # A busy machine samples one frame per second, so each scene is longer than a second.
    write_video(folder / "jumps.webm", ([LEFT] * 12 + [RIGHT] * 12) * 2)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def camera(tmp_path_factory):
    """A webcam's picture as YUV4MPEG2: happy at the left, then surprised at the right."""
    path = tmp_path_factory.mktemp("camera") / "faces.y4m"
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W320 H240 F10:1 Ip A1:1 C420jpeg\n")
        for image in (LEFT, RIGHT):
            file.write((b"FRAME\n" + image.tobytes() + bytes([128]) * (image.size // 2)) * 20)
    return path


@pytest.fixture(scope="session")
def site(serve, tmp_path_factory):
    """A client of a live server with the model of the sample and metrics of this model."""
    if not MODEL.is_file():
        pytest.skip("models/sample/model.onnx is absent: make repro builds it")
    metrics = tmp_path_factory.mktemp("metrics")
    (metrics / "sample").mkdir()
    evaluation = {
        "PrivateTest": {"accuracy": 0.7123, "accuracy_low": 0.698, "accuracy_high": 0.7266},
        "model": {"version": Classifier(MODEL).version[:12]},
    }
    (metrics / "sample" / "evaluation.json").write_text(json.dumps(evaluation))
    with serve(MODEL_PATH=str(MODEL), METRICS_DIR=str(metrics)) as client:
        # Chromium reports violations of the policy on its console.
        assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
        yield client


@pytest.fixture(scope="session")
def browser(camera, tmp_path_factory):
    """A headless Chromium that can reach this machine only, with `camera` as its webcam."""
    flags = (
        "use-fake-device-for-media-stream",
        "use-fake-ui-for-media-stream",
        f"use-file-for-fake-video-capture={camera}",
        "window-size=1280,900",
    )
    profile = tmp_path_factory.mktemp("profile")
    with open_chromium(profile, *flags, logs=("browser", "performance")) as driver:
        yield driver


@pytest.fixture
def page(browser, site):
    """The page, just opened. At the end: no console message, and no request to another host."""
    address = str(site.base_url)
    page = Page(browser, address)
    page.expected_messages = []
    browser.get_log("performance")  # entries of former pages
    page.open()
    yield page
    requests = [
        event["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (event := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    browser.get("about:blank")
    assert any(url.startswith(address) for url in requests)
    own = (address, "blob:", "data:")
    assert [url for url in requests if not url.startswith(own)] == []
    messages = [entry["message"] for entry in browser.get_log("browser")]
    unexpected = [
        message
        for message in messages
        if not any(expected in message for expected in page.expected_messages)
    ]
    assert unexpected == []
