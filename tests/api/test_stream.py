"""WS /stream of a live server."""

import json
import socket
import threading
from base64 import urlsafe_b64encode

import cv2
import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.app import create_app
from api.settings import Settings
from recognizer.classifier import Classifier
from tests.api.live_server import until

FACE = cv2.imencode(".png", np.random.default_rng(3).integers(0, 256, (48, 48), np.uint8))[1]
FACE = FACE.tobytes()


def open_stream(client, query="", **options):
    """A WebSocket to the server that an HTTP client talks to."""
    address = str(client.base_url).replace("http", "ws", 1)
    return connect(f"{address}/stream{query}", open_timeout=60, **options)


def answer_to(stream, frame):
    stream.send(frame)
    return json.loads(stream.recv(timeout=60))


def ending(stream):
    """The last message and the close code of a stream that the server closes."""
    last = json.loads(stream.recv(timeout=60))
    assert set(last) == {"status", "error"}
    with pytest.raises(ConnectionClosed) as closed:
        stream.recv(timeout=60)
    assert closed.value.rcvd.reason == last["error"][:123]
    return last["status"], last["error"], closed.value.rcvd.code


# ---------------------------------------------------------------- predictions


def test_a_frame_gets_the_prediction_of_predict(server, photo):
    with open_stream(server, "?faces=whole") as stream:
        for number, data in enumerate((photo, FACE, photo), 1):
            answer = answer_to(stream, data)
            assert (answer.pop("frame"), answer.pop("dropped")) == (number, 0)
            times = answer.pop("milliseconds")
            assert list(times) == ["decode", "detect", "classify"]
            assert all(time >= 0 for time in times.values())
            assert answer == server.post("/predict?faces=whole", content=data).json()


def test_options_and_version_come_in_the_query(server, photo, model_path):
    version = Classifier(model_path).version
    query = f"?faces=yunet&align=false&min_confidence=1&version={version[:8]}"
    with open_stream(server, query) as stream:
        answer = answer_to(stream, photo)
        assert answer["faces"] == [] and answer["model"]["version"] == version


def test_below_the_minimum_probability_the_emotion_is_null(server, photo):
    with open_stream(server, "?min_probability=1") as stream:
        (face,) = answer_to(stream, photo)["faces"]
        assert face["emotion"] is None
        assert max(face["probabilities"].values()) < 1


def test_after_an_invalid_frame_the_stream_continues(server, photo):
    large = cv2.imencode(".png", np.zeros((1001, 1000), np.uint8))[1].tobytes()
    with open_stream(server) as stream:
        for number, (frame, status, sentence) in enumerate(
            [
                (b"hello", 422, "expected JPEG, PNG"),
                (b"", 422, "empty"),
                (photo[:2000], 422, "damaged"),
                (large, 413, "too many pixels"),
                (bytes(300_001), 413, "larger than 300,000 bytes"),
                ("text", 415, "expected a binary message"),
            ],
            1,
        ):
            answer = answer_to(stream, frame)
            assert set(answer) == {"frame", "dropped", "status", "error"}
            assert (answer["frame"], answer["dropped"], answer["status"]) == (number, 0, status)
            assert sentence in answer["error"]
        assert len(answer_to(stream, photo)["faces"]) == 1


def test_a_fragmented_message_is_one_frame(server, photo):
    with open_stream(server) as stream:
        answer = answer_to(stream, [photo[:100], photo[100:5000], photo[5000:]])
        assert answer["frame"] == 1 and len(answer["faces"]) == 1


# ---------------------------------------------------------------- dropped frames


@pytest.fixture
def gated(model_path):
    """A function that makes an application with one slot whose inferences wait for a semaphore."""

    def start(**limits):
        app = create_app(Settings(model_path=model_path, max_concurrency=1, **limits))
        gate = threading.Semaphore(0)
        model = app.state.server.models.default
        recognize = model.recognize

        def wait_and_recognize(*arguments):
            assert gate.acquire(timeout=60)
            return recognize(*arguments)

        model.recognize = wait_and_recognize
        return app, gate

    return start


