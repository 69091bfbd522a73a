"""POST /predict of a live server: predictions and refusals."""

import socket
import struct
import tempfile
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.app import create_app
from api.settings import Settings
from recognizer.classifier import Classifier
from recognizer.detectors.registry import build_detector
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
    """The sentence of an error, after a check of the shape of the response."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["detail"]
    sentence = answer.json()["detail"]
    assert isinstance(sentence, str) and "\n" not in sentence and "Traceback" not in sentence
    return sentence


# ---------------------------------------------------------------- predictions


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


def test_images_are_never_written_to_disk(serve_app, model_path, monkeypatch):
    def refuse(file):
        raise AssertionError("a temporary file is written")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    large = png(np.random.default_rng(0).integers(0, 256, (1500, 1500), np.uint8))
    assert len(large) > 2**21
    with serve_app(create_app(Settings(model_path=model_path))) as client:
        for path, field in (
            ("/predict?faces=whole", "file"),
            ("/predict/batch?faces=whole", "files"),
            ("/analyze", "img"),
        ):
            files = [(field, ("noise.png", large))]
            data = {"detector_backend": "skip"} if path == "/analyze" else {}
            answer = client.post(path, files=files, data=data)
            assert answer.status_code == 200, answer.text


def test_json_with_base64_gives_the_same_faces(server, photo):
    answer = post(server, photo).json()
    text = b64encode(photo).decode()
    lines = "\r\n".join(text[k : k + 76] for k in range(0, len(text), 76))
    for prefix in ("", "data:image/jpeg;base64,", "DATA:;base64,", "\ndata:image/png;x=1;base64,"):
        assert server.post("/predict", json={"image": prefix + text}).json() == answer
    for same in (lines, text.rstrip("="), text.replace("+", "-").replace("/", "_")):
        assert server.post("/predict", json={"image": same}).json() == answer


def test_headers_have_the_model_version_and_the_duration_of_each_step(server, photo):
    answer = post(server, photo)
    assert answer.headers["x-model-version"] == answer.json()["model"]["version"]
    assert server.get("/model").headers["x-model-version"] == answer.json()["model"]["version"]
    times = dict(step.split(";dur=") for step in answer.headers["server-timing"].split(", "))
    assert list(times) == ["decode", "detect", "classify"]
    assert all(float(milliseconds) > 0 for milliseconds in times.values())


def crowd():
    """A scene with three faces, the largest on the right."""
    scene = portrait((420, 120), 220)
    scene[300:480, 10:190] = portrait((10, 300), 180)[300:480, 10:190]
    scene[20:160, 220:360] = portrait((220, 20), 140)[20:160, 220:360]
    return scene


def test_only_the_largest_faces_are_returned_and_truncated_is_set(server, photo):
    found = build_detector("yunet").detect(crowd())
    assert len(found) == 3
    answer = post(server, png(crowd())).json()
    assert answer["truncated"] is True
    assert [face["box"] for face in answer["faces"]] == [vars(face.box) for face in found[:2]]
    assert post(server, photo).json()["truncated"] is False


def test_faces_below_the_minimum_confidence_are_left_out(server):
    found = sorted(face.confidence for face in build_detector("yunet").detect(crowd()))
    assert found[0] < found[-1]
    limit = found[-1] - 1e-9
    (face,) = post(server, png(crowd()), min_confidence=limit).json()["faces"]
    assert face["confidence"] == pytest.approx(found[-1], abs=1e-5)
    assert post(server, png(crowd()), min_confidence=1).json()["faces"] == []
    whole = post(server, png(crowd()), faces="whole", min_confidence=1).json()
    assert len(whole["faces"]) == 1


def test_a_whole_image_of_48_pixels_is_classified_unchanged(server, model_path):
    answer = post(server, png(FACE), "image/png", faces="whole").json()
    (face,) = answer["faces"]
    assert face["box"] == {"x": 0, "y": 0, "width": 48, "height": 48}
    expected = Classifier(model_path).predict(FACE[None])[0]
    np.testing.assert_allclose(list(face["probabilities"].values()), expected, atol=1e-5)


def test_no_face_is_an_empty_list(server):
    answer = post(server, BLANK, "image/png")
    assert answer.status_code == 200
    assert answer.json()["faces"] == []
    assert answer.json()["image"] == {"width": 160, "height": 120}


def test_concurrent_predictions_equal_serial_ones(server):
    scenes = [portrait((10 * k, 8 * k), 200 + k, seed=k) for k in range(16)]
    files = [cv2.imencode(".jpg", scene)[1].tobytes() for scene in scenes]
    queries = [(data, faces) for data in files for faces in ("yunet", "whole")]
    serial = [post(server, data, "image/jpeg", faces=faces).json() for data, faces in queries]
    assert sum(bool(answer["faces"]) for answer in serial) > len(files)
    start = threading.Barrier(16)

    def post_all(number):
        with httpx.Client(base_url=server.base_url, timeout=60) as client:
            start.wait()
            # Each client starts at another image, so that different images are concurrent.
            order = [(number * 5 + k) % len(queries) for k in range(len(queries))][:12]
            return [(k, post(client, queries[k][0], faces=queries[k][1]).json()) for k in order]

    with ThreadPoolExecutor(16) as pool:
        for answers in pool.map(post_all, range(16)):
            for k, answer in answers:
                assert answer == serial[k]


# ---------------------------------------------------------------- batches


def send_batch(client, *files, **query):
    return client.post("/predict/batch", files=[("files", file) for file in files], params=query)


def test_a_batch_has_one_result_per_file_in_order_even_with_invalid_files(server, photo):
    files = [
        ("portrait.jpg", photo, "image/jpeg"),
        ("notes.txt", b"hello", "text/plain"),
        ("größe.png", png(FACE), "image/png"),
        ("portrait.jpg", b"", "image/jpeg"),
    ]
    for faces in ("yunet", "whole"):
        answer = send_batch(server, *files, faces=faces)
        assert answer.status_code == 200, answer.text
        batch = answer.json()
        assert list(batch["results"][0]) == ["filename", "image", "faces", "truncated"]
        assert [result["filename"] for result in batch["results"]] == [file[0] for file in files]
        for (name, data, _), result in zip(files, batch["results"], strict=True):
            alone = post(server, data, faces=faces)
            if alone.status_code == 200:
                assert {**result, "model": batch["model"]} == {**alone.json(), "filename": name}
            else:
                assert result == {"filename": name, "error": detail(alone, 422)}
        assert answer.headers["x-model-version"] == batch["model"]["version"]
        assert answer.headers["server-timing"].startswith("decode;dur=")


def test_a_batch_of_invalid_files_is_200(server):
    answer = send_batch(server, ("a", b"a"), ("b", b"b"))
    assert answer.status_code == 200
    assert ["error" in result for result in answer.json()["results"]] == [True, True]


def test_refused_batches(server, photo):
    five = send_batch(server, *[(f"{k}.jpg", b"x") for k in range(5)])
    assert "too many files: at most 4" in detail(five, 413)
    large = send_batch(server, ("1.jpg", bytes(200_000)), ("2.jpg", bytes(200_000)))
    assert "larger than 300,000 bytes" in detail(large, 413)
    wrong_name = server.post("/predict/batch", files={"file": ("1.jpg", photo)})
    assert detail(wrong_name, 422) == "form field file: unknown: did you mean files?"
    nothing = server.post("/predict/batch", data={"faces": "whole"}, files={})
    assert "in a form" in detail(nothing, 415)
    assert "in a form" in detail(server.post("/predict/batch", content=photo), 415)
    assert "min_confidence" in detail(send_batch(server, ("a", photo), min_confidence=2), 422)


# ---------------------------------------------------------------- refusals


def test_files_that_are_no_image(server):
    assert "empty" in detail(post(server, b""), 422)
    assert "expected JPEG, PNG" in detail(post(server, b"hello"), 422)
    assert "damaged" in detail(post(server, BLANK[:-20], "image/png"), 422)
    form = server.post("/predict", files={"file": ("photo.jpg", b"", "image/jpeg")})
    assert "empty" in detail(form, 422)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "text/json", "application/x-www-form-urlencoded", "x"]
)
def test_other_content_types(server, photo, content_type):
    assert "send the image in the field 'file' of a form" in detail(
        post(server, photo, content_type), 415
    )


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "JSON: invalid JSON: EOF"),
        (b"{", 400, "JSON: invalid JSON: EOF"),
        (b"\xff", 400, "JSON: invalid JSON"),
        (b"[" * 500, 400, "JSON: invalid JSON: recursion limit exceeded"),
        (b"[" * 100_000, 413, "the JSON has too many values"),
        (b"[]", 422, "JSON: input should be"),
        (b"null", 422, "JSON: input should be"),
        (b"{}", 422, "JSON field image: field required"),
        (b'{"file": "AA=="}', 422, "JSON field file: unknown"),
        (b'{"image": 1}', 422, "JSON field image: expected a string, the file in base64"),
    ],
)
def test_json_without_an_image(server, body, status, sentence):
    assert detail(post(server, body, "application/json"), status).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("AA=A", "character 4 is 'A', after the padding"),
        ("AAA?", "character 4 is '?'"),
        ("\n\té", "character 3 is 'é'"),
        ("AAAAA", "it is incomplete after character 5"),
        ("data:image/jpeg,AAAA", "character 5 is ':'"),
        ("data:image/jpeg;base64,AA!A", "character 26 is '!'"),
        ("https://example.org/face.jpg", "character 6 is ':'"),
    ],
)
def test_json_with_invalid_base64(server, text, found):
    sentence = detail(server.post("/predict", json={"image": text}), 422)
    assert sentence.startswith("JSON field image: expected the file in base64")
    assert f", but {found};" in sentence and "found 'data" not in sentence


def test_json_with_an_invalid_image(server):
    assert "empty" in detail(server.post("/predict", json={"image": ""}), 422)
    assert "expected JPEG" in detail(server.post("/predict", json={"image": "AAAA"}), 422)
    large = server.post("/predict", json={"image": "A" * 300_000})
    assert "larger than 300,000 bytes" in detail(large, 413)


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "much", ""])
def test_a_minimum_confidence_out_of_range(server, photo, value):
    assert "min_confidence" in detail(post(server, photo, min_confidence=value), 422)


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape", "utf-16", "no-such", ""])
def test_forms_in_another_charset(server, charset):
    content_type = f"multipart/form-data; boundary=frontier; charset={charset}"
    assert "expected utf-8" in detail(post(server, FORM, content_type), 415)
    for same in ("utf-8", "UTF-8", '"utf-8"'):
        content_type = f"multipart/form-data; charset={same}; boundary=frontier"
        assert post(server, FORM, content_type).status_code == 200


def test_forms_without_the_file(server, photo):
    wrong_name = server.post("/predict", files={"image": ("photo.jpg", photo, "image/jpeg")})
    assert detail(wrong_name, 422).startswith("form field image: unknown: expected ")
    without = server.post("/predict", files={"faces": (None, "whole")})
    assert detail(without, 422) == "form field file: field required"
    text = server.post("/predict", files={"file": (None, "words")})
    assert detail(text, 422).startswith("form field file: expected a file, found text")
    two = [("file", ("1.jpg", photo, "image/jpeg")), ("file", ("2.jpg", photo, "image/jpeg"))]
    assert "too many files: at most 1" in detail(server.post("/predict", files=two), 413)


@pytest.mark.parametrize("faces", ["yolo", "", "YUNET", "mtcnn"])
def test_unknown_detector(server, photo, faces):
    sentence = detail(post(server, photo, faces=faces), 422)
    assert sentence.startswith("query parameter faces: input should be 'yunet' or 'whole'")
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
    """Send bytes, and return the response without ending the request."""
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


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


def test_a_declared_length_is_refused_before_the_body_is_sent(server):
    answer = talk(server, HEAD, b"Content-Length: 1000000000000\r\n\r\n")
    assert answer.startswith("HTTP/1.1 413")
    assert "larger than 300,000 bytes" in answer


def test_an_endless_body_is_refused_at_the_limit(server):
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    answer = talk(server, HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 5)
    assert answer.startswith("HTTP/1.1 413")


def test_the_server_survives_incomplete_requests(server, photo):
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


def test_the_form_of_the_next_test_is_valid(server):
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
@settings(max_examples=250, suppress_health_check=list(HealthCheck))
def test_damaged_forms_are_errors_of_the_client(server, content_type, draw):
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
