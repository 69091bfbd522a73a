"""The steps of the Dockerfile, run without Docker in a new virtual environment and folder."""

import fnmatch
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import tomllib
import venv
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from tests.portrait_fixture import portrait

ROOT = Path(__file__).parents[1]
PATIENCE = 60
COMMIT = "0123456789abcdef"
"""The value of `--build-arg GIT_COMMIT`."""
RELEASED = ("fer2013", "fer2013-small", "ferplus")


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [tuple(line.split(" ", 1)) for line in lines if line]


def last(instruction: str) -> str:
    """The arguments of the last instruction of this name, which overrides earlier ones."""
    return [arguments for name, arguments in instructions() if name == instruction][-1]


def ignored(path: str) -> bool:
    """Whether .dockerignore excludes a file: the last matching line decides."""
    folders = [path, *map(str, Path(path).parents)]
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line.startswith("#") or not line:
            continue
        if pattern.startswith("**/"):
            matches = pattern[3:] in Path(path).parts
        else:
            # A star does not match a slash. A match of a folder includes its files.
            depth = pattern.count("/")
            matches = any(fnmatch.fnmatchcase(f, pattern) for f in folders if f.count("/") == depth)
        if matches:
            verdict = not line.startswith("!")
    return verdict


def context() -> list[str]:
    """The files of the working tree that would be in the build context."""
    everything = subprocess.run(
        ["git", "ls-files", "--cached", "--others"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    return [
        path for path in everything.splitlines() if (ROOT / path).is_file() and not ignored(path)
    ]


@dataclass(frozen=True)
class Image:
    """The result of a build: a folder, and the environment of its processes."""

    folder: Path
    environment: dict[str, str]

    def run(self, command: list[str], **options) -> subprocess.CompletedProcess:
        program = shutil.which(command[0], path=self.environment["PATH"])
        return subprocess.run(
            [program, *command[1:]], cwd=self.folder, env=self.environment, check=False, **options
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image, built step by step."""
    base = tmp_path_factory.mktemp("image")
    venv.create(base / "python", with_pip=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    image = Image(base / "app", kept | {"PATH": f"{base}/python/bin:{os.environ['PATH']}"})
    image.folder.mkdir()
    sent = context()
    for name, arguments in instructions():
        if name == "COPY":
            source, target = arguments.split()
            files = [path for path in sent if path == source or path.startswith(f"{source}/")]
            assert files, f"COPY {source}: not in the build context"
            for path in files:
                copy = image.folder / target / Path(path).relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, copy)
        elif name == "RUN":
            command = re.sub(r"--mount=\S+ ", "", arguments)
            done = image.run(["bash", "-euc", command], capture_output=True, text=True)
            assert done.returncode == 0, f"RUN {command}\n{done.stdout}\n{done.stderr}"
        elif name == "ENV":
            pairs = arguments.replace("${GIT_COMMIT}", COMMIT).split()
            image.environment.update(pair.split("=", 1) for pair in pairs)
    return image


@pytest.fixture(scope="module")
def container(image):
    """A client of the server, which runs with a file size limit of 0 and so cannot write files."""
    with running(image) as client:
        image.environment["UVICORN_PORT"] = str(client.base_url.port)
        yield client


@contextmanager
def running(image, **environment):
    """A client of the server in the image, with more environment variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *json.loads(last("CMD"))]
    # The limit does not apply to a pipe. The few lines of the log fit into its buffer.
    process = subprocess.Popen(
        command,
        cwd=image.folder,
        env={**image.environment, **environment, "UVICORN_PORT": port},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            deadline = time.monotonic() + PATIENCE
            while not is_ready(client):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def is_ready(client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.ConnectError:
        return False


def test_the_base_image_has_a_python_version_of_the_project():
    makefile = (ROOT / "Makefile").read_text()
    version = re.fullmatch(r"python:(3\.\d+)-slim", last("FROM"))[1]
    assert version in re.search(r"for version in ([\d. ]+);", makefile)[1].split()


def test_the_context_has_only_what_the_server_needs():
    sent = context()
    assert {path.split("/")[0] for path in sent} == {
        "LICENSE",
        "NOTICE",
        "api",
        "recognizer",
        "requirements",
        "models",
        "metrics",
    }
    assert {path for path in sent if not path.startswith(("api/", "recognizer/"))} == {
        *("LICENSE", "NOTICE", "requirements/serving.txt"),
        *(f"models/{name}/model.onnx" for name in RELEASED),
        *(
            f"metrics/{name}/{file}"
            for name in RELEASED
            for file in ("evaluation.json", "plots/reliability.csv", "plots/per_class.csv")
        ),
    }
    assert [path for path in sent if "__pycache__" in path] == []


def test_the_server_does_not_run_as_root():
    user, group = map(int, last("USER").split(":"))
    assert user > 0 and group > 0


def test_the_image_serves_the_committed_model(container, photo):
    answer = container.post("/predict", content=photo).json()
    assert len(answer["faces"]) == 1
    model = (ROOT / "models/fer2013/model.onnx").read_bytes()
    assert answer["model"]["version"] == hashlib.sha256(model).hexdigest()
    described = container.get("/model").json()
    assert described["evaluation"] is not None and described["confidence"] is not None
    assert container.get("/docs/files/swagger-ui.css").status_code == 200
    assert f'fer_build_info{{commit="{COMMIT}"' in container.get("/metrics").text


def test_the_image_serves_versions_of_a_mounted_folder_without_git(image, photo, tmp_path):
    contents = {name: (ROOT / f"models/{name}/model.onnx").read_bytes() for name in RELEASED}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    mounted = tmp_path / "models"
    mounted.mkdir()
    (mounted / "stable.onnx").write_bytes(contents["fer2013-small"])
    (mounted / f"{digests['ferplus'][:12]}.onnx").write_bytes(contents["ferplus"])
    # The programs of the image, where git is not among them.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bash").symlink_to(shutil.which("bash"))
    path = f"{image.folder.parent / 'python/bin'}{os.pathsep}{programs}"
    assert not shutil.which("git", path=path) and not (image.folder / ".git").exists()
    with running(image, MODEL_DIR=str(mounted), API_KEY="secret", PATH=path) as client:
        client.headers["X-API-Key"] = "secret"

        def version(query=""):
            return client.post(f"/predict{query}", content=photo).json()["model"]["version"]

        assert version() == digests["fer2013-small"]
        assert version(f"?version={digests['ferplus'][:12]}") == digests["ferplus"]
        assert version("?model=fer2013") == digests["fer2013"]
        (mounted / "new").write_bytes(contents["ferplus"])
        (mounted / "new").replace(mounted / "stable.onnx")
        assert client.post("/admin/reload").status_code == 200
        assert version() == digests["ferplus"]


def test_the_labels_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', last("LABEL")))
    assert set(labels) == {"title", "description", "version", "revision", "licenses"}
    assert labels["title"] == project["name"]
    assert labels["version"] == project["version"]
    assert labels["licenses"] == project["license"]
    # The commit is an argument of the build, which must stand before the label.
    names = [name for name, _ in instructions()]
    assert labels["revision"] == "${GIT_COMMIT}" and names.index("ARG") < names.index("LABEL")


def test_a_large_form_is_not_written_to_disk(container):
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600), dtype=np.uint8)
    large = cv2.imencode(".png", noise)[1].tobytes()
    assert len(large) > 2_000_000
    answer = container.post("/predict", files={"file": ("large.png", large)})
    assert answer.status_code == 200, answer.text


def test_the_health_check_fails_without_a_server(image, container):
    command = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert image.run(command).returncode == 0
    image.environment["UVICORN_PORT"] = "1"
    done = image.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "refused" in done.stderr


@pytest.fixture(scope="module")
def photo():
    return cv2.imencode(".jpg", portrait())[1].tobytes()
