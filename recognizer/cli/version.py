"""The version of this package."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from recognizer.optional_packages import DISTRIBUTION

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def package_version() -> str:
    """Return the version in the pyproject.toml of a checkout, else of the installed package.

    "unknown" if there is neither, as where only the folder `recognizer` was copied.
    """
    try:
        project = PROJECT.read_text(encoding="utf-8")
    except FileNotFoundError:
        project = ""
    # Python 3.10 has no tomllib.
    if found := re.search(rf'^name = "{DISTRIBUTION}"\nversion = "(.+)"$', project, re.MULTILINE):
        return found[1]
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
