"""The Open Inference Protocol v2 of a live server: with Triton's client, and with plain HTTP."""

import json
from base64 import b64encode
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognizer.classifier import Classifier
from tests.model_fixture import LABELS

triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")

ASTRONAUT = Path(__file__).parents[2] / "docs" / "astronaut.jpg"
FACES = np.random.default_rng(7).integers(0, 256, (3, 48, 48), dtype=np.uint8)
INFER = "/v2/models/emotion/infer"


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.base_url.netloc.decode()) as client:
        yield client


@pytest.fixture(scope="module")
def expected(model_path):
    return Classifier(model_path).predict(FACES)


@pytest.fixture(scope="module")
def version(model_path):
    return Classifier(model_path).version


def tensor(values, binary):
    """An input of Triton's client."""
    datatype = "UINT8" if values.dtype == np.uint8 else "BYTES"
    made = triton.InferInput("faces", list(values.shape), datatype)
    return made.set_data_from_numpy(values, binary_data=binary)


# ---------------------------------------------------------------- Triton's client


def test_health_and_metadata(client, server, version):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("emotion") and client.is_model_ready("emotion", version)
    assert not client.is_model_ready("other") and not client.is_model_ready("emotion", "1")
    about = client.get_server_metadata()
    assert about["extensions"] == ["binary_tensor_data"] and set(about) >= {"name", "version"}
    model = client.get_model_metadata("emotion")
    assert model == client.get_model_metadata("emotion", version[:12])
    assert model["name"] == "emotion" and model["versions"] == [version]
    assert model["platform"] == "onnxruntime_onnx"
    (faces,), (probabilities, boxes, confidence) = model["inputs"], model["outputs"]
    assert faces == {"name": "faces", "datatype": "UINT8", "shape": [-1, 48, 48]}
    assert probabilities["shape"] == [-1, 7] and probabilities["datatype"] == "FP32"
    assert probabilities["parameters"] == {"labels": list(LABELS)}
    assert boxes["shape"] == [-1, 4] and boxes["datatype"] == "INT32"
    assert boxes["parameters"] == {"labels": ["x", "y", "width", "height"]}
    assert confidence == {"name": "confidence", "datatype": "FP32", "shape": [-1]}
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_pixels(client, expected, version, binary_in, binary_out):
    outputs = None
    if binary_out is not None:
        outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary_out)]
    result = client.infer(
        "emotion", [tensor(FACES, binary_in)], outputs=outputs, request_id="the-one"
    )
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, atol=1e-5)
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"]) == ("emotion", version)
    assert answer["id"] == "the-one"
    assert answer["parameters"] == {"faces": "whole"}
    # Without requested outputs, all are returned; this client requests binary data.
    assert len(answer["outputs"]) == (3 if binary_out is None else 1)
    for output in answer["outputs"]:
        assert ("data" in output) == (binary_out is False)
    if binary_out is None:
        assert result.as_numpy("boxes").tolist() == [[0, 0, 48, 48]] * 3
        assert result.as_numpy("confidence").tolist() == [1, 1, 1]


def test_a_version_and_an_empty_tensor(client, expected, version):
    result = client.infer("emotion", [tensor(FACES, True)], model_version=version[:8])
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, atol=1e-5)
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary)]
        nothing = client.infer("emotion", [tensor(FACES[:0], binary)], outputs=outputs)
        assert nothing.as_numpy("probabilities").shape == (0, 7)


def photos(*files, binary=True):
    """An input of Triton's client with image files."""
    contents = files if binary else [b64encode(data) for data in files]
    return tensor(np.array(contents, object), binary)


