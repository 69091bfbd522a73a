"""Probes, model, OpenAPI schema and startup: with a model, without one, with an invalid one."""

import asyncio
import json
import os
import sys
from importlib import metadata
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.models.evaluation import CONFIDENCE_BINS
from api.schemas import UNKNOWN_FORMAT
from api.settings import Settings
from recognizer.classifier import Classifier
from recognizer.detectors.registry import DETECTORS
from tests.model_fixture import LABELS, METADATA, write_tiny_model

ROOT = Path(__file__).parents[2]


def test_health(server):
    assert server.get("/livez").json() == {"status": "ok"}
    assert server.get("/readyz").json() == {"status": "ready"}


def test_model_has_the_metadata_and_the_metrics(server, model_path, evaluation):
    answer = server.get("/model").json()
    assert answer["name"] == "emotion"
    assert answer["version"] == Classifier(model_path).version
    assert answer["dataset"] == "tiny"
    assert answer["labels"] == list(LABELS)
    assert answer["format"] == METADATA["format"]
    assert answer["calibration"] == json.loads(METADATA["calibration"])
    assert answer["parameters_digest"] == METADATA["parameters_digest"]
    assert answer["data_digest"] == METADATA["data_digest"]
    assert answer["metrics"]["PublicTest"]["accuracy"] == 0.5
    assert answer["evaluation"] == evaluation


def test_the_schema_documents_all_bodies_and_errors(server):
    paths = server.get("/openapi.json").json()["paths"]
    emotion = "/v2/models/{name}"
    version = emotion + "/versions/{version}"
    assert set(paths) == {
        *("/predict", "/predict/batch", "/analyze", "/stream"),
        *("/model", "/models", "/livez", "/readyz", "/metrics", "/admin/reload"),
        *("/v2", "/v2/health/live", "/v2/health/ready"),
        *(emotion, f"{emotion}/ready", f"{emotion}/infer"),
        *(version, f"{version}/ready", f"{version}/infer"),
    }
    predict = paths["/predict"]["post"]
    bodies = predict["requestBody"]["content"]
    assert set(bodies) == {
        "multipart/form-data",
        "application/octet-stream",
        "application/json",
    }
    problems = {"400", "404", "408", "413", "415", "422", "429", "503", "504"}
    assert set(predict["responses"]) == {"200", *problems}
    by_name = {parameter["name"]: parameter for parameter in predict["parameters"]}
    assert list(by_name) == [
        "model",
        "version",
        "faces",
        "align",
        "min_confidence",
        "min_probability",
    ]
    faces, min_confidence = by_name["faces"], by_name["min_confidence"]
    assert faces["schema"]["enum"] == list(DETECTORS) and faces["schema"]["default"] == "yunet"
    assert (min_confidence["schema"]["minimum"], min_confidence["schema"]["maximum"]) == (0, 1)
    assert list(paths["/predict/batch"]["post"]["requestBody"]["content"]) == [
        "multipart/form-data"
    ]


OPERATIONS = """
predict predict_batch analyze describe_stream describe_model list_models livez readyz metrics
reload_models server_metadata server_live server_ready model_metadata model_ready model_infer
model_version_metadata model_version_ready model_version_infer
"""


def test_the_operations_have_short_names_for_generated_clients(server):
    paths = server.get("/openapi.json").json()["paths"]
    names = [each["operationId"] for methods in paths.values() for each in methods.values()]
    assert sorted(names) == sorted(OPERATIONS.split())


@pytest.mark.parametrize("path", ["/", "/docs", "/livez", "/model", "/metrics", "/openapi.json"])
def test_head_is_get_without_the_body(server, path):
    got, head = server.get(path), server.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # which counts these very requests
        assert head.headers["content-length"] == str(len(got.content))


def test_head_of_other_routes(server):
    for path, status in (("/predict", 405), ("/nothing", 404), ("/stream", 426)):
        answer = server.head(path)
        assert (answer.status_code, answer.content) == (status, b"")
    assert server.get("/livez").status_code == 200  # on the same connection


