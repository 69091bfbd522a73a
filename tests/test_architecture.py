"""The arrows between the rooms, and the locked requirements."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOREIGN = {
    "recognizer": {"stages", "api", "tensorflow", "keras", "pandas", "dvc", "fastapi"},
    "api": {"stages", "tensorflow", "keras", "pandas", "dvc", "great_expectations"},
    "stages": {"api", "fastapi", "uvicorn"},
}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("room", FOREIGN)
def test_arrows_point_one_way(room):
    files = list((ROOT / room).rglob("*.py"))
    assert len(files) > 3
    crossings = {str(path): imported(path) & FOREIGN[room] for path in files}
    assert {path: names for path, names in crossings.items() if names} == {}


@pytest.mark.parametrize("name", ["networks", "losses", "optimizers", "augmentation", "checkpoint"])
def test_training_knows_no_backend(name):
    source = (ROOT / "stages" / f"{name}.py").read_text()
    assert not re.search(r"\btf\.|\btorch\.|\bjnp\.", source)
    assert imported(ROOT / "stages" / f"{name}.py") & {"tensorflow", "torch", "jax"} == set()


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


def asked(room: str) -> set[str]:
    """Names in one input file."""
    text = (ROOT / "requirements" / f"{room}.in").read_text()
    return set(re.findall(r"^([a-z][\w-]*)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("room", ["pipeline", "serving", "development"])
def test_every_requirement_is_locked_with_hashes_to_one_version(room):
    pins = locked(room)
    assert asked(room) <= pins.keys()
    everything = locked("development")
    assert {name: everything.get(name) for name in pins} == pins


def test_serving_installs_no_training():
    heavy = {"tensorflow", "keras", "dvc", "pandas", "great-expectations"}
    assert heavy & locked("serving").keys() == set()
    assert heavy <= locked("pipeline").keys()
