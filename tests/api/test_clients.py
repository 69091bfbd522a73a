"""Clients in Python and TypeScript that are generated from /openapi.json, as in docs/clients.md."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from api.app import create_app
from api.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/clients.md").read_text()
ADDRESS = "http://127.0.0.1:8000"

PINNED = Path(__file__).parent / "typescript"
"""The packages that the page installs, in versions that are pinned with their digests."""
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT")
MISSING_NPM = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")


def block(language: str, number: int = 0) -> str:
    """A fenced block of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)[number]


PYTHON_COMMANDS, PYTHON_RUN, TYPESCRIPT_COMMANDS, TYPESCRIPT_RUN = (
    block("sh", number) for number in range(4)
)


def run(command, folder, **environment):
    """The output of a command, which must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def address_of(server):
    return str(server.base_url).rstrip("/")


@pytest.fixture
def folder(tmp_path, photo):
    """A folder with the files that the programs send."""
    (tmp_path / "photo.jpg").write_bytes(photo)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture
def expected(server, photo):
    """The predicted emotion of the photo, and the error of the model that is not served."""
    emotion = server.post("/predict", content=photo).json()["faces"][0]["emotion"]
    refused = server.post("/predict?model=age", content=photo)
    return emotion, refused.json()["detail"]


# ---------------------------------------------------------------- Python

MYPY = """
[mypy]
strict = True
# The templates of the generator have redundant casts, and this file is not strict.
warn_redundant_casts = False
[mypy-fer_client.client]
ignore_errors = True
"""


def generate(server, folder):
    """Generate the client; its output has no warning."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    install, command = PYTHON_COMMANDS.replace(ADDRESS, address_of(server)).splitlines()
    assert install.split()[-1] in (ROOT / "requirements/development.in").read_text()
    printed = run(["bash", "-euc", command], folder, PATH=scripts)
    assert "arning" not in printed, printed
    (folder / "mypy.ini").write_text(MYPY)


def test_the_python_client_is_typed_and_works(server, folder, expected):
    generate(server, folder)
    program = folder / "program.py"
    program.write_text(block("python").replace(ADDRESS, address_of(server)))
    run([sys.executable, "-m", "mypy", "fer_client", "program.py"], folder)
    assert PYTHON_RUN == "python program.py\n"
    one, good, bad, refused = run([sys.executable, "program.py"], folder).splitlines()
    emotion, problem = expected
    assert re.fullmatch(rf"{emotion} 0\.\d+", one)
    assert good == f"photo.jpg ['{emotion}']"
    assert bad.startswith("notes.txt not an image of a known format")
    assert refused.startswith("404 Problem(detail=") and problem in refused


WITH_KEY = """
from fer_client import AuthenticatedClient
from fer_client.api.model import list_models
from fer_client.models import ServedVersions

for token in ("secret", "wrong"):
    answer = list_models.sync(client=AuthenticatedClient("{address}", token=token))
    print(len(answer.models) if isinstance(answer, ServedVersions) else answer)
"""


def test_the_python_client_sends_the_key(serve, model_path, folder):
    with serve(MODEL_PATH=str(model_path), API_KEY="secret") as server:
        generate(server, folder)
        (folder / "program.py").write_text(WITH_KEY.format(address=address_of(server)))
        served, refused = run([sys.executable, "program.py"], folder).splitlines()
    assert served == "1"
    assert refused.startswith("Problem(detail='the API key is missing or wrong")


# ---------------------------------------------------------------- TypeScript


