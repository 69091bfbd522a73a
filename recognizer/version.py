"""The version of this package."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NAME = "facial-expression-recognition"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def package_version() -> str:
    """The version in pyproject.toml beside a checkout, else that of the installed package.

    "unknown" if there is neither, as where the folder `recognizer` alone was copied.
    """
    try:
        project = tomllib.loads(PROJECT.read_text(encoding="utf-8")).get("project", {})
    except FileNotFoundError:
        project = {}
    if project.get("name") == NAME:
        return project["version"]
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "unknown"
