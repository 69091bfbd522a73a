"""The options `faces` and `align` of a request."""

from math import degrees
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.classifier import SIZE, Classifier
from recognizer.cropping import crop
from recognizer.detectors.base import Square
from recognizer.detectors.registry import build_detector
from recognizer.image import decode
from recognizer.recognizer import Recognizer

ASTRONAUT = Path(__file__).parents[2] / "docs" / "astronaut.jpg"


@pytest.fixture(scope="module")
def tilted():
    """A JPEG of a portrait, rotated by 20 degrees."""
    image = cv2.imread(str(ASTRONAUT))
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 20, 1)
    turned = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return cv2.imencode(".jpg", turned)[1].tobytes()


@pytest.mark.parametrize("align", [True, False])
def test_a_rotated_face_is_detected_and_aligned(server, model_path, tilted, align):
    query = {"faces": "yunet", "align": align, "min_confidence": 0.7}
    upright, face = (
        server.post("/predict", content=data, params=query).json()["faces"][0]
        for data in (ASTRONAUT.read_bytes(), tilted)
    )
    # YuNet underestimates the slope of the eyes of a rotated face.
    assert 10 < slope(face["eyes"]) - slope(upright["eyes"]) < 25
    (left, _), (right, _) = face["eyes"]
    assert face["box"]["x"] < left < right < face["box"]["x"] + face["box"]["width"]

    recognizer = Recognizer(Classifier(model_path), build_detector("yunet"), align=align)
    image = decode(tilted)
    expected = recognizer.recognize(image)[0]
    assert face["probabilities"] == expected.probabilities
    assert tuple(map(tuple, face["eyes"])) == expected.eyes
    if align:
        shown = cv2.cvtColor(crop(image.pixels, Square(**face["square"]), SIZE), cv2.COLOR_BGR2GRAY)
        (probabilities,) = Classifier(model_path).predict(shown[None])
        assert list(face["probabilities"].values()) == pytest.approx(probabilities, abs=1e-5)
        turned = face["square"]["angle"] - upright["square"]["angle"]
        # The alignment reduces every tilt by 7 degrees.
        assert -20 < degrees(turned) < -3


def slope(eyes):
    """Slope of the line between the eyes, in degrees; positive if it rises to the right."""
    (left, upper), (right, lower) = eyes
    return np.degrees(np.arctan2(upper - lower, right - left))


def test_alignment_changes_the_input_of_the_model(server, tilted):
    answers = [
        server.post("/predict", content=tilted, params=options).json()
        for options in ({}, {"faces": "yunet", "align": True}, {"align": False})
    ]
    first, same, other = (answer["faces"][0]["probabilities"] for answer in answers)
    assert first == same and first != other


def test_all_routes_return_the_same_face(server, tilted):
    (face, *_) = server.post("/predict", content=tilted).json()["faces"]
    batch = server.post("/predict/batch?faces=yunet", files=[("files", ("a.jpg", tilted))])
    assert batch.json()["results"][0]["faces"][0] == face
    form = {"detector_backend": "yunet"}
    analysis = server.post("/analyze", files={"img": ("a.jpg", tilted)}, data=form)
    region = analysis.json()["results"][0]["region"]
    # `left_eye` is from the person's view; `eyes` are ordered from left to right in the image.
    assert region["right_eye"] == [round(length) for length in face["eyes"][0]]
    assert region["left_eye"] == [round(length) for length in face["eyes"][1]]