@MISSING_NPM
def test_the_typescript_client_is_typed_and_works(server, folder, expected):
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PINNED / name, folder)
    try:
        run(["npm", "ci", "--no-audit", "--no-fund"], folder)
    except AssertionError as error:
        if UNREACHABLE.search(str(error)):
            pytest.skip("npm reaches no registry")
        raise
    install, settings, generate = TYPESCRIPT_COMMANDS.splitlines()
    pinned = (PINNED / "package.json").read_text()
    assert all(
        f'"{name}"' in pinned for name in re.findall(r"[\w@/-]*(?:openapi|type)[\w/-]*", install)
    )
    run(["bash", "-euc", f"{settings}\n{generate}".replace(ADDRESS, address_of(server))], folder)
    program = block("typescript").replace(ADDRESS, address_of(server))
    (folder / "program.ts").write_text(program)
    printed = run(["bash", "-euc", TYPESCRIPT_RUN], folder)
    emotion, problem = expected
    assert printed.startswith(f"{emotion} {{")
    assert "\n1\nnot an image of a known format" in printed
    assert printed.endswith(f"\n404 {problem}\n")
    # The page shows what the program prints with the released model: docs/record_transcripts.py.
    shown = PAGE.partition(TYPESCRIPT_RUN)[2].partition("<!-- transcript -->\n```\n")[2]
    shown = shown.partition("```")[0].splitlines()
    assert re.fullmatch(r"\w+ \{", shown[0])
    assert shown[-3:-1] == printed.splitlines()[-3:-1]
    assert shown[-1].startswith("404 no model 'age' is served")


# ---------------------------------------------------------------- examples


def test_every_response_has_an_example_that_fits_its_schema():
    document = create_app(Settings(api_key="secret")).openapi()
    components = {"components": document["components"]}
    checked = set()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                body = response.get("content", {}).get("application/json")
                if not body:
                    continue
                validator = Draft202012Validator({**body["schema"], **components})
                if status == "200":
                    name = body["schema"]["$ref"].rpartition("/")[2]
                    schema = document["components"]["schemas"][name]
                    examples = schema.get("examples") or [fields_of(schema)]
                else:
                    examples = [body["example"]]
                for example in examples:
                    assert example, (path, status)
                    validator.validate(example)
                    checked.add((path, status))
    assert {"/predict", "/predict/batch", "/analyze", "/models"} <= {path for path, _ in checked}


def fields_of(schema):
    """An example from the examples of the fields, as the documentation shows it."""
    return {name: field["examples"][0] for name, field in schema["properties"].items()}


JSON, TEXT = {"content-type": "application/json"}, {"content-type": "text/plain"}

ERRORS = [
    ("/predict", {"content": b'{"image"', "headers": JSON}),
    ("/predict", {"headers": {"x-api-key": "wrong"}}),
    ("/predict", {"params": {"model": "age"}}),
    ("/predict", {"content": bytes(10_485_761)}),
    ("/predict", {"headers": TEXT}),
    ("/predict", {"params": {"verson": "1"}}),
    ("/predict/batch", {"headers": {"content-type": "multipart/form-data"}}),
    ("/predict/batch", {"headers": TEXT}),
    ("/analyze", {"content": b'{"image"', "headers": JSON}),
    ("/analyze", {"headers": TEXT}),
    ("/analyze", {"content": b"{}", "headers": JSON, "params": {"verson": "1"}}),
    ("/v2/models/{name}/infer", {"content": b'{"image"'}),
    ("/v2/models/{name}/infer", {"headers": {"content-encoding": "br"}}),
    ("/admin/reload", {"params": {"version": "1"}}),
]


def test_the_examples_of_errors_are_what_the_server_sends(serve, photo):
    paths = create_app(Settings(api_key="secret")).openapi()["paths"]
    with serve(API_KEY="secret") as server:
        server.headers["X-API-Key"] = "secret"
        for path, request in ERRORS:
            content = {} if path == "/admin/reload" else {"content": photo}
            answer = server.post(path.format(name="emotion"), **(content | request))
            response = paths[path]["post"]["responses"][str(answer.status_code)]
            example = response["content"]["application/json"]["example"]
            assert answer.json() == example, (path, request)
        for path in ("/models", "/v2", "/v2/models/{name}"):
            answer = server.get(path.format(name="emotion"), params={"version": "1"})
            assert answer.status_code == 422
            response = paths[path]["get"]["responses"]["422"]
            assert answer.json() == response["content"]["application/json"]["example"], path


def test_the_names_of_types_are_stable():
    """Code that uses a generated client imports them."""
    schemas = create_app(Settings()).openapi()["components"]["schemas"]
    assert set(schemas) >= {
        *("ImageJson", "AnalyzeJson", "InferenceRequest", "InferenceResponse", "Analyses"),
        *("Prediction", "BatchPrediction", "BatchFaces", "BatchError", "Face", "Problem"),
        *("ModelDescription", "ServedVersions", "StreamFaces", "StreamError", "StreamEnd"),
    }
