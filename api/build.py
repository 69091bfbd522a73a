"""The versions of this server and of the libraries that its predictions depend on."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

VERSION = "0.1.0"
"""The version in pyproject.toml, which is not installed with the server."""

ROOT = Path(__file__).parents[1]


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decode, detect and classify."""
    return {
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "opencv": version("opencv-python-headless"),
    }


def commit_of_the_code() -> str | None:
    """The checked-out commit, with the suffix "-dirty" if files changed; None outside a clone."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # git is not installed, or hangs
        return None
    return done.stdout.strip() or None
