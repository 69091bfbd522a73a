import base64
import json
from pathlib import Path

import cv2
import pytest
from PIL import Image

from recognizer.classifier import Classifier
from tests.chromium_fixture import open_chromium
from tests.page_fixture import (
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
    """Files to choose, by name."""
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
    (folder / "words.txt").write_text("no image")
    (folder / "broken.mp4").write_text("no video")
    # A hard cut from one person to another in the same place, then nobody.
    happy, surprise = (
        scene((emotion, (40, 40), 160), ground=ground)
        for emotion, ground in ((HAPPY, DARK), (SURPRISE, LIGHT))
    )
    write_video(folder / "cut.webm", [happy] * 15 + [surprise] * 15 + [scene()] * 10)
    write_video(folder / "jumps.webm", ([LEFT] * 4 + [RIGHT] * 4) * 4)
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


@pytest.fixture(scope="session")
def chromium(camera, tmp_path_factory):
    """A Chromium without a window that can reach this machine only."""
    flags = (
        "use-fake-device-for-media-stream",
        "use-fake-ui-for-media-stream",
        f"use-file-for-fake-video-capture={camera}",
        "window-size=1280,900",
    )
    profile = tmp_path_factory.mktemp("profile")
    with open_chromium(profile, *flags, logs=("browser", "performance")) as browser:
        yield browser


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
