"""POST /predict against a live server: what it answers, and what it refuses."""

import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognizer.classifier import Classifier
from tests.model_fixture import LABELS
from tests.portrait_fixture import portrait


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


FACE = np.random.default_rng(3).integers(0, 256, (48, 48), dtype=np.uint8)
BLANK = png(np.full((120, 160), 128, np.uint8))


def post(client, content, content_type="application/octet-stream", **query):
    return client.post(
        "/predict", content=content, headers={"content-type": content_type}, params=query
    )


def detail(answer, status):
    """The sentence of an error, after checking that the answer is a proper one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["detail"]
    sentence = answer.json()["detail"]
    assert isinstance(sentence, str) and "\n" not in sentence and "Traceback" not in sentence
    return sentence


# ---------------------------------------------------------------- answers


def test_form_and_raw_body_give_the_same_faces(server, photo, model_path):
    form = server.post("/predict", files={"file": ("photo.jpg", photo, "image/jpeg")})
    assert form.status_code == 200, form.text
    answer = form.json()
    assert answer["image"] == {"width": 640, "height": 480}
    version = sha256(model_path.read_bytes()).hexdigest()
    assert answer["model"] == {"name": "emotion", "version": version, "dataset": "tiny"}
    (face,) = answer["faces"]
    assert 200 < face["box"]["x"] + face["box"]["width"] / 2 < 440
    assert 0.5 < face["confidence"] < 1
    assert list(face["probabilities"]) == list(LABELS)
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert max(face["probabilities"], key=face["probabilities"].get) == face["emotion"]

    for content_type in ("image/jpeg", "IMAGE/JPEG; q=1", "application/octet-stream"):
        assert post(server, photo, content_type).json() == answer
    assert server.post("/predict", content=photo).json() == answer


def test_whole_image_is_one_face_and_reaches_the_model_unchanged(server, model_path):
    answer = post(server, png(FACE), "image/png", faces="whole").json()
    (face,) = answer["faces"]
    assert face["box"] == {"x": 0, "y": 0, "width": 48, "height": 48}
    expected = Classifier(model_path).predict(FACE[None])[0]
    np.testing.assert_allclose(list(face["probabilities"].values()), expected, atol=1e-6)


def test_no_face_is_an_empty_list(server):
    answer = post(server, BLANK, "image/png")
    assert answer.status_code == 200
    assert answer.json()["faces"] == []
    assert answer.json()["image"] == {"width": 160, "height": 120}


def test_sixteen_clients_get_the_serial_answers(server):
    scenes = [portrait((10 * k, 8 * k), 200 + k, seed=k) for k in range(16)]
    files = [cv2.imencode(".jpg", scene)[1].tobytes() for scene in scenes]
    queries = [(data, faces) for data in files for faces in ("haar", "whole")]
    serial = [post(server, data, "image/jpeg", faces=faces).json() for data, faces in queries]
    assert sum(bool(answer["faces"]) for answer in serial) > len(files)
    start = threading.Barrier(16)

    def ask_all(number):
        with httpx.Client(base_url=server.base_url, timeout=60) as client:
            start.wait()
            # Each client begins elsewhere, so that different images meet at every moment.
            order = [(number * 5 + k) % len(queries) for k in range(len(queries))][:12]
            return [(k, post(client, queries[k][0], faces=queries[k][1]).json()) for k in order]

    with ThreadPoolExecutor(16) as pool:
        for answers in pool.map(ask_all, range(16)):
            for k, answer in answers:
                assert answer == serial[k]


# ---------------------------------------------------------------- refusals


def test_what_is_no_image(server):
    assert "empty" in detail(post(server, b""), 422)
    assert "expected JPEG, PNG" in detail(post(server, b"hello"), 422)
    assert "damaged" in detail(post(server, BLANK[:-20], "image/png"), 422)
    form = server.post("/predict", files={"file": ("photo.jpg", b"", "image/jpeg")})
    assert "empty" in detail(form, 422)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded", "x"]
)
def test_other_content_types(server, photo, content_type):
    assert "send the image in a form's field" in detail(post(server, photo, content_type), 415)


def test_forms_without_the_file(server, photo):
    wrong_name = server.post("/predict", files={"image": ("photo.jpg", photo, "image/jpeg")})
    assert "no file in a field named 'file'" in detail(wrong_name, 400)
    text = server.post("/predict", files={"file": (None, "words")})
    assert "no file in a field named 'file'" in detail(text, 400)
    two = [("file", ("1.jpg", photo, "image/jpeg")), ("file", ("2.jpg", photo, "image/jpeg"))]
    assert "Too many files" in detail(server.post("/predict", files=two), 400)


@pytest.mark.parametrize("faces", ["yolo", "", "HAAR"])
def test_unknown_detector(server, photo, faces):
    sentence = detail(post(server, photo, faces=faces), 422)
    assert sentence.startswith("query parameter faces: input should be 'haar' or 'whole'")
    assert repr(faces) in sentence


def test_too_many_pixels_are_refused_by_the_header(server):
    claimed = BLANK[:16] + struct.pack(">II", 60_000, 60_000) + BLANK[24:]
    assert "60000×60000" in detail(post(server, claimed, "image/png"), 413)
    noise = png(np.zeros((1001, 1000), np.uint8))
    assert "at most 1,000,000" in detail(post(server, noise, "image/png"), 413)


def test_too_many_bytes(server):
    large = bytes(300_001)
    assert "larger than 300,000 bytes" in detail(post(server, large, "image/png"), 413)
    form = server.post("/predict", files={"file": ("photo.jpg", large, "image/jpeg")})
    assert "larger than 300,000 bytes" in detail(form, 413)
    chunks = (bytes(50_000) for _ in range(7))
    assert "larger than 300,000 bytes" in detail(post(server, chunks, "image/png"), 413)
    assert detail(post(server, bytes(300_000), "image/png"), 422)


def test_other_methods_and_paths_are_json_too(server):
    assert detail(server.get("/predict"), 405)
    assert detail(server.post("/nothing"), 404)


def talk(client, *parts):
    """Send bytes as they are and return the answer, without ever ending the request."""
    address = client.base_url.host, client.base_url.port
    with socket.create_connection(address, timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while b"}" not in answer:
            received = connection.recv(65536)
            assert received, answer
            answer += received
    return answer.decode()


HEAD = b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"


def test_a_declared_length_is_refused_before_a_byte_is_sent(server):
    answer = talk(server, HEAD, b"Content-Length: 1000000000000\r\n\r\n")
    assert answer.startswith("HTTP/1.1 413")
    assert "larger than 300,000 bytes" in answer


def test_an_endless_body_is_refused_where_it_passes_the_limit(server):
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    answer = talk(server, HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 5)
    assert answer.startswith("HTTP/1.1 413")


def test_a_request_that_breaks_off_harms_nobody(server, photo):
    address = server.base_url.host, server.base_url.port
    for _ in range(5):
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
    assert post(server, photo).status_code == 200
    assert "Traceback" not in server.log.read_text()


FORM = (
    b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n" + BLANK + b"\r\n--frontier--\r\n"
)


def test_the_form_that_is_mutilated_below_is_a_good_one(server):
    assert post(server, FORM, "multipart/form-data; boundary=frontier").status_code == 200


@given(
    st.one_of(
        st.just(b"multipart/form-data; boundary=frontier"),
        st.sampled_from([b"multipart/form-data", b"multipart/form-data; boundary="]),
        st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30).map(
            lambda tail: (b"multipart/form-data; boundary=" + tail.encode("latin-1")).strip()
        ),
    ),
    st.data(),
)
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutilated_forms_are_never_the_servers_fault(server, content_type, draw):
    body = bytearray(FORM)
    for _ in range(draw.draw(st.integers(0, 4))):
        start = draw.draw(st.integers(0, len(body)))
        end = start + draw.draw(st.integers(0, 30))
        body[start:end] = draw.draw(
            st.binary(max_size=5) | st.sampled_from([b"\r\n", b"--frontier", b"\r\n\r\n", b'"'])
        )
    answer = post(server, bytes(body), content_type)
    assert answer.status_code in {200, 400, 413, 422}, answer.text
    if answer.status_code != 200:
        detail(answer, answer.status_code)
