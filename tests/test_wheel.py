"""The wheel: built and installed as docs/python.md says, in empty environments, and used there.

Each environment has only the locked dependencies of `requirements/package.txt`: no Pillow, no
PyAV, no pandas.
"""

import hashlib
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from PIL import Image
from pillow_heif import register_heif_opener

from recognizer.image import decode

ROOT = Path(__file__).parents[1]
UV = Path(sys.prefix) / "bin/uv"
PHOTO = ROOT / "docs/astronaut.jpg"
MODELS = ("fer2013", "fer2013-small", "ferplus")
MAX_BYTES = 15_000_000

register_heif_opener()  # to write the photo as HEIC

LOSSLESS = {"photo.png": "PNG", "photo.bmp": "BMP", "photo.tiff": "TIFF", "photo.gif": "GIF"}
"""Formats whose pixels do not depend on the version of OpenCV."""

SCRIPT = """
import hashlib, importlib.util, json, sys

def refuse(event, _):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise AssertionError(event)

sys.addaudithook(refuse)
import facial_expression as fe
optional = ("PIL", "av", "pandas", "pillow_heif", "tqdm", "joblib", "matplotlib")
result = {
    "python": sys.version_info[:2],
    "file": fe.__file__,
    "optional": [name for name in optional if importlib.util.find_spec(name)],
    "photos": {model: fe.analyze("photo.jpg", model=model).to_dict() for model in MODELS},
    "webp": fe.analyze("photo.webp")[0].emotion,
    "pixels": {},
    "errors": [],
}
for name in LOSSLESS:
    with open(name, "rb") as file:
        pixels = fe.analysis.read_image(file.read()).pixels
    result["pixels"][name] = hashlib.sha256(pixels.tobytes()).hexdigest()
photo = fe.analyze("photo.jpg")
assert photo._repr_png_() is None
for call in (
    photo.draw, photo.to_frame, lambda: fe.analyze("clip.mp4"), lambda: fe.analyze("photo.heic"),
    lambda: fe.analyze("photo.avif"),
):
    try:
        call()
    except Exception as error:
        result["errors"].append(f"{type(error).__name__}: {error}")
print(json.dumps(result))
"""