@pytest.mark.parametrize("binary", [True, False])
def test_the_largest_face_of_each_photo_is_classified(client, server, photo, binary):
    crowd = cv2.imread(str(ASTRONAUT))
    crowd = cv2.copyMakeBorder(crowd, 0, 0, 0, 300, cv2.BORDER_CONSTANT)
    crowd[:250, 550:800] = cv2.resize(crowd[:500, :500], (250, 250))
    files = [photo, cv2.imencode(".jpg", crowd)[1].tobytes(), ASTRONAUT.read_bytes()]
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary)
        for name in ("confidence", "boxes", "probabilities")
    ]
    result = client.infer("emotion", [photos(*files, binary=binary)], outputs=outputs)
    assert result.get_response()["parameters"] == {"faces": "yunet"}
    answers = [server.post("/predict", content=data).json()["faces"] for data in files]
    assert [len(faces) for faces in answers] == [1, 2, 1]
    largest = [faces[0] for faces in answers]
    probabilities = [list(face["probabilities"].values()) for face in largest]
    np.testing.assert_allclose(result.as_numpy("probabilities"), probabilities, atol=1e-5)
    confidence = [face["confidence"] for face in largest]
    np.testing.assert_allclose(result.as_numpy("confidence"), confidence, atol=1e-5)
    boxes = [list(face["box"].values()) for face in largest]
    assert result.as_numpy("boxes").tolist() == boxes
    assert result.as_numpy("boxes").dtype == np.int32


@pytest.mark.parametrize("place", ["request", "input"])
def test_whole_takes_each_image_as_one_face(client, server, place):
    colour = cv2.merge([FACES[1], FACES[2], FACES[0]])
    files = [
        cv2.imencode(".png", FACES[0])[1].tobytes(),
        cv2.imencode(".jpg", cv2.resize(colour, (100, 90)))[1].tobytes(),
    ]
    made = photos(*files)
    if place == "input":
        made._parameters["faces"] = "whole"  # the client has no method for a tensor's parameters
    parameters = {"faces": "whole"} if place == "request" else None
    result = client.infer("emotion", [made], parameters=parameters)
    assert result.get_response()["parameters"] == {"faces": "whole"}
    rows = [
        server.post("/predict?faces=whole", content=data).json()["faces"][0]["probabilities"]
        for data in files
    ]
    wanted = [list(row.values()) for row in rows]
    np.testing.assert_allclose(result.as_numpy("probabilities"), wanted, atol=1e-5)
    assert result.as_numpy("boxes").tolist() == [[0, 0, 48, 48], [0, 0, 100, 90]]


def test_the_committed_model_predicts_happy_for_the_portrait_of_the_readme(serve):
    """The default model, through all protocols."""
    with serve() as client, triton.InferenceServerClient(client.base_url.netloc.decode()) as public:
        portrait = ASTRONAUT.read_bytes()
        labels = client.get("/model").json()["labels"]
        probabilities = public.infer("emotion", [photos(portrait)]).as_numpy("probabilities")
        assert labels[probabilities[0].argmax()] == "happy"
        assert client.post("/predict", content=portrait).json()["faces"][0]["emotion"] == "happy"
        analysis = client.post("/analyze", files={"img": ("a.jpg", portrait)}).json()
        assert analysis["results"][0]["dominant_emotion"] == "happy"


def test_detection_options(client, photo):
    def infer(**parameters):
        return client.infer("emotion", [photos(photo)], parameters=parameters)

    upright, same, other = (
        infer(**parameters).as_numpy("probabilities")
        for parameters in ({}, {"align": True, "min_confidence": 0.5}, {"align": False})
    )
    assert (upright == same).all() and (upright != other).any()
    with pytest.raises(triton.InferenceServerException) as refusal:
        infer(min_confidence=1)
    assert "faces[0]: no face was detected" in refusal.value.message()


def test_there_is_no_option_without_an_effect(client, photo):
    """The outputs are probabilities and have no emotion that could be left open."""
    with pytest.raises(triton.InferenceServerException) as refusal:
        client.infer("emotion", [photos(photo)], parameters={"min_probability": 0.5})
    assert "min_probability: unknown" in refusal.value.message()


