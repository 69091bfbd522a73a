"""POST /analyze of a live server: the emotion in the format of DeepFace."""

from base64 import b64encode, urlsafe_b64encode

import cv2
import numpy as np
import pytest

from recognizer.classifier import Classifier
from tests.model_fixture import LABELS

FACE = np.random.default_rng(3).integers(0, 256, (48, 48), dtype=np.uint8)
BLANK = cv2.imencode(".png", np.full((120, 160), 128, np.uint8))[1].tobytes()


def encoded(data):
    return b64encode(data).decode()


def url_safe_base64(data):
    """As in JSON Web Tokens: URL-safe alphabet, without padding."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def error(answer, status=400):
    """The sentence of an error, after a check of the shape of the response."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    sentence = answer.json()["error"]
    assert "\n" not in sentence and "Traceback" not in sentence
    return sentence


def test_the_response_has_the_format_of_deepface(server, photo, model_path):
    answer = server.post("/analyze", json={"img": f"data:image/jpeg;base64,{encoded(photo)}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-model-version"] == Classifier(model_path).version
    assert list(answer.json()) == ["results"]
    (face,) = answer.json()["results"]
    assert list(face) == ["emotion", "dominant_emotion", "region", "face_confidence"]
    assert list(face["emotion"]) == list(LABELS)
    assert sum(face["emotion"].values()) == pytest.approx(100, abs=1e-2)
    assert max(face["emotion"], key=face["emotion"].get) == face["dominant_emotion"]

    (same,) = server.post("/predict", content=photo).json()["faces"]
    percentages = {name: 100 * p for name, p in same["probabilities"].items()}
    assert face["emotion"] == pytest.approx(percentages, abs=1e-3)
    assert face["face_confidence"] == same["confidence"]
    region = face["region"]
    assert [region[side] for side in "xywh"] == list(same["box"].values())
    if same["eyes"] is None:
        assert region["left_eye"] is region["right_eye"] is None
    else:
        # The person's left eye is on the right of the image.
        right, left = ([round(length) for length in eye] for eye in same["eyes"])
        assert (region["left_eye"], region["right_eye"]) == (left, right)
        assert region["left_eye"][0] > region["right_eye"][0]


@pytest.mark.parametrize("actions", [["emotion"], "emotion", "['emotion']", '("emotion",)'])
def test_all_encodings_give_the_same_response(server, photo, actions):
    expected = server.post("/analyze", json={"img": encoded(photo)}).json()
    options = {"actions": actions, "detector_backend": "opencv"}
    assert server.post("/analyze", json={"img": encoded(photo), **options}).json() == expected
    file = {"img": ("photo.jpg", photo, "image/jpeg")}
    assert server.post("/analyze", files=file, data=options).json() == expected
    text = {"img": encoded(photo), **options}
    assert server.post("/analyze", data=text).json() == expected
    url_safe = {"img": url_safe_base64(photo), **options}
    assert server.post("/analyze", json=url_safe).json() == expected
    multipart = {name: (None, str(value)) for name, value in text.items()}
    assert server.post("/analyze", files=multipart).json() == expected


def test_a_form_may_repeat_the_action(server, photo):
    file = {"img": ("photo.jpg", photo, "image/jpeg")}
    assert server.post("/analyze", files=file, data={"actions": ["emotion"]}).status_code == 200
    two = server.post("/analyze", files=file, data={"actions": ["emotion", "age"]})
    assert error(two) == "form field actions.1: input should be 'emotion' (found 'age')"


@pytest.mark.parametrize("backend", ["skip", "whole"])
def test_without_a_detector_the_whole_image_is_one_face(server, model_path, backend):
    data = cv2.imencode(".png", FACE)[1].tobytes()
    answer = server.post("/analyze", json={"img": encoded(data), "detector_backend": backend})
    (face,) = answer.json()["results"]
    expected = 100 * Classifier(model_path).predict(FACE[None])[0]
    np.testing.assert_allclose(list(face["emotion"].values()), expected, atol=1e-3)
    sides = {"x": 0, "y": 0, "w": 48, "h": 48, "left_eye": None, "right_eye": None}
    assert face["region"] == sides
    assert face["face_confidence"] == 0


def test_no_face_is_an_error_unless_detection_is_not_enforced(server):
    assert error(server.post("/analyze", json={"img": encoded(BLANK)})).startswith(
        "img: no face was detected"
    )
    file = {"img": ("blank.png", BLANK, "image/png")}
    for enforce in ("true", "True", "1"):
        answer = server.post("/analyze", files=file, data={"enforce_detection": enforce})
        assert "no face" in error(answer)
    for answer in (
        server.post("/analyze", json={"img": encoded(BLANK), "enforce_detection": False}),
        server.post("/analyze", files=file, data={"enforce_detection": "false"}),
    ):
        (face,) = answer.json()["results"]
        assert (face["region"]["w"], face["region"]["h"]) == (160, 120)
        assert face["face_confidence"] == 0
    options = {"enforce_detection": "false", "min_probability": "1"}
    (face,) = server.post("/analyze", files=file, data=options).json()["results"]
    assert face["dominant_emotion"] is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"actions": ["age"]}, "actions.0: input should be 'emotion' (found 'age')"),
        ({"actions": ["emotion", "race"]}, "actions.1: input should be 'emotion'"),
        ({"actions": "age, gender"}, "actions.0: input should be 'emotion' (found 'age')"),
        ({"actions": []}, "actions: list should have at least 1 item"),
        ({"actions": ""}, "actions: list should have at least 1 item"),
        ({"actions": 5}, "actions: input should be a valid"),
        (
            {"detector_backend": "retinaface"},
            "detector_backend: input should be 'opencv', 'yunet', 'skip' or 'whole'",
        ),
        ({"enforce_detection": "perhaps"}, "enforce_detection: input should be a valid boolean"),
        ({"anti_spoofing": True}, "anti_spoofing: not supported, expected false"),
        ({"img": 5}, "img: expected a string, the file in base64"),
        ({"img": None}, "img: expected a string, the file in base64"),
        ({"silent": True}, "silent: unknown: "),
        ({"faces": "whole"}, "faces: unknown: "),
    ],
)
def test_unsupported_options(server, photo, options, sentence):
    body = {"img": encoded(photo), **options}
    assert error(server.post("/analyze", json=body)).startswith(f"JSON field {sentence}")


