"""Only regular files are read, and only up to a size."""

import errno
import os
import socket
import tempfile
from pathlib import Path

import pytest

from recognizer.regular_file import open_regular_file, read_regular_file


def test_a_file_and_a_link_to_it_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    assert read_regular_file(tmp_path / "a", 5) == read_regular_file(tmp_path / "link") == b"12345"


def test_a_file_that_states_no_size_is_read_whole_and_within_the_limit():
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("needs Linux")
    assert b"VmRSS" in read_regular_file(path)
    with pytest.raises(OSError, match="more than 100 bytes"):
        read_regular_file(path, 100)


def test_a_file_above_the_limit_is_refused_without_reading_it(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="more than 1,000 bytes") as refusal:
        read_regular_file(tmp_path / "large", 1000)
    assert refusal.value.errno == errno.EFBIG


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pipe", "is a named pipe, not a file"),
        ("socket", "is a socket, not a file"),
        ("zero", "is a device, not a file"),
        ("folder", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("gone", "No such file or directory"),
    ],
)
def test_anything_else_is_refused(name, reason):
    # A socket's path may have 108 bytes.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as unix:
        os.mkfifo(f"{folder}/pipe")
        unix.bind(f"{folder}/socket")
        Path(folder, "zero").symlink_to("/dev/zero")
        Path(folder, "folder").mkdir()
        Path(folder, "loop").symlink_to("loop")
        for read in (read_regular_file, open_regular_file):
            with pytest.raises(OSError, match=reason) as refusal:
                read(Path(folder, name))
            assert refusal.value.strerror == reason
