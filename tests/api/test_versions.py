"""The served versions: a file, a git revision, or several of them."""

import json
import shutil
import subprocess
from base64 import b64encode
from contextlib import ExitStack
from hashlib import sha256

import cv2
import numpy as np
import pytest
from fastapi import HTTPException
from pydantic import ValidationError

from api.app import create_app
from api.models.served_model import LOADING
from api.models.served_models import ServedModels
from api.models.workers import VARIABLE, MainProcess, Worker
from api.options import ModelOptions
from api.settings import Settings
from tests.model_fixture import LABELS, write_tiny_model

FACE = cv2.imencode(".png", np.random.default_rng(3).integers(0, 256, (48, 48), np.uint8))[1]
MODEL = "models/tiny/model.onnx"


def version_of(path):
    return sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with two commits of a model; the first is tagged v1.

    The branch experiment/without has no model, the branch broken has a damaged one. The working
    tree has no model.
    """
    folder = tmp_path_factory.mktemp("repository")
    path = folder / MODEL
    evaluation = folder / "metrics" / "tiny" / "evaluation.json"
    for parent in (path.parent, evaluation.parent):
        parent.mkdir(parents=True)

    def git(*arguments):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(labels, accuracy):
        write_tiny_model(path, metadata={"labels": json.dumps(labels)})
        version = version_of(path)
        described = {"model": {"version": version[:12]}, "PrivateTest": {"accuracy": accuracy}}
        evaluation.write_text(json.dumps(described))
        git("add", ".")
        git("commit", "-m", f"Reach {accuracy}")
        return version

    git("init", "--initial-branch", "main")
    first = commit(LABELS, 0.6)
    git("tag", "v1")
    second = commit(LABELS[::-1], 0.7)
    git("switch", "--create", "experiment/without")
    git("rm", "-r", "--quiet", "models")
    git("commit", "-m", "Remove the model")
    git("switch", "--create", "broken", "main")
    path.write_bytes(b"no model")
    git("commit", "--all", "-m", "Break the model")
    git("switch", "--quiet", "main")
    shutil.rmtree(folder / "models")
    return folder, first, second, git("rev-parse", "v1")


@pytest.fixture
def serve_here(repository, serve_app, monkeypatch):
    """A function that serves an application in the repository's folder and returns a client."""
    monkeypatch.chdir(repository[0])
    with ExitStack() as started:

        def start(**settings):
            app = create_app(Settings(model_path=MODEL, **settings))
            return started.enter_context(serve_app(app))

        yield start


def predict(client, **query):
    return client.post("/predict", content=FACE.tobytes(), params={"faces": "whole", **query})


@pytest.mark.parametrize("name", ["v1", "main", "main~1", "HEAD", "{commit}", "{commit:.9}"])
def test_a_revision_is_served_with_its_own_metrics(serve_here, repository, name):
    _, first, second, commit = repository
    expected, accuracy = (second, 0.7) if name in {"main", "HEAD"} else (first, 0.6)
    client = serve_here(model_rev=name.format(commit=commit))
    assert client.get("/readyz").status_code == 200
    answer = client.get("/model").json()
    assert answer["version"] == expected
    assert answer["evaluation"]["PrivateTest"]["accuracy"] == accuracy
    assert predict(client).headers["x-model-version"] == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("v2", "no such commit, tag or branch (Needed a single revision)"),
        ("--all", "no such commit, tag or branch"),
        ("0123456789", "no such commit, tag or branch"),
        ("experiment/without", "the revision has no such file (path '"),
        ("broken", "not an ONNX model, or a damaged one"),
    ],
)
def test_a_revision_that_cannot_be_served(serve_here, name, reason):
    client = serve_here(model_rev=name)
    assert client.get("/livez").status_code == 200
    for answer in (client.get("/readyz"), predict(client), client.get("/model")):
        assert answer.status_code == 503
        detail = answer.json()["detail"]
        assert detail.startswith(f"{MODEL} of revision {name}: {reason}") and "\n" not in detail
    (listed,) = client.get("/models").json()["models"]
    assert listed["revision"] == name and listed["problem"] == detail and listed["model"] is None