@pytest.mark.parametrize(
    "img",
    [
        "https://example.org/face.jpg",
        "http://127.0.0.1:1/",
        "file:///etc/hostname",
        "/etc/hostname",
        "../../README.md",
        "docs/astronaut.jpg",
        "data:image/jpeg,AAAA",
        "data:text/plain;base64,AA=A",
    ],
)
def test_urls_and_paths_are_never_opened(server, img):
    for way, answer in (
        ("JSON", server.post("/analyze", json={"img": img})),
        ("form", server.post("/analyze", data={"img": img})),
    ):
        assert error(answer).startswith(f"{way} field img: expected the file in base64")
        assert error(answer).endswith("; URLs and paths are never opened")


def test_a_path_that_is_base64_is_no_image(server):
    assert "expected JPEG" in error(server.post("/analyze", json={"img": "/dev/fd0"}))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 500])
def test_json_that_cannot_be_parsed(server, content):
    headers = {"content-type": "application/json"}
    assert error(server.post("/analyze", content=content, headers=headers))


def test_other_refusals(server, photo):
    assert "img: the image is empty" in error(server.post("/analyze", json={"img": ""}))
    assert "img: field required" in error(server.post("/analyze", json={}))
    assert "img: field required" in error(server.post("/analyze", data={"actions": "emotion"}))
    assert "field file: unknown" in error(server.post("/analyze", files={"file": ("a", photo)}))
    assert "damaged" in error(server.post("/analyze", json={"img": encoded(BLANK[:-20])}))
    assert "send JSON" in error(server.post("/analyze", content=photo), 415)
    large = cv2.imencode(".png", np.zeros((1001, 1000), np.uint8))[1].tobytes()
    assert "too many pixels" in error(server.post("/analyze", json={"img": encoded(large)}), 413)
    assert "larger than" in error(server.post("/analyze", json={"img": "A" * 300_000}), 413)
    unknown = server.post("/analyze?version=00000000", json={"img": encoded(photo)})
    assert "no version '00000000'" in error(unknown, 404)
