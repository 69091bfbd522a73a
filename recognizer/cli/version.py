"""The version of this package."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NAME = "facial-expression-recognition"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def package_version() -> str:
    """Return the version in the pyproject.toml of a checkout, else of the installed package.

    "unknown" if there is neither, as where only the folder `recognizer` was copied.
    """
    try:
        project = tomllib.loads(PROJECT.read_text(encoding="utf-8")).get("project", {})
    except FileNotFoundError:
        project = {}
    if project.get("name") == NAME:
        return str(project["version"])
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "unknown"