def uv(*arguments: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([UV, *map(str, arguments)], capture_output=True, text=True, **options)


def committed(*paths: str) -> list[str]:
    """The files below paths of the working tree that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel that is built from the sdist, which is built from the committed files."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in committed():
        if not name.startswith(("data/", "experiments/", "tests/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    # Without isolation, the build uses the locked setuptools and needs no network.
    done = uv(
        "build", "--offline", "--no-build-isolation", "--python", sys.executable, "-o", out, source
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    assert len(list(out.glob("*.tar.gz"))) == 1
    return wheel


# ---------------------------------------------------------------- the file


def test_the_wheel_has_the_packages_and_two_models(wheel):
    with zipfile.ZipFile(wheel) as packed:
        content = {
            name: hashlib.sha256(packed.read(name)).hexdigest()
            for name in packed.namelist()
            if ".dist-info/" not in name
        }
    expected = {name: ROOT / name for name in committed("api", "facial_expression", "recognizer")}
    expected |= {
        f"recognizer/models/{name}/model.onnx": ROOT / f"models/{name}/model.onnx"
        for name in MODELS
    }
    expected |= {
        f"api/committed_metrics/{name}/{file}": ROOT / f"metrics/{name}/{file}"
        for name in MODELS
        for file in ("evaluation.json", "plots/reliability.csv", "plots/per_class.csv")
    }
    assert content == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in expected.items()
    }
    assert wheel.stat().st_size < MAX_BYTES


def test_the_metadata_of_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(packed.read(name).decode())
        licences = {name.rpartition("/")[2] for name in packed.namelist() if "/licenses/" in name}
    required = map(Requirement, metadata.get_all("Requires-Dist"))
    assert {one.name for one in required if not one.marker} == {
        "numpy",
        "onnxruntime",
        "opencv-python-headless",
    }
    assert metadata["Requires-Python"] == ">=3.10"
    assert licences == {"LICENSE", "NOTICE", "LICENSE-DejaVu.txt", "LICENSE-YuNet.txt"}


# ---------------------------------------------------------------- environments


def interpreter(version: str) -> Path | None:
    """An installed Python of a version: on the path, or one of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python")]
    for path in filter(None, found):
        # A shim of pyenv may be on the path without its Python.
        done = subprocess.run([path, "-c", "import venv"], capture_output=True)
        if done.returncode == 0:
            return Path(path)
    return None


@pytest.fixture(scope="session", params=["3.10", "3.11", "3.12", "3.13"])
def environment(request, wheel, tmp_path_factory) -> Path:
    """The programs of an environment with the wheel and its dependencies."""
    return installed(request.param, wheel, "package", tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="session")
def serving_environment(wheel, tmp_path_factory) -> Path:
    """The programs of an environment with the wheel and the locked packages of its server."""
    return installed("3.11", wheel, "serving", tmp_path_factory.mktemp("serving"))


def installed(version: str, wheel: Path, room: str, folder: Path) -> Path:
    """Make an environment with the wheel and the packages in `requirements/`."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    assert uv("venv", "--python", python, folder / "venv").returncode == 0
    programs = folder / "venv/bin"
    locked = ("--require-hashes", "--requirement", ROOT / f"requirements/{room}.txt")
    for arguments in (locked, ("--no-deps", wheel)):
        install = ("pip", "install", "--python", programs / "python", *arguments)
        if uv(*install, "--offline").returncode:
            done = uv(*install)
            assert done.returncode == 0, done.stderr
    checked = uv("pip", "check", "--python", programs / "python")
    assert checked.returncode == 0, checked.stderr
    return programs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with one photo in several formats, and nothing of the repository."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copyfile(PHOTO, folder / "photo.jpg")
    with Image.open(PHOTO) as photo:
        for name, format_ in LOSSLESS.items():
            photo.save(folder / name, format_)
        photo.save(folder / "photo.webp")
        photo.save(folder / "photo.heic", "HEIF")
        photo.save(folder / "photo.avif")
    return folder


def run(program: Path, *arguments: str, folder: Path, **options) -> subprocess.CompletedProcess:
    """Run a program as a user would, without the variables of this test run."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    return subprocess.run(
        [program, *arguments], cwd=folder, env=kept, capture_output=True, text=True, **options
    )


def test_the_call_in_an_empty_environment(environment, folder):
    script = SCRIPT.replace("MODELS", repr(MODELS)).replace("LOSSLESS", repr(list(LOSSLESS)))
    done = run(environment / "python", "-W", "error", "-c", script, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert Path(result["file"]).is_relative_to(environment.parent)
    assert result["optional"] == []
    for name, photo in result["photos"].items():
        model = (ROOT / f"models/{name}/model.onnx").read_bytes()
        assert photo["model"]["version"] == hashlib.sha256(model).hexdigest()
        assert_astronaut(photo)
    assert result["webp"] == "happy"
    assert result["pixels"] == {
        name: hashlib.sha256(decode((folder / name).read_bytes()).pixels.tobytes()).hexdigest()
        for name in LOSSLESS
    }
    install = "which is not installed: pip install"
    assert result["errors"] == [
        f"MissingPackageError: draw() needs the package pillow, {install} {extra('draw')}",
        f"MissingPackageError: to_frame() needs the package pandas, {install} pandas",
        f"MissingPackageError: a video needs the package av, {install} {extra('video')}",
        "ImageError: photo.heic: a HEIC image needs the package pillow-heif,"
        f" {install} {extra('heic')}",
        f"ImageError: photo.avif: an AVIF image needs the package pillow, {install}"
        f" {extra('heic')}",
    ]


def test_the_command_in_an_empty_environment(environment, folder):
    command = environment / "recognize-emotions"
    done = run(command, "photo.jpg", "photo.png", "--json", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    for line in done.stdout.splitlines():
        assert_astronaut(json.loads(line))
    shown = run(command, "photo.jpg", "--model", "fer2013-small", folder=folder)
    assert shown.stdout.splitlines()[1].startswith("happy ")
    version = run(command, "--version", folder=folder)
    model = hashlib.sha256((ROOT / "models/fer2013/model.onnx").read_bytes()).hexdigest()[:12]
    assert version.stdout.endswith(f", model fer2013 {model}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotate", "a.jpg"], "--annotate needs the package pillow"),
        (["--plot", "a.png"], "--plot needs the package matplotlib"),
        (["--workers", "2"], "--workers needs the package joblib"),
        (["--dask", "tcp://localhost:1"], "--dask needs the package distributed"),
        (["clip.mp4"], "clip.mp4: a video needs the package av"),
        (["photo.heic"], "photo.heic: a HEIC image needs the package pillow-heif"),
    ],
)
@pytest.mark.parametrize("environment", ["3.11"], indirect=True)
def test_a_missing_package_is_an_error_of_one_line(environment, folder, arguments, message):
    done = run(environment / "recognize-emotions", "photo.jpg", *arguments, folder=folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}, which is not installed: pip install 'facial-")


