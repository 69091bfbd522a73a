"""dvc.yaml and experiments/dvc.yaml depend on the code that their commands import."""

import ast
import os
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NEUTRAL = {
    *(
        f"stages/{name}.py"
        for name in ("artifacts", "command_line", "errors", "parameters", "wording")
    ),
    *(
        "stages/teachers.py",
        "stages/tracking.py",
        "recognizer/errors.py",
        "recognizer/atomic_file.py",
        "recognizer/onnx_operators.py",
        "recognizer/optional_packages.py",
        "recognizer/printable.py",
        "recognizer/regular_file.py",
    ),
}
"""Files that read, write and report, and that no result depends on."""


def stages_of(folder: str) -> dict[str, dict]:
    """The stages of a dvc.yaml with the settings of each, `foreach` resolved."""
    document = yaml.safe_load((ROOT / folder / "dvc.yaml").read_text())
    return {name: stage.get("do", stage) for name, stage in document["stages"].items()}


def imported_files(path: str) -> set[str]:
    """Our own files that a file imports, anywhere in it; packages without code are left out."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = {f"{name.replace('.', '/')}.py" for name in names}
    return {file for file in files if (ROOT / file).is_file()}


def reached(path: str) -> set[str]:
    """`path` and all that it imports, directly or not, but for NEUTRAL."""
    found, waiting = set(), {path}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= imported_files(file) - found - NEUTRAL
    return found


def code_dependencies(folder: str, stage: dict) -> set[str]:
    """Paths of code that a stage depends on, from the repository's root."""
    paths = {os.path.normpath(os.path.join(folder, path)) for path in stage["deps"]}  # noqa: PTH118
    return {path for path in paths if path.endswith(".py") or (ROOT / path).is_dir()} - {
        "experiments/results"
    }


CASES = [(folder, name) for folder in (".", "experiments") for name in stages_of(folder)]


@pytest.mark.parametrize(("folder", "name"), CASES, ids=[name for _, name in CASES])
def test_a_stage_depends_on_what_its_command_imports(folder, name):
    stage = stages_of(folder)[name]
    module = re.search(r"python -m ([\w.]+)", stage["cmd"])[1]
    files = reached(f"{module.replace('.', '/')}.py")
    dependencies = code_dependencies(folder, stage)

    def covered(file: str, dependency: str) -> bool:
        return file == dependency or file.startswith(f"{dependency}/")

    missing = {file for file in files if not any(covered(file, path) for path in dependencies)}
    assert missing == set()
    unused = {path for path in dependencies if not any(covered(file, path) for file in files)}
    assert unused == set()


def test_no_wing_imports_a_command():
    commands = {path.name for path in (ROOT / "stages").glob("*.py")}
    commands &= {f"{name}.py" for name in stages_of(".")}
    assert len(commands) == 7
    for path in (ROOT / "stages").glob("*/*.py"):
        imports = imported_files(str(path.relative_to(ROOT)))
        assert imports.isdisjoint({f"stages/{name}" for name in commands}), path


def test_no_command_imports_another():
    for name in stages_of("."):
        others = {f"stages/{other}.py" for other in stages_of(".") if other != name}
        assert imported_files(f"stages/{name}.py").isdisjoint(others)
