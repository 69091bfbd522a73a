"""The arrows between the rooms, and the locked requirements."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOREIGN = {
    "recognizer": {
        *("facial_expression", "stages", "api"),
        *("tensorflow", "keras", "pandas", "dvc", "fastapi"),
    },
    "facial_expression": {"stages", "api", "tensorflow", "keras", "dvc", "fastapi"},
    "api": {
        *("facial_expression", "stages"),
        *("tensorflow", "keras", "pandas", "dvc", "great_expectations"),
    },
    "stages": {"facial_expression", "api", "fastapi", "uvicorn"},
}
"""What no file in a room imports, the folders in it included."""


def modules(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports here are absolute"
            # `from recognizer.cli import job` imports recognizer.cli.job.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    return {name.partition(".")[0] for name in modules(path)}


@pytest.mark.parametrize("room", FOREIGN)
def test_arrows_point_one_way(room):
    files = list((ROOT / room).rglob("*.py"))
    assert len(files) > 3
    crossings = {str(path): imported(path) & FOREIGN[room] for path in files}
    assert {path: names for path, names in crossings.items() if names} == {}


def test_the_library_does_not_import_its_command_line():
    folder = ROOT / "recognizer"
    library = [path for path in folder.rglob("*.py") if "cli" not in path.parts]
    library.remove(folder / "__main__.py")
    assert len(library) > 15
    crossings = {
        str(path): {name for name in modules(path) if name.startswith("recognizer.cli")}
        for path in library
    }
    assert {path: names for path, names in crossings.items() if names} == {}


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("recognizer.classifier", ["recognizer.detectors", "recognizer.cropping", "cv2"]),
        ("recognizer.cropping", ["recognizer.classifier", "recognizer.detectors.yunet"]),
        ("recognizer.recognizer", ["recognizer.detectors.yunet", "recognizer.video"]),
        ("recognizer.image", ["PIL", "av", "pillow_heif"]),
    ],
)
def test_a_file_of_the_library_loads_only_what_it_needs(module, foreign):
    code = f"import sys, {module}; print(set({foreign}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", ["networks", "losses", "optimizers", "augmentation", "checkpoint"])
def test_training_uses_keras_and_not_its_backend(name):
    source = (ROOT / "stages" / "training" / f"{name}.py").read_text()
    assert not re.search(r"\btf\.|\btorch\.|\bjnp\.", source)
    assert (
        imported(ROOT / "stages" / "training" / f"{name}.py") & {"tensorflow", "torch", "jax"}
        == set()
    )


def locked(room: str) -> dict[str, str]:
    """Version by name of one locked file."""
    text = (ROOT / "requirements" / f"{room}.txt").read_text()
    assert re.search(r"https?://", text) is None
    blocks = re.split(r"\n(?=\S)", text)
    found = {}
    for block in blocks:
        if pin := re.match(r"([\w.-]+)==(\S+) \\\n", block):
            assert "--hash=sha256:" in block
            found[pin[1]] = pin[2]
    return found


def requested(room: str) -> set[str]:
    """Names in one input file."""
    text = (ROOT / "requirements" / f"{room}.in").read_text()
    return set(re.findall(r"^([a-z][\w-]*)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("room", ["installer", "pipeline", "serving", "tracking", "development"])
def test_every_requirement_is_locked_with_hashes_to_one_version(room):
    pins = locked(room)
    assert requested(room) <= pins.keys()
    everything = locked("development")
    assert {name: everything.get(name) for name in pins} == pins


def required(extra: str = "") -> set[str]:
    """Names of the packages that the wheel needs, or needs with an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    names = set()
    for line in lines:
        if own := re.fullmatch(rf"{project['name']}\[(.+)\]", line):
            names |= set().union(*map(required, own[1].split(",")))
        else:
            names.add(re.match(r"[\w-]+", line)[0])
    return names


def test_the_extras_are_the_requirements_that_are_locked():
    assert required() == requested("package")
    assert required() | required("server") == requested("serving")
    assert required() | required("pipeline") == requested("pipeline")


def test_every_dependency_of_the_wheel_is_locked_with_hashes():
    text = (ROOT / "requirements/package.txt").read_text()
    assert re.search(r"https?://", text) is None
    pins = re.findall(r"^([\w-]+)==\S+.* \\\n    --hash=sha256:", text, flags=re.MULTILINE)
    assert requested("package") <= set(pins)
    assert len(pins) == len(re.findall(r"^[\w-]+==", text, flags=re.MULTILINE))


def test_serving_installs_no_training():
    heavy = {"tensorflow", "keras", "dvc", "pandas", "great-expectations"}
    assert heavy & locked("serving").keys() == set()
    assert heavy <= locked("pipeline").keys()