def test_the_schema_requires_a_key_only_if_one_is_set(server):
    for key in (None, "secret"):
        schema = create_app(Settings(api_key=key)).openapi()
        predict = schema["paths"]["/predict"]["post"]
        assert ("401" in predict["responses"]) == bool(key)
        assert ("security" in predict) == bool(key)
        assert ("securitySchemes" in schema["components"]) == bool(key)


def test_the_examples_of_the_schema_work(server):
    document = server.get("/openapi.json").json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    version = server.get("/model").json()["version"]
    bodies = {
        path: routes["post"]["requestBody"]["content"].get("application/json")
        for path, routes in paths.items()
        if "requestBody" in routes.get("post", {})
    }
    examples = {
        path: schemas[body["schema"]["$ref"].rpartition("/")[2]]["examples"]
        for path, body in bodies.items()
        if body
    }
    assert len(examples) == 4
    for path, bodies in examples.items():
        for body in bodies:
            answer = server.post(path.format(name="emotion", version=version), json=body)
            assert answer.status_code == 200, answer.text
    assert "$defs" not in json.dumps(paths)


def test_no_code_has_a_list_of_the_labels():
    """Labels come from the model. The page has only an icon and a colour for known ones."""
    for path in (ROOT / "api").rglob("*"):
        if path.suffix in {".py", ".js"}:
            text = path.read_text()
            assert not all(label in text for label in LABELS), path


def test_the_error_in_the_examples_is_the_real_one(server):
    answer = server.post("/predict", content=b"a text")
    assert answer.json() == {"detail": UNKNOWN_FORMAT}


# ---------------------------------------------------------------- no model


def test_without_a_model_the_server_runs_and_errors_have_the_reason(serve, photo, tmp_path):
    with serve(ready=False, MODEL_PATH=str(tmp_path / "absent.onnx")) as client:
        reason = "absent.onnx: cannot be read: No such file or directory"
        until_failed(client, reason)
        assert client.get("/livez").status_code == 200
        for answer in (
            client.get("/readyz"),
            client.get("/model"),
            client.post("/predict", content=photo, headers={"content-type": "image/jpeg"}),
        ):
            assert answer.status_code == 503
            assert answer.json()["detail"].endswith(reason)
        assert f'{reason}"}}\n' in client.log.read_text()
        assert "Traceback" not in client.log.read_text()


def until_failed(client, reason):
    for _ in range(1000):
        answer = client.get("/readyz")
        assert answer.status_code == 503
        if reason in answer.json()["detail"]:
            return
    raise AssertionError(answer.text)


def send(app, path, method="GET", *, started=True, **request):
    """Send one request to an application in this process, after its startup or before it."""

    async def conversation():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            if not started:
                return await client.request(method, path, **request)
            async with app.router.lifespan_context(app):
                while "loading" in (app.state.server.models.problem or ""):
                    await asyncio.sleep(0.01)
                return await client.request(method, path, **request)

    return asyncio.run(conversation())


def test_readyz_is_503_before_the_warm_up(model_path):
    app = create_app(Settings(model_path=model_path))
    answer = send(app, "/readyz", started=False)
    assert answer.status_code == 503
    assert answer.json() == {"detail": "the model is still loading"}
    assert send(app, "/livez", started=False).status_code == 200
    assert send(app, "/readyz").status_code == 200


def truncated(path, whole):
    path.write_bytes(whole.read_bytes()[:2000])


def foreign(path, whole):
    write_tiny_model(path, metadata={"format": "other/3"})


def unfit(path, whole):
    write_tiny_model(path, softmax=False)


def crashing(path, whole):
    """Its declared shapes are correct; the inference fails."""
    write_tiny_model(path, pixels=2 * 48 * 48)