def test_the_error_names_the_photo_without_a_face(client, photo):
    blank = cv2.imencode(".png", np.full((100, 100), 128, np.uint8))[1].tobytes()
    with pytest.raises(triton.InferenceServerException) as refusal:
        client.infer("emotion", [photos(photo, blank)])
    assert refusal.value.status() == "400"
    assert refusal.value.message().startswith(
        "faces[1]: no face was detected; send a clearer photo"
    )


def test_errors_reach_the_client(client, version):
    wrong = [
        (("other", [tensor(FACES, True)]), {}, "404", "no model 'other' is served"),
        (("emotion", [tensor(FACES, True)]), {"model_version": "2"}, "404", "no version '2'"),
        (("emotion", [tensor(FACES[0], True)]), {}, "400", "expected the shape [N, 48, 48]"),
        (
            ("emotion", [tensor(FACES, True)]),
            {"request_compression_algorithm": "gzip"},
            *("415", "send it uncompressed"),
        ),
    ]
    for arguments, options, status, sentence in wrong:
        with pytest.raises(triton.InferenceServerException) as refusal:
            client.infer(*arguments, **options)
        assert refusal.value.status() == status
        assert sentence in refusal.value.message()


# ---------------------------------------------------------------- plain HTTP


def request(**changes):
    """A request of one face in JSON, with some fields of its only input changed."""
    fields = {"name": "faces", "shape": [1, 48, 48], "datatype": "UINT8", **changes}
    fields.setdefault("data", FACES[0].ravel().tolist())
    return {"inputs": [{name: value for name, value in fields.items() if value is not None}]}


