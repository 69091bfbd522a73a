"""A file is written completely or not at all, wherever the writer stops."""

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from recognizer.atomic_file import write_atomically, written_atomically
from recognizer.errors import OutputError

ROOT = Path(__file__).parents[2]


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "models" / "new" / "model.keras"
    with written_atomically(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".keras"
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_changes_no_file(tmp_path, old, exception):
    path = tmp_path / "model.onnx"
    if old:
        path.write_bytes(old)
    with pytest.raises(exception), written_atomically(path) as temporary:
        temporary.write_bytes(b"half")
        raise exception
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


KILLED = """
import os, signal, sys
from pathlib import Path
from recognizer.atomic_file import written_atomically

with written_atomically(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_leaves_the_old_file_and_the_next_process_cleans_up(tmp_path):
    path = tmp_path / "train.npz"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (abandoned,) = set(tmp_path.iterdir()) - {path}
    assert abandoned.read_bytes() == b"half"

    # Of a user, of a running process, and of a process of another machine.
    others = [
        tmp_path / ".resume.npz",
        tmp_path / abandoned.name.replace(f"-{_process(abandoned)}-", f"-{os.getppid()}-"),
        tmp_path / abandoned.name.replace(".partial-", ".partial-another-"),
    ]
    for other in others:
        other.write_bytes(b"kept")
    with written_atomically(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert set(tmp_path.iterdir()) == {path, *others}


def _process(temporary: Path) -> str:
    return temporary.stem.split("-")[-2]


def test_two_writers_of_one_path_do_not_mix(tmp_path):
    path = tmp_path / "a.csv"
    with written_atomically(path) as first, written_atomically(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_result_is_as_readable_as_any_other_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "plot.png", b"")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "plot.png").stat().st_mode) == mode


def test_a_link_is_replaced_and_its_target_is_kept(tmp_path):
    cached = tmp_path / "cache"
    cached.write_bytes(b"old")
    path = tmp_path / "model.keras"
    path.symlink_to(cached)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()
    assert cached.read_bytes() == b"old"


def test_text_is_written_as_utf_8_with_its_line_ends(tmp_path):
    write_atomically(tmp_path / "a.md", "48×48\r\n")
    assert (tmp_path / "a.md").read_bytes() == b"48\xc3\x9748\r\n"


def test_a_folder_that_cannot_be_made_is_an_error_with_the_path(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/a\.md: cannot be written: "):
        write_atomically(tmp_path / "file" / "a.md", "")


def test_an_incomplete_file_replaces_none(tmp_path):
    path = tmp_path / "a.md"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(OutputError, match=r"a\.md: cannot be written: File too large$"):
            write_atomically(path, b"too long")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