def pipe(path, whole):
    """Reading it would wait for a writer."""
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, "cannot be read: is a named pipe, not a file"),
        (truncated, "not an ONNX model, or a damaged one"),
        (foreign, "metadata format is 'other/3', expected 'fer-onnx/2'"),
        (unfit, "the outputs of the warm-up inference are no probabilities"),
        (crashing, "the warm-up inference failed"),
    ],
)
def test_an_unusable_model_is_never_ready(tmp_path, model_path, make, reason):
    path = tmp_path / "model.onnx"
    make(path, model_path)
    app = create_app(Settings(model_path=path))
    for request in ({"path": "/readyz"}, {"path": "/predict", "method": "POST", "content": b"x"}):
        answer = send(app, **request)
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith(f"{path}: ")
        assert reason in answer.json()["detail"]


RELIABILITY = "confidence,accuracy,ideal,images\n0.3,0.2,0.3,1\n0.36,0.5,0.36,2\n0.99,1,0.99,5\n"


@pytest.mark.parametrize("table", [RELIABILITY, None, "confidence\n1\n", "images,confidence\n"])
def test_confidence_on_the_test_images_in_the_bins_of_the_metrics(
    tmp_path, model_path, evaluation, table
):
    folder = tmp_path / "tiny"
    (folder / "plots").mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    if table:
        (folder / "plots" / "reliability.csv").write_text(table)
    app = create_app(Settings(model_path=model_path, metrics_dir=tmp_path))
    confidence = send(app, "/model").json()["confidence"]
    if table != RELIABILITY:
        assert confidence is None
        return
    assert [point["up_to"] for point in confidence] == list(CONFIDENCE_BINS)
    shares = [point["share"] for point in confidence]
    assert shares == [0] * 4 + [0.125] + [0.375] * 9 + [1]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{broken",
        "{}",
        "[]",
        '{"model": {"version": 1}}',
        '{"model": {"version": "0123abcd"}}',
    ],
)
def test_without_metrics_of_this_file_evaluation_is_null(tmp_path, model_path, content):
    if content:
        (tmp_path / "tiny").mkdir()
        (tmp_path / "tiny" / "evaluation.json").write_text(content)
    app = create_app(Settings(model_path=model_path, metrics_dir=tmp_path))
    answer = send(app, "/model")
    assert answer.status_code == 200
    assert answer.json()["evaluation"] is None and answer.json()["confidence"] is None


def test_an_unexpected_exception_is_500(model_path, photo):
    app = create_app(Settings(model_path=model_path))

    def fail(*arguments):
        raise RuntimeError("secret")

    app.state.server.models.default.recognize = fail
    answer = send(
        app, "/predict", method="POST", content=photo, headers={"X-Request-ID": "the-one"}
    )
    assert answer.status_code == 500
    assert answer.json() == {"detail": "internal server error"}
    assert answer.headers["x-request-id"] == "the-one"
    metrics = send(app, "/metrics", started=False).text
    assert 'fer_requests_total{route="/predict",status="500"} 1.0' in metrics


# ---------------------------------------------------------------- the serving requirements

SERVER = """
import sys
sys.path += sys.argv[1:]
for name in ("tensorflow", "keras", "dvc", "pandas", "great_expectations", "onnx"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} can be imported")
import uvicorn
uvicorn.run("api.app:app", port=0)
"""


def link_serving_set(folder):
    """Fill a folder with links to the files of the packages in requirements/serving.txt."""
    lines = (ROOT / "requirements" / "serving.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if line[:1].isalnum()]
    assert "fastapi" in names and "onnxruntime" in names
    for name in names:
        package = metadata.distribution(name)
        for file in package.files:
            # Scripts are outside the package folder.
            if file.parts[0] != "..":
                link = folder / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(package.locate_file(file))


def test_the_server_predicts_with_only_the_serving_requirements(
    serve, server, photo, model_path, tmp_path
):
    link_serving_set(tmp_path)
    command = [sys.executable, "-I", "-S", "-c", SERVER, str(tmp_path), str(ROOT)]
    with serve(command, MODEL_PATH=str(model_path)) as client:
        answer = client.post("/predict", content=photo)
        assert answer.status_code == 200
        assert answer.json() == server.post("/predict", content=photo).json()