def test_replaced_frames_are_dropped_and_counted(gated, serve_app, photo):
    app, gate = gated()
    with serve_app(app) as client, open_stream(client, "?faces=whole") as stream:
        stream.send(photo)
        until(lambda: app.state.server.slots.running == 1)
        for frame in (b"stale", b"stale", b"stale", FACE):
            stream.send(frame)
        # The pong follows in order, so all frames have arrived.
        assert stream.ping().wait(60)
        gate.release(2)
        first, second = (json.loads(stream.recv(timeout=60)) for _ in range(2))
        assert (first["frame"], first["dropped"]) == (1, 0)
        assert (second["frame"], second["dropped"]) == (5, 3)
        assert second["image"] == {"width": 48, "height": 48}
        gate.release()
        third = answer_to(stream, photo)
        assert (third["frame"], third["dropped"]) == (6, 0)
        metrics = client.get("/metrics").text.splitlines()
        assert 'fer_stream_frames_total{result="answered"} 3.0' in metrics
        assert 'fer_stream_frames_total{result="dropped"} 3.0' in metrics
        assert "fer_streams_open 1.0" in metrics


def test_streams_and_requests_share_the_slots_in_order(gated, serve_app, photo):
    """A stream with many frames has one place in the queue, like a stream with one."""
    app, gate = gated()
    with serve_app(app) as client, open_stream(client) as fast, open_stream(client) as slow:
        fast.send(photo)
        until(lambda: app.state.server.slots.running == 1)
        for _ in range(49):
            fast.send(photo)
        assert fast.ping().wait(60)
        slow.send(photo)
        until(lambda: app.state.server.slots.waiting == 1)
        answers = []
        request = threading.Thread(
            target=lambda: answers.append(client.post("/predict", content=photo))
        )
        request.start()
        until(lambda: app.state.server.slots.waiting == 2)
        gate.release(3)
        assert json.loads(fast.recv(timeout=60))["frame"] == 1
        assert json.loads(slow.recv(timeout=60))["frame"] == 1
        request.join(60)
        assert answers[0].status_code == 200
        # Then the newest frame of the fast stream follows.
        until(lambda: app.state.server.slots.running == 1)
        gate.release()
        assert json.loads(fast.recv(timeout=60))["frame"] == 50


def test_a_client_that_does_not_read_delays_no_other(serve, model_path, photo):
    with (
        serve(MODEL_PATH=str(model_path), MAX_CONCURRENCY="1") as client,
        open_stream(client, "?faces=whole", max_queue=1, close_timeout=0) as silent,
        open_stream(client, "?faces=whole") as reading,
    ):
        for number in range(1, 21):
            for _ in range(20):
                silent.send(FACE)
            assert answer_to(reading, FACE)["frame"] == number


def test_a_full_queue_refuses_the_frame_but_not_the_stream(gated, serve_app, photo):
    app, gate = gated(max_queue=0)
    with serve_app(app) as client, open_stream(client) as first, open_stream(client) as second:
        first.send(photo)
        until(lambda: app.state.server.slots.running == 1)
        refusal = answer_to(second, photo)
        assert (refusal["frame"], refusal["status"]) == (1, 429)
        assert refusal["error"].startswith("the server is busy")
        gate.release(2)
        assert json.loads(first.recv(timeout=60))["frame"] == 1
        until(lambda: app.state.server.slots.running == 0)
        assert len(answer_to(second, photo)["faces"]) == 1
        metrics = client.get("/metrics").text
        assert 'fer_stream_frames_total{result="refused"} 1.0' in metrics
        assert 'fer_rejected_requests_total{reason="overload"} 1.0' in metrics


def test_a_frame_past_its_deadline_is_504(gated, serve_app):
    app, gate = gated(deadline_seconds=0.3, queue_seconds=60)
    with serve_app(app) as client, open_stream(client, "?faces=whole") as stream:
        late = answer_to(stream, FACE)
        assert (late["status"], late["frame"]) == (504, 1)
        assert late["error"] == "the frame was not answered within 0.3 seconds"
        gate.release(100_000)
        until(lambda: app.state.server.slots.running == 0)
        until(lambda: "faces" in answer_to(stream, FACE))  # the machine may be busy


