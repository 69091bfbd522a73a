"""The detectors and the alignment that a request can ask for, and a server that lacks one."""

from math import degrees
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from tests.yunet_fixture import YUNET, needs_yunet

from api.app import create_app
from api.settings import Settings
from recognizer.classifier import Classifier
from recognizer.faces import Square, build_detector, cut_out
from recognizer.image import decode
from recognizer.recognizer import Recognizer

ASTRONAUT = Path(__file__).parents[2] / "docs" / "astronaut.jpg"


@pytest.fixture(scope="module")
def tilted():
    """A PNG of a portrait turned by 20 degrees."""
    image = cv2.imread(str(ASTRONAUT), cv2.IMREAD_GRAYSCALE)
    height, width = image.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 20, 1)
    turned = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return cv2.imencode(".png", turned)[1].tobytes()


@pytest.fixture(scope="module")
def equipped(serve_app, model_path):
    """A server that has every detector."""
    with serve_app(create_app(Settings(model_path=model_path, yunet_path=YUNET))) as client:
        assert client.get("/readyz").status_code == 200
        yield client


@needs_yunet
@pytest.mark.parametrize("align", [True, False])
def test_yunet_finds_a_turned_face_and_its_eyes(equipped, model_path, tilted, align):
    query = {"faces": "yunet", "align": align, "min_confidence": 0.7}
    upright, face = (
        equipped.post("/predict", content=data, params=query).json()["faces"][0]
        for data in (ASTRONAUT.read_bytes(), tilted)
    )
    # The network gives turned eyes a little too level.
    assert 10 < slope(face["eyes"]) - slope(upright["eyes"]) < 25
    (left, _), (right, _) = face["eyes"]
    assert face["box"]["x"] < left < right < face["box"]["x"] + face["box"]["width"]

    recognizer = Recognizer(Classifier(model_path), build_detector("yunet", YUNET), align=align)
    expected = recognizer.recognize(decode(tilted))[0]
    assert face["probabilities"] == expected.probabilities
    assert tuple(map(tuple, face["eyes"])) == expected.eyes
    if align:
        shown = cut_out(decode(tilted), Square(**face["square"]))
        (probabilities,) = Classifier(model_path).predict(shown[None])
        assert list(face["probabilities"].values()) == pytest.approx(probabilities, abs=1e-5)
        turned = face["square"]["angle"] - upright["square"]["angle"]
        assert -25 < degrees(turned) < -15


def slope(eyes):
    """Degrees by which the line between the eyes rises to the image's right."""
    (left, upper), (right, lower) = eyes
    return np.degrees(np.arctan2(upper - lower, right - left))


@needs_yunet
def test_alignment_and_enhancement_change_what_the_model_sees(equipped, tilted):
    answers = [
        equipped.post("/predict", content=tilted, params={"faces": "yunet", **options}).json()
        for options in (
            {},
            {"align": True, "enhance": "none"},
            {"align": False},
            {"enhance": "contrast"},
            {"enhance": "denoise"},
        )
    ]
    seen = [tuple(answer["faces"][0]["probabilities"].values()) for answer in answers]
    assert seen[0] == seen[1] and len(set(seen)) == 4


@needs_yunet
def test_every_way_to_ask_knows_yunet(equipped, tilted):
    (face, *_) = equipped.post("/predict?faces=yunet", content=tilted).json()["faces"]
    batch = equipped.post("/predict/batch?faces=yunet", files=[("files", ("a.png", tilted))])
    assert batch.json()["results"][0]["faces"][0] == face
    form = {"detector_backend": "yunet"}
    analysis = equipped.post("/analyze", files={"img": ("a.png", tilted)}, data=form)
    region = analysis.json()["results"][0]["region"]
    # Left is the person's own left here, and the image's left there.
    assert region["right_eye"] == [round(length) for length in face["eyes"][0]]
    assert region["left_eye"] == [round(length) for length in face["eyes"][1]]
    assert equipped.get("/models").json()["detectors"] == ["haar", "yunet", "whole"]


@pytest.fixture
def unequipped(serve_app, model_path, tmp_path, monkeypatch):
    """A server in a folder where nobody ran `make detector`."""
    monkeypatch.chdir(tmp_path)
    with serve_app(create_app(Settings(model_path=model_path))) as client:
        yield client


def test_a_server_without_yunet_says_so_and_takes_no_other(unequipped, photo):
    server = unequipped
    assert server.get("/readyz").status_code == 200
    assert server.get("/models").json()["detectors"] == ["haar", "whole"]
    for answer in (
        server.post("/predict?faces=yunet", content=photo),
        server.post("/predict/batch?faces=yunet", files=[("files", ("a.jpg", photo))]),
    ):
        assert answer.status_code == 422
        detail = answer.json()["detail"]
        assert detail.startswith("this server has no detector 'yunet': ")
        assert "make detector" in detail
    form = {"detector_backend": "yunet"}
    analysis = server.post("/analyze", files={"img": ("a.jpg", photo)}, data=form)
    assert analysis.status_code == 422 and analysis.json() == {"error": detail}


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "cannot be read"), (b"other", "its SHA-256 is d9298a10")]
)
def test_a_detector_that_the_settings_name_must_be_there(
    serve_app, model_path, photo, tmp_path, content, reason
):
    path = tmp_path / "yunet.onnx"
    if content is not None:
        path.write_bytes(content)
    with serve_app(create_app(Settings(model_path=model_path, yunet_path=path))) as client:
        for answer in (client.get("/readyz"), client.post("/predict?faces=yunet", content=photo)):
            assert answer.status_code == {"/readyz": 503}.get(answer.url.path, 422)
            assert str(path) in answer.json()["detail"] and reason in answer.json()["detail"]
        assert client.post("/predict", content=photo).status_code == 200


@needs_yunet
def test_another_digest_can_be_asked_for(serve_app, model_path):
    wrong = Settings(model_path=model_path, yunet_path=YUNET, yunet_sha256="0" * 64)
    with serve_app(create_app(wrong)) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503 and f"expected {'0' * 64}" in answer.json()["detail"]
    with pytest.raises(ValidationError):
        Settings(yunet_sha256="short")