def test_the_server_without_its_packages_is_an_error_of_one_line(environment, folder):
    done = run(environment / "python", "-m", "api", folder=folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    # An older Python is named first: the server needs 3.11.
    assert line.startswith(
        (
            "error: the server needs the package uvicorn, which is not installed: pip install",
            "error: the server needs Python 3.11 or later, not 3.10.",
        )
    )


@pytest.mark.parametrize("environment", ["3.11"], indirect=True)
def test_without_tqdm_a_terminal_shows_no_progress(environment, folder, tmp_path):
    terminal, stderr = pty.openpty()
    command = [environment / "recognize-emotions", "photo.jpg", "absent.jpg"]
    done = subprocess.run(
        [*command, "--csv", tmp_path / "out.csv"], cwd=folder, stdout=subprocess.PIPE, stderr=stderr
    )
    os.close(stderr)
    shown = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert (done.returncode, done.stdout) == (1, b"")
    assert shown.splitlines() == [
        "error: absent.jpg: No such file or directory",
        f"cannot be read: 1 inputs; see {tmp_path}/out.csv",
    ]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("environment", ["3.11"], indirect=True)
def test_the_types_of_the_call_reach_a_type_checker(environment, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import facial_expression as fe\n"
        "photo: fe.Photo = fe.analyze(b'')\n"
        "names: list[str | None] = [face.emotion for face in photo]\n"
        "results: fe.Results = fe.analyze(['a.jpg', 'b.mp4'])\n"
        "either: fe.Photo | fe.Video = fe.analyze('a.jpg')\n"
        "number: str = photo[0].probability\n"
    )
    checked = [sys.executable, "-m", "mypy", "--strict", "--python-executable"]
    done = subprocess.run(
        [*checked, environment / "python", "--cache-dir", tmp_path / "cache", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert re.findall(r"script\.py:(\d+): error: (.*)  \[", done.stdout) == [
        (
            "6",
            'Incompatible types in assignment (expression has type "float", variable has type'
            ' "str")',
        )
    ]


def test_the_server_in_an_empty_folder(serving_environment, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [serving_environment / "python", "-m", "api", "--port", str(port)]
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    process = subprocess.Popen(command, cwd=folder, env=kept, stderr=subprocess.PIPE)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(client, process)
            answer = client.post("/predict", content=PHOTO.read_bytes()).json()
            model = client.get("/model").json()
            assert client.get("/").status_code == 200
    finally:
        process.terminate()
        process.communicate()
    assert_astronaut(answer)
    expected = hashlib.sha256((ROOT / "models/fer2013/model.onnx").read_bytes()).hexdigest()
    assert answer["model"]["version"] == model["version"] == expected
    assert model["evaluation"] is not None
    assert model["confidence"] is not None


def wait_until_ready(client: httpx.Client, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read().decode()
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.1)
    pytest.fail("the server is not ready after a minute")


def test_the_import_loads_no_optional_package():
    """Where they are installed, too: the import stays fast."""
    code = "import sys, facial_expression; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    slow = {"PIL", "av", "pandas", "pillow_heif", "tqdm", "joblib", "matplotlib", "sklearn"}
    assert slow.isdisjoint(done.stdout.split())


def extra(name: str) -> str:
    return f"'facial-expression-recognition[{name}]'"


def assert_astronaut(photo: dict) -> None:
    """The one face in docs/astronaut.jpg; its numbers differ a little with other versions."""
    (face,) = photo["faces"]
    assert face["emotion"] == "happy"
    assert face["probabilities"]["happy"] > 0.9
    box = [face["box"][side] for side in ("x", "y", "width", "height")]
    assert box == pytest.approx([181, 61, 91, 116], abs=3)