# ---------------------------------------------------------------- refused streams


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?faces=yolo", "query parameter faces: input should be 'yunet' or 'whole'"),
        ("?min_confidence=2", "query parameter min_confidence: "),
        ("?align=perhaps", "query parameter align: "),
        ("?face=whole", "query parameter face: unknown: did you mean faces?"),
        ("?faces=whole&faces=yunet", "query parameter faces is given twice: 'whole' and 'yunet'"),
    ],
)
def test_an_invalid_option_ends_the_stream(server, query, sentence):
    with open_stream(server, query) as stream:
        status, error, code = ending(stream)
    assert (status, code) == (422, 1008) and error.startswith(sentence)


def test_a_version_that_is_not_served_ends_the_stream(server):
    with open_stream(server, "?version=00000000") as stream:
        status, error, code = ending(stream)
    assert (status, code) == (404, 1008) and error.startswith("no version '00000000'")


def test_without_a_model_the_close_code_is_1013(serve_app, tmp_path):
    app = create_app(Settings(model_path=tmp_path / "absent.onnx"))
    with serve_app(app) as client, open_stream(client) as stream:
        status, error, code = ending(stream)
    assert (status, code) == (503, 1013) and "absent.onnx" in error


KEY = "größe 0123456789"


def as_subprotocols(key):
    return ["fer.stream", "fer.key." + urlsafe_b64encode(key.encode()).decode().rstrip("=")]


def test_the_key_is_sent_in_a_header_or_a_subprotocol_and_never_logged(serve, model_path, photo):
    with serve(MODEL_PATH=str(model_path), API_KEY=KEY) as client:
        header = {"X-API-Key": KEY.encode().decode("latin-1")}
        with open_stream(client, additional_headers=header) as stream:
            assert answer_to(stream, photo)["frame"] == 1
        bearer = {"Authorization": f"Bearer {KEY}".encode().decode("latin-1")}
        with open_stream(client, additional_headers=bearer) as stream:
            assert answer_to(stream, photo)["frame"] == 1
        with open_stream(client, subprotocols=as_subprotocols(KEY)) as stream:
            assert stream.subprotocol == "fer.stream"
            assert answer_to(stream, photo)["frame"] == 1
        for options in (
            {},
            {"additional_headers": {"X-API-Key": "wrong"}},
            {"additional_headers": {"Authorization": "Bearer wrong"}},
            {"additional_headers": {"Authorization": bearer["Authorization"][7:]}},
            {"subprotocols": ["fer.stream"]},
            {"subprotocols": as_subprotocols(KEY[:-1])},
            {"subprotocols": ["fer.key.A"]},
            {"subprotocols": ["fer.key."]},
        ):
            with open_stream(client, f"?api_key={KEY[-10:]}", **options) as stream:
                status, error, code = ending(stream)
            assert (status, code) == (401, 1008) and "X-API-Key" in error
        log = client.log.read_text()
        assert KEY[-10:] not in log and as_subprotocols(KEY)[1] not in log


def test_pages_of_other_sites_are_refused(server, serve, model_path, photo):
    own = str(server.base_url)
    with open_stream(server, origin=own) as stream:
        assert answer_to(stream, photo)["frame"] == 1
    for origin in ("https://other.example", f"{own}0", "null", "http://["):
        with open_stream(server, origin=origin) as stream:
            assert ending(stream)[::2] == (403, 1008)
    other = "https://other.example"
    with (
        serve(MODEL_PATH=str(model_path), CORS_ORIGINS=other) as client,
        open_stream(client, origin=other) as stream,
    ):
        assert answer_to(stream, photo)["frame"] == 1


def test_the_number_of_streams_is_limited(serve_app, model_path):
    app = create_app(Settings(model_path=model_path, max_streams=2))
    with serve_app(app) as client, open_stream(client) as first:
        with open_stream(client, "?faces=whole") as second:
            assert answer_to(second, FACE)["frame"] == 1
            with open_stream(client) as third:
                status, error, code = ending(third)
            assert (status, code) == (429, 1013) and "too many streams" in error
        until(lambda: app.state.server.streams.value == 1)
        with open_stream(client, "?faces=whole") as fourth:
            assert answer_to(fourth, FACE)["frame"] == 1
        assert answer_to(first, b"x")["status"] == 422


def test_a_stream_without_frames_is_closed(serve_app, model_path):
    app = create_app(Settings(model_path=model_path, stream_idle_seconds=0.2))
    with serve_app(app) as client:
        with open_stream(client) as stream:
            assert ending(stream) == (408, "no frame arrived for 0.2 seconds", 1008)
        until(lambda: app.state.server.streams.value == 16)