def test_without_a_repository_readyz_has_the_reason(serve_app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serve_app(create_app(Settings(model_rev="main"))) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "not a git repository" in answer.json()["detail"]


@pytest.mark.parametrize("with_workers", [False, True])
def test_a_moved_branch_is_served_after_a_reload(serve_app, repository, monkeypatch, with_workers):
    folder, first, second, commit = repository
    monkeypatch.chdir(folder)

    def point_to(revision):
        command = ["git", "branch", "--force", "moving", revision]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    point_to("v1")
    settings = Settings(model_path=MODEL, model_rev="moving", api_key="secret")
    # One worker of a main process in this process.
    worker = Worker.of({VARIABLE: MainProcess(settings).listen()}) if with_workers else None
    with serve_app(create_app(settings, worker)) as client:
        client.headers["X-API-Key"] = "secret"

        def served():
            (model,) = client.get("/models").json()["models"]
            accuracy = model["model"]["evaluation"]["PrivateTest"]["accuracy"]
            return model["model"]["version"], model["commit"] == commit, accuracy

        assert served() == (first, True, 0.6)
        point_to("main")
        assert served() == (first, True, 0.6)
        assert client.post("/admin/reload").status_code == 200
        assert served() == (second, False, 0.7)
        point_to("experiment/without")
        refused = client.post("/admin/reload")
        assert refused.status_code == 409
        reason = f"not reloaded: {MODEL} of revision moving: the revision has no such file"
        assert refused.json()["detail"].startswith(reason)
        assert served() == (second, False, 0.7)


def test_a_revision_without_metrics_has_none(serve_here, repository):
    client = serve_here(model_rev="v1", metrics_dir="elsewhere")
    assert client.get("/model").json()["evaluation"] is None


def test_several_versions(serve_here, repository, tmp_path):
    _, first, second, commit = repository
    extra = write_tiny_model(tmp_path / "extra.onnx", metadata={"dataset": "other"})
    third = version_of(extra)
    client = serve_here(
        model_rev="main", extra_model_revs=("v1", "v1~0"), extra_model_paths=(extra,)
    )
    listed = client.get("/models").json()
    assert listed["detectors"] == ["yunet", "whole"]
    sources = [
        (model["source"], model["commit"], model["default"], model["model"]["version"])
        for model in listed["models"]
    ]
    main = listed["models"][0]["commit"]
    assert sources == [
        (f"{MODEL} of revision main", main, True, second),
        (str(extra), None, False, third),
        (f"{MODEL} of revision v1", commit, False, first),
        (f"{MODEL} of revision v1~0", commit, False, first),
    ]
    evaluations = [model["model"]["evaluation"] for model in listed["models"]]
    accuracies = [one and one["PrivateTest"]["accuracy"] for one in evaluations]
    assert accuracies == [0.7, None, 0.6, 0.6]

    emotions = {}
    for version in (None, second, first, first[:8], third):
        answer = predict(client, **({"version": version} if version else {}))
        expected = version or second
        assert answer.headers["x-model-version"].startswith(expected)
        assert answer.json()["model"]["version"].startswith(expected)
        assert client.get("/model", params={"version": version or second}).status_code == 200
        emotions[expected] = answer.json()["faces"][0]["emotion"]
    # Both are the same network, with the labels in opposite order.
    assert LABELS.index(emotions[first]) == 6 - LABELS.index(emotions[second])

    protocol = client.get("/v2/models/emotion").json()
    assert protocol["versions"] == [second, third, first]
    for version in protocol["versions"]:
        ready = client.get(f"/v2/models/emotion/versions/{version}/ready")
        assert ready.json() == {"name": "emotion", "ready": True}
        assert ready.headers["x-model-version"] == version

    assert predict(client, model="other").headers["x-model-version"] == third
    assert client.get("/model", params={"model": "other"}).json()["dataset"] == "other"
    assert client.get("/v2/models/other").json()["versions"] == [third]
    assert client.get("/v2/models/other/ready").json() == {"name": "other", "ready": True}
    image = {"name": "faces", "shape": [1], "datatype": "BYTES", "parameters": {"faces": "whole"}}
    inputs = [image | {"data": [b64encode(FACE.tobytes()).decode()]}]
    answer = client.post("/v2/models/other/infer", json={"inputs": inputs}).json()
    assert (answer["model_name"], answer["model_version"]) == ("other", third)
    # A name and a version of another model do not fit.
    refused = predict(client, model="other", version=first)
    assert refused.json()["detail"].startswith(f"no version {first!r:.100} of other is served: ")

    metrics = client.get("/metrics").text
    assert (
        f'fer_predictions_total{{emotion="{emotions[first]}",model_version="{first}"}}' in metrics
    )


@pytest.mark.parametrize("name", ["", "age", "x" * 1000])
def test_a_model_that_is_not_served(serve_here, name):
    client = serve_here(model_rev="main")
    answers = [predict(client, model=name), client.get("/model", params={"model": name})]
    if name:
        answers.append(client.get(f"/v2/models/{name}"))
    for answer in answers:
        assert answer.status_code == 404
        problem = answer.json().get("detail") or answer.json()["error"]
        assert problem == f"no model {name!r:.100} is served (served: tiny)"


def test_ferplus_is_served_beside_the_default_model():
    assert [path.parent.name for path in Settings().extra_model_paths] == ["ferplus"]
    assert Settings(model_path=MODEL).extra_model_paths == ()
    assert Settings(model_rev="v1").extra_model_paths == ()
    assert Settings(extra_model_paths="").extra_model_paths == ()


@pytest.mark.parametrize("version", ["", "0" * 64, "0" * 8, "{first:.7}", "{first}0", "V1", "../x"])
def test_a_version_that_is_not_served(serve_here, repository, version):
    _, first, second, _ = repository
    client = serve_here(model_rev="main", extra_model_revs=("v1",))
    name = version.format(first=first)
    for answer in (predict(client, version=name), client.get("/model", params={"version": name})):
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith(f"no version {name!r} of emotion is served: ")
        assert answer.json()["detail"].endswith(f"(served: {second[:12]}, {first[:12]})")


def test_if_one_version_fails_the_others_are_served(serve_here):
    client = serve_here(model_rev="main", extra_model_revs=("nothing", "v1"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith(f"{MODEL} of revision nothing: ")
    assert client.get("/v2/health/ready").json() == {"error": answer.json()["detail"]}
    assert predict(client).status_code == 200
    problems = [bool(model["problem"]) for model in client.get("/models").json()["models"]]
    assert problems == [False, True, False]


def test_requests_are_503_while_models_load():
    models = ServedModels(Settings(model_path=MODEL))
    for version in (None, "01234567"):
        with pytest.raises(HTTPException) as refusal:
            models.find(ModelOptions(version=version))
        assert (refusal.value.status_code, refusal.value.detail) == (503, LOADING)


@pytest.mark.parametrize("setting", ["model_rev", "extra_model_revs"])
def test_a_revision_needs_paths_inside_the_repository(tmp_path, setting):
    for path in ({"model_path": tmp_path / "model.onnx"}, {"metrics_dir": tmp_path}):
        with pytest.raises(ValidationError, match="a revision needs a M"):
            Settings(**path, **{setting: "main"})


def test_lists_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("EXTRA_MODEL_REVS", "main, v1,")
    monkeypatch.setenv("EXTRA_MODEL_PATHS", "one.onnx,two.onnx")
    settings = Settings()
    assert settings.extra_model_revs == ("main", "v1")
    assert [str(path) for path in settings.extra_model_paths] == ["one.onnx", "two.onnx"]
