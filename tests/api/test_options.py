"""Options in the query, in a form and in JSON: the effect is the same, and none is ignored."""

from base64 import b64encode
from pathlib import Path
from typing import get_args

import pytest

from api.deepface.schemas import BACKENDS, Backend
from api.options import DetectorName
from recognizer.detectors.registry import DETECTORS

ASTRONAUT = (Path(__file__).parents[2] / "docs" / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="module")
def post(server):
    """A function that posts the portrait with options in the query and in the body."""

    def send(path, way, query=(), body=None):
        body = body or {}
        if way == "JSON":
            name = "img" if path == "/analyze" else "image"
            content = {name: b64encode(ASTRONAUT).decode(), **body}
            return server.post(path, params=query, json=content)
        name = {"/predict": "file", "/predict/batch": "files", "/analyze": "img"}[path]
        return server.post(path, params=query, data=body, files={name: ("a.jpg", ASTRONAUT)})

    return send


def faces_in(answer):
    """The faces in the response of any route."""
    assert answer.status_code == 200, answer.text
    content = answer.json()
    if "results" not in content:
        return content["faces"]
    results = content["results"]
    return results[0].get("faces", results)


def widths_in(answer):
    """The widths of all boxes in the response of any route."""
    boxes = [face.get("box") or face["region"] for face in faces_in(answer)]
    return [box.get("width", box.get("w")) for box in boxes]


WAYS = [
    ("/predict", "form"),
    ("/predict", "JSON"),
    ("/predict/batch", "form"),
    ("/analyze", "form"),
    ("/analyze", "JSON"),
]


def whole(path):
    """The option that takes the whole image as one face."""
    return {"detector_backend": "skip"} if path == "/analyze" else {"faces": "whole"}


def test_the_names_of_the_detectors_are_those_of_the_recognizer():
    assert get_args(DetectorName) == tuple(DETECTORS)
    assert get_args(Backend) == tuple(BACKENDS)


@pytest.mark.parametrize(("path", "way"), WAYS)
def test_an_option_has_the_same_effect_in_each_place(post, path, way):
    (found,) = widths_in(post(path, way))
    assert found < 512
    same = [
        post(path, way, query=whole(path)),
        post(path, way, body=whole(path)),
        post(path, way, query=whole(path), body=whole(path)),
    ]
    assert [widths_in(answer) for answer in same] == [[512]] * 3
    # One option in the query, another one in the body.
    assert widths_in(post(path, way, whole(path), {"min_confidence": 1})) == [512]


def emotions_in(answer):
    """The emotion of each face, and its highest probability, in the response of any route."""
    return [
        (face["emotion"], max(face["probabilities"].values()))
        if "probabilities" in face
        else (face["dominant_emotion"], max(face["emotion"].values()) / 100)
        for face in faces_in(answer)
    ]


@pytest.mark.parametrize(("path", "way"), WAYS)
@pytest.mark.parametrize("place", ["query", "body"])
def test_below_the_minimum_probability_the_emotion_is_null(post, path, way, place):
    ((emotion, probability),) = emotions_in(post(path, way))
    assert emotion
    below, above = probability - 1e-5, (1 + probability) / 2
    answer = post(path, way, **{place: {"min_probability": below}})
    assert emotions_in(answer) == [(emotion, probability)]
    answer = post(path, way, **{place: {"min_probability": above}})
    assert emotions_in(answer) == [(None, probability)]


@pytest.mark.parametrize(("path", "way"), WAYS[:3])
def test_the_minimum_confidence_in_a_body(post, path, way):
    assert faces_in(post(path, way, body={"min_confidence": "0.5"})) != []
    assert faces_in(post(path, way, body={"min_confidence": "1"})) == []


@pytest.mark.parametrize("place", ["query", "body"])
@pytest.mark.parametrize("way", ["form", "JSON"])
def test_analyze_with_a_minimum_confidence(post, way, place):
    assert faces_in(post("/analyze", way, **{place: {"min_confidence": "0.5"}})) != []
    answer = post("/analyze", way, **{place: {"min_confidence": "1"}})
    assert answer.status_code == 400 and "no face was detected" in answer.json()["error"]


def sentence(answer):
    """The sentence of a response with status 400 or 422."""
    assert answer.status_code in {400, 422}, answer.text
    (text,) = answer.json().values()
    return text


@pytest.mark.parametrize(("path", "way"), WAYS)
def test_different_values_in_query_and_body_are_refused(post, path, way):
    answer = post(path, way, {"min_confidence": 0.5}, {"min_confidence": 0.9})
    assert sentence(answer) == f"min_confidence is 0.5 in the query, but 0.9 in the {way}"
    # The values are compared, not their spelling.
    assert faces_in(post(path, way, {"min_confidence": "0.50"}, {"min_confidence": 0.5})) != []


@pytest.mark.parametrize(("path", "way"), WAYS)
def test_the_error_for_an_unknown_name_suggests_the_nearest_one(post, path, way):
    hint = "unknown: did you mean min_confidence?"
    query = post(path, way, query={"min_confidense": 0.9})
    assert sentence(query) == f"query parameter min_confidense: {hint}"
    body = post(path, way, body={"min_confidense": 0.9})
    assert sentence(body) == f"{way} field min_confidense: {hint}"
    assert "unknown: expected model, version, " in sentence(post(path, way, query={"q": "1"}))


@pytest.mark.parametrize(("path", "way"), WAYS)
@pytest.mark.parametrize("name", ["a\nb", "\0", "\u2028", "x" * 1000])
def test_an_unprintable_name_stays_on_one_line(post, path, way, name):
    query = sentence(post(path, way, query={name: "1"}))
    assert query.startswith("query parameter ") and len(query.splitlines()) == 1
    assert len(query) < 300
    if way == "JSON":  # in a form, the client's library would escape it
        body = sentence(post(path, way, body={name: "1"}))
        assert body.startswith("JSON field ") and len(body.splitlines()) == 1


@pytest.mark.parametrize(("path", "way"), WAYS)
def test_the_error_for_a_value_out_of_range_names_its_place(post, path, way):
    query = sentence(post(path, way, query={"min_confidence": 2}))
    assert query.startswith("query parameter min_confidence: input should be less than or equal")
    body = sentence(post(path, way, body={"min_confidence": 2}))
    assert body.startswith(f"{way} field min_confidence: input should be less than or equal to 1")


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/analyze"])
def test_an_option_with_two_values_is_refused(post, path):
    twice = {"min_confidence": ["0.5", "0.9"]}
    expected = "min_confidence is given twice: '0.5' and '0.9'"
    assert sentence(post(path, "form", query=twice)) == f"query parameter {expected}"
    assert sentence(post(path, "form", body=twice)) == f"form field {expected}"
    assert faces_in(post(path, "form", query={"min_confidence": ["0.5", "0.5"]})) != []


@pytest.mark.parametrize("path", ["/models", "/v2", "/v2/models/emotion"])
def test_a_route_without_options_refuses_all(server, path):
    answer = server.get(path, params={"faces": "whole"})
    assert answer.status_code == 422
    assert sentence(answer) == "query parameter faces: unknown: expected none"


def test_a_misspelled_version(server):
    assert sentence(server.get("/model?versoin=1")) == (
        "query parameter versoin: unknown: did you mean version?"
    )