def test_a_lost_connection_frees_its_stream_and_its_slot(gated, serve_app, photo):
    app, gate = gated()
    with serve_app(app) as client:
        for _ in range(3):
            with open_stream(client) as stream:
                stream.send(photo)
                until(lambda: app.state.server.slots.running == 1)
                stream.send(photo)
                stream.socket.shutdown(socket.SHUT_RDWR)
                until(lambda: app.state.server.streams.value == 16)
            gate.release()
            until(lambda: app.state.server.slots.running == 0)
        assert app.state.server.slots.waiting == 0


# ---------------------------------------------------------------- log and shutdown


def test_a_stream_has_one_log_line_without_the_query(serve, model_path):
    with serve(MODEL_PATH=str(model_path)) as client:
        trace = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "parent_id": "b7ad6b7169203331"}
        parent = f"00-{trace['trace_id']}-{trace['parent_id']}-01"
        headers = {"X-Request-ID": "the-one", "traceparent": parent}
        with open_stream(
            client, "?faces=whole&min_confidence=0.123", additional_headers=headers
        ) as stream:
            for _ in range(3):
                answer_to(stream, FACE)
        with open_stream(client, "?faces=secret") as stream:
            ending(stream)
        until(lambda: client.log.read_text().count('"/stream"') == 2)
        text = client.log.read_text()
    assert "secret" not in text and "0.123" not in text and "Traceback" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    whole, refused = (line for line in lines if line.get("path") == "/stream")
    assert (whole["request_id"], whole["status"], whole["frames"]) == ("the-one", 101, 3)
    assert trace.items() <= whole.items() and "trace_id" not in refused
    assert (refused["status"], refused["frames"]) == (422, 0)
    assert len([line for line in lines if line.get("request_id") == "the-one"]) == 1


def test_a_shutdown_processes_received_frames_and_closes_with_1001(serve, model_path, photo):
    patient = {"MAX_CONCURRENCY": "1", "QUEUE_SECONDS": "60", "DEADLINE_SECONDS": "60"}
    with (
        serve(MODEL_PATH=str(model_path), **patient) as client,
        open_stream(client, "?faces=whole") as busy,
        open_stream(client, "?faces=whole") as idle,
    ):
        assert answer_to(idle, FACE)["frame"] == 1
        # The frame waits for its slot while a batch of photos is processed.
        files = [("files", ("photo.jpg", photo))] * 16
        answers = []
        batch = threading.Thread(
            target=lambda: answers.append(client.post("/predict/batch", files=files))
        )
        batch.start()
        with httpx.Client(base_url=client.base_url, timeout=60) as other:
            until(lambda: "fer_inferences_running 1.0" in other.get("/metrics").text)
            busy.send(FACE)
            until(lambda: "fer_requests_waiting 1.0" in other.get("/metrics").text)
        client.process.terminate()
        assert len(json.loads(busy.recv(timeout=60))["faces"]) == 1
        for stream in (busy, idle):
            with pytest.raises(ConnectionClosed) as closed:
                stream.recv(timeout=60)
            assert closed.value.rcvd.code == 1001
        batch.join(60)
        assert answers[0].status_code == 200
        client.process.wait(60)
        assert "Traceback" not in client.log.read_text()


def test_an_unresponsive_client_does_not_block_a_shutdown(serve, model_path):
    with serve(MODEL_PATH=str(model_path), DEADLINE_SECONDS="1") as client:
        address = client.base_url.host, client.base_url.port
        with socket.create_connection(address, timeout=60) as raw:
            raw.sendall(
                b"GET /stream HTTP/1.1\r\nHost: localhost\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert raw.recv(4096).startswith(b"HTTP/1.1 101 ")
            client.process.terminate()
            client.process.wait(60)
            assert raw.recv(4096)[2:4] == (1001).to_bytes(2)
        assert "Traceback" not in client.log.read_text()


def test_a_plain_request_to_stream_is_426(server):
    answer = server.get("/stream?faces=whole")
    assert answer.status_code == 426 and answer.headers["upgrade"] == "websocket"
    assert answer.json() == {"detail": "this address is a WebSocket: see /docs"}
    described = server.get("/openapi.json").json()["paths"]["/stream"]["get"]["description"]
    assert "fer.key." in described and "1013" in described
