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
    "recognizer": {"stages", "api", "tensorflow", "keras", "pandas", "dvc", "fastapi"},
    "api": {"stages", "tensorflow", "keras", "pandas", "dvc", "great_expectations"},
    "stages": {"api", "fastapi", "uvicorn"},
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
    ],
)
def test_a_file_of_the_library_loads_only_what_it_needs(module, foreign):
    code = f"import sys, {module}; print(set({foreign}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_every_folder_and_file_of_the_recognizer_is_installed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    files = [
        path
        for path in (ROOT / "recognizer").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    folders = {path.parent for path in files}
    assert set(setuptools["packages"]) == {
        ".".join(folder.relative_to(ROOT).parts) for folder in folders
    }
    installed = {path for path in files if path.suffix == ".py"}
    for package, patterns in setuptools["package-data"].items():
        for pattern in patterns:
            installed |= set((ROOT / package.replace(".", "/")).glob(pattern))
    assert set(files) == installed


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


def test_serving_installs_no_training():
    heavy = {"tensorflow", "keras", "dvc", "pandas", "great-expectations"}
    assert heavy & locked("serving").keys() == set()
    assert heavy <= locked("pipeline").keys()
