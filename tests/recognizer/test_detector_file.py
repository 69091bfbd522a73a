"""Fetching the detector's model: the right file, whole, or one line that says why not."""

import hashlib
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from recognizer.detector_file import PATH, fetch, read_checked
from recognizer.errors import DetectorError, OutputError

ROOT = Path(__file__).parents[2]
CONTENT = b"a detector's model" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def host(tmp_path):
    """A host that offers the file `model.onnx` and another one."""
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(CONTENT)
    (folder / "pointer.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_file_is_fetched_whole_into_a_new_folder(host, tmp_path):
    path = tmp_path / "models" / "detectors" / "model.onnx"
    fetch(path, f"{host}/model.onnx", DIGEST)
    assert read_checked(path, DIGEST.upper()) == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("{host}/pointer.onnx", "not the expected file: its SHA-256 is"),
        ("{host}/absent.onnx", "cannot be fetched: (HTTP Error 404: )?File not found"),
        ("http://127.0.0.1:9/model.onnx", "cannot be fetched: .*refused"),
        ("http://no-such-host.invalid/model.onnx", "cannot be fetched: "),
        ("model.onnx", "cannot be fetched: unknown url type"),
        ("http://127.0.0.1:word/", "cannot be fetched: "),
    ],
)
def test_what_cannot_be_had_changes_nothing(host, tmp_path, address, reason):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")
    with pytest.raises(DetectorError, match=reason) as caught:
        fetch(path, address.format(host=host), DIGEST)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"the old one"
    assert {file.name for file in tmp_path.iterdir()} == {"host", "model.onnx"}


def test_a_place_that_cannot_be_written(host, tmp_path):
    (tmp_path / "models").write_text("a file, no folder")
    with pytest.raises(OutputError, match=r"models/model\.onnx: cannot be written"):
        fetch(tmp_path / "models" / "model.onnx", f"{host}/model.onnx", DIGEST)


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "recognizer.detector_file", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_command_fetches_once(host, tmp_path):
    arguments = ("--url", f"{host}/model.onnx", "--sha256", DIGEST)
    first = run(tmp_path, *arguments)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"{PATH}: fetched, {len(CONTENT):,} bytes, digest as expected\n"
    again = run(tmp_path, "--url", "http://127.0.0.1:9/", "--sha256", DIGEST)
    assert (again.returncode, again.stderr) == (0, "")
    assert "there already" in again.stdout


def test_the_command_replaces_another_file(host, tmp_path):
    path = tmp_path / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(b"an older one")
    assert run(tmp_path, "--url", f"{host}/model.onnx", "--sha256", DIGEST).returncode == 0
    assert path.read_bytes() == CONTENT


def test_without_a_network_the_command_says_what_to_do(tmp_path):
    done = run(tmp_path, "--url", "http://127.0.0.1:9/model.onnx")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: http://127.0.0.1:9/model.onnx: cannot be fetched: ")
    assert line.endswith(f"save it as {PATH}")