def error(answer, status):
    """The sentence of an error, after a check of the shape of the response."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert "\n" not in answer.json()["error"]
    return answer.json()["error"]


def test_flat_and_nested_data_with_a_json_response(server, expected, version):
    nested = request(data=FACES[:1].tolist())
    bare = {**nested, "id": "7", "outputs": [], "parameters": None}
    kserve = {**nested, "id": "8", "model_name": "emotion", "parameters": {"faces": "whole"}}
    for body in (request(), nested, bare, kserve):
        answer = server.post(INFER, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-model-version"] == version
        assert answer.json()["parameters"] == {"faces": "whole"}
        output, boxes, confidence = answer.json()["outputs"]
        assert (boxes["data"], boxes["shape"]) == ([0, 0, 48, 48], [1, 4])
        assert (confidence["data"], confidence["shape"]) == ([1], [1])
        assert output["shape"] == [1, 7] and output["datatype"] == "FP32"
        np.testing.assert_allclose(output["data"], expected[0], atol=1e-5)
        assert answer.json().get("id") == body.get("id")


NO_PIXELS = [-1, 256, 1.5, "1", None, [1, 2], 2**70]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "inputs: field required"),
        ([], "JSON: input should be"),
        ({"inputs": []}, "inputs: list should have at least 1 item"),
        ({"inputs": request()["inputs"] * 2}, "inputs: list should have at most 1 item"),
        ({**request(), "outputs": [{"name": "logits"}]}, "no output 'logits'"),
        ({**request(), "id": 5}, "id: input should be a valid string"),
        (
            {**request(), "parameters": {"binary_data_output": 1}},
            "parameters.binary_data_output: input should be a valid boolean",
        ),
        (
            {**request(), "parameters": {"face": "whole"}},
            "JSON field parameters.face: unknown: did you mean faces?",
        ),
        (request(parameters={"timeout": 3}), "inputs.0.parameters.timeout: unknown: expected "),
        (
            {**request(), "model_name": "age"},
            "JSON field model_name: 'age', but the address has 'emotion'",
        ),
        (request(dataType="UINT8"), "inputs.0.dataType: unknown: did you mean datatype?"),
        (
            {**request(parameters={"faces": "whole"}), "parameters": {"faces": "yunet"}},
            "faces is 'yunet' in the parameters of the request, but 'whole' in the parameters of",
        ),
        (
            {**request(), "parameters": {"faces": "yunet"}},
            "a UINT8 tensor has cropped faces",
        ),
        (
            {**request(), "parameters": {"faces": "retinaface"}},
            "parameters.faces: input should be 'yunet' or 'whole' (found 'retinaface')",
        ),
        (request(name="pixels"), "no input 'pixels': expected 'faces'"),
        (request(datatype="FP32"), "expected the datatype UINT8 or BYTES, found 'FP32'"),
        (request(shape=[48, 48]), "expected the shape [N, 48, 48]"),
        (request(shape=[1, 48, 48, 1]), "expected the shape [N, 48, 48]"),
        (request(shape=["1", 48, 48]), "inputs.0.shape.0: input should be a valid integer"),
        (request(shape=[2, 48, 48]), "the shape has 4608 values, found 2304"),
        (request(shape=[2**31, 48, 48]), "values, found 2304"),
        (request(shape=[2**31 + 1, 48, 48]), "inputs.0.shape.0: input should be less"),
        (request(shape=[-1, 48, 48]), "inputs.0.shape.0: input should be greater"),
        (request(data=[]), "found 0"),
        (request(data="AAAA"), "inputs.0.data: input should be a valid array"),
        (
            request(parameters={"binary_data_size": 4}),
            "expected data or binary_data_size, found both",
        ),
        *(
            (request(data=[value] * 2304), "expected integers from 0 to 255")
            for value in NO_PIXELS[:5]
        ),
        (request(data=[[[[0]]]]), "expected integers from 0 to 255"),
        (request(data=[[0], 0]), "data mixes lists and values"),
        (request(datatype="BYTES"), "expected the shape [N] for BYTES"),
        (request(datatype="BYTES", shape=[2], data=["", "x"]), "faces[1]: expected the file"),
        (request(datatype="BYTES", shape=[1], data=["AA*A"]), "but character 3 is '*'"),
        (request(datatype="BYTES", shape=[1], data=[5]), "faces[0]: expected an image file"),
        (request(datatype="BYTES", shape=[2], data=["AAAA"]), "has 2 files, found 1"),
        (request(datatype="BYTES", shape=[1], data=["AAAA"]), "faces[0]: not an image of a known"),
    ],
)
def test_invalid_requests(server, body, sentence):
    assert sentence in error(server.post(INFER, json=body), 400)


@pytest.mark.parametrize(
    ("header", "tail", "size", "sentence"),
    [
        ("{length}", b"", 2304, "binary_data_size is 2304, but 0 bytes follow the JSON"),
        ("{length}", bytes(2305), 2304, "but 2305 bytes follow"),
        ("{length}", bytes(2304), None, "binary_data_size is missing"),
        ("{length}", bytes(1), True, "binary_data_size: input should be a valid integer"),
        ("{length}", bytes(5), "5", "binary_data_size: input should be a valid integer"),
        ("{length}", bytes(5), -5, "binary_data_size: input should be greater than or equal to 0"),
        ("99999999", bytes(2304), 2304, "but the body has"),
        ("-1", b"", 0, "expected a number"),
        ("9" * 5000, b"", 0, "but the body has"),
        ("²", b"", 0, "expected a number"),
        ("3", b"", 0, "JSON: invalid JSON"),
        (None, bytes(2304), 2304, "JSON: invalid JSON"),
    ],
)
def test_invalid_binary_data(server, header, tail, size, sentence):
    body = request(parameters={"binary_data_size": size}, data=0)
    del body["inputs"][0]["data"]
    text = json.dumps(body).encode()
    headers = {}
    if header is not None:
        value = header.format(length=len(text)).encode()
        headers["Inference-Header-Content-Length"] = value
    answer = server.post(INFER, content=text + tail, headers=headers)
    assert sentence in error(answer, 400)


@pytest.mark.parametrize("tail", [b"\1", b"\5\0\0\0abcd", b"\xff\xff\xff\xff", b"\0\0\0\0\1\0"])
def test_files_in_incomplete_binary_data(server, tail):
    body = request(datatype="BYTES", shape=[1], parameters={"binary_data_size": len(tail)}, data=0)
    del body["inputs"][0]["data"]
    text = json.dumps(body).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    answer = server.post(INFER, content=text + tail, headers=headers)
    assert "the bytes are incomplete" in error(answer, 400)


def test_limits(server):
    five = request(datatype="BYTES", shape=[5], data=[""] * 5)
    assert "more than 4 files in one tensor" in error(server.post(INFER, json=five), 413)
    many = request(shape=[101, 48, 48], data=[0] * (101 * 48 * 48))
    answer = server.post(INFER, content=json.dumps(many, separators=(",", ":")))
    assert "more than 100 faces" in error(answer, 413) or "larger than" in error(answer, 413)
    large = b64encode(cv2.imencode(".png", np.zeros((1001, 1000), np.uint8))[1]).decode()
    body = request(datatype="BYTES", shape=[1], data=[large])
    assert "faces[0]: the image has too many pixels" in error(server.post(INFER, json=body), 413)
    assert "larger than 300,000 bytes" in error(server.post(INFER, content=bytes(300_001)), 413)


def test_other_errors_have_the_shape_of_the_protocol(server):
    assert error(server.get("/v2/nothing"), 404)
    assert error(server.get(INFER), 405)
    assert error(server.get("/v2/models/other"), 404)
    assert error(server.get("/v2/models/emotion/versions/1/ready"), 404)


def test_the_key_is_required_except_by_probes(serve, model_path):
    with serve(MODEL_PATH=str(model_path), API_KEY="secret") as client:
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == 200
        assert "API key" in error(client.get("/v2"), 401)
        assert "API key" in error(client.post(INFER, json=request()), 401)
        with triton.InferenceServerClient(client.base_url.netloc.decode()) as public:
            for headers in ({"X-API-Key": "secret"}, {"Authorization": "Bearer secret"}):
                assert public.infer("emotion", [tensor(FACES, True)], headers=headers)


def test_without_a_model_nothing_is_ready(serve, tmp_path):
    with serve(ready=False, MODEL_PATH=str(tmp_path / "absent.onnx")) as client:
        while "loading" in (answer := client.get("/v2/health/ready")).text:
            pass
        assert "absent.onnx" in error(answer, 503)
        assert client.get("/v2/health/live").status_code == 200
        for path in ("/v2/models/emotion", "/v2/models/emotion/ready"):
            assert "absent.onnx" in error(client.get(path), 503)


def test_predictions_are_counted(server, expected, version):
    def count(text):
        rows = (line.split() for line in text.splitlines() if line.startswith("fer_predictions"))
        return sum(float(value) for *_, value in rows)

    before = count(server.get("/metrics").text)
    assert server.post(INFER, json=request()).status_code == 200
    metrics = server.get("/metrics").text
    assert count(metrics) == before + 1
    emotion = LABELS[expected[0].argmax()]
    assert f'fer_predictions_total{{emotion="{emotion}",model_version="{version}"}}' in metrics
    assert 'route="/v2/models/{name}/infer"' in metrics


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("faces") | ANY_JSON,
            "shape": st.just([1, 48, 48]) | st.lists(st.integers(), max_size=4) | ANY_JSON,
            "datatype": st.sampled_from(["UINT8", "BYTES", "FP32"]) | ANY_JSON,
            "parameters": st.fixed_dictionaries(
                {}, optional={"binary_data_size": st.integers() | ANY_JSON}
            )
            | ANY_JSON,
            "data": st.just([0] * 2304) | st.lists(ANY_JSON, max_size=3) | ANY_JSON,
        },
    ),
    st.none() | st.integers(-1, 400).map(str) | st.text("0123456789-+ x", max_size=4),
    st.binary(max_size=20),
)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_generated_requests_cause_no_server_error(server, fields, header, tail):
    body = json.dumps({"inputs": [fields]}).encode() + tail
    headers = {} if header is None else {"Inference-Header-Content-Length": header.strip()}
    answer = server.post(INFER, content=body, headers=headers)
    if answer.status_code != 200:
        error(answer, 400)
