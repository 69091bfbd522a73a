"""Fetch the model file of the YuNet detector: `python -m recognizer.detector_file` (make detector).

The file is `face_detection_yunet_2026may.onnx` of the OpenCV zoo (MIT licence), pinned by its
digest: what was fetched, and what is loaded later, is that file or it is refused. YuNet: Wu et
al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.
"""

import argparse
import hashlib
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from recognizer.atomic import replaced_atomically
from recognizer.errors import DetectorError, OutputError

URL = (
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/"
    "47534e27c9851bb1128ccc0102f1145e27f23f98/"
    "models/face_detection_yunet/face_detection_yunet_2026may.onnx"
)
"""Where it comes from: one revision of the zoo, through the host of its large files."""

SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
"""Of the file's bytes, in hexadecimal digits."""

PATH = Path("models/detectors/face_detection_yunet.onnx")
"""Where it is kept, relative to the repository's root."""

SECONDS = 30
"""Silence of the host after which it is given up."""


def read_checked(path: Path, sha256: str = SHA256) -> bytes:
    """Read the model file; DetectorError if it is missing or another one."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DetectorError(
            f"{path}: the YuNet detector's model cannot be read: {error.strerror};"
            " `make detector` fetches it"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise DetectorError(
            f"{path}: not the expected model of the YuNet detector: its SHA-256 is {found},"
            f" expected {sha256.lower()}; `make detector` fetches the expected one"
        )
    return content


def fetch(path: Path = PATH, url: str = URL, sha256: str = SHA256) -> None:
    """Download the model file; `path` is replaced only by a whole file with this digest.

    Raises
    ------
    DetectorError
        The address cannot be reached, or has another file.
    OutputError
        `path` cannot be written.
    """
    try:
        with urlopen(url, timeout=SECONDS) as answer:  # noqa: S310  the digest is what is trusted
            content = answer.read()
    # A ValueError is an address without a scheme.
    except (OSError, HTTPException, ValueError) as error:
        raise DetectorError(
            f"{url}: cannot be fetched: {getattr(error, 'reason', error)};"
            f" where there is no network, bring the file and save it as {path}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise DetectorError(
            f"{url}: not the expected file: its SHA-256 is {found}, expected {sha256.lower()};"
            " nothing was written"
        )
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(content)


def main() -> int:
    """Fetch the file unless it is there, say so in one line, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m recognizer.detector_file",
        description="Fetch the model file of the YuNet face detector and check its digest.",
    )
    parser.add_argument("--url", default=URL, help="where it comes from (default: the OpenCV zoo)")
    parser.add_argument("--sha256", default=SHA256, help=f"its digest (default: {SHA256})")
    parser.add_argument(
        "--to", default=PATH, type=Path, metavar="PATH", help=f"its place (default: {PATH})"
    )
    arguments = parser.parse_args()
    try:
        read_checked(arguments.to, arguments.sha256)
        print(f"{arguments.to} is there already, and it is the expected file")
        return 0
    except DetectorError:
        pass  # missing, or another file: it is fetched
    try:
        fetch(arguments.to, arguments.url, arguments.sha256)
    except (DetectorError, OutputError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.to}: fetched, {arguments.to.stat().st_size:,} bytes, digest as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
