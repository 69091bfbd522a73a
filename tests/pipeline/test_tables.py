"""DVC's tables of metrics and experiments on a terminal with 120 columns."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from tests.pipeline.conftest import Repository

COLUMNS = 120


def on_a_terminal(repository: Repository, command: str) -> str:
    """Run a command on a pseudo-terminal with 120 columns; return what it prints as plain text."""
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**repository.environment(), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        ["bash", "-euc", command],
        cwd=repository.folder,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(terminal)
    printed = b""
    while True:
        try:
            chunk = os.read(reader, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        printed += chunk
    _, errors = process.communicate(timeout=600)
    os.close(reader)
    assert process.returncode == 0, errors.decode()
    text = re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[()][A-Z0-9])", "", printed.decode())
    # A progress bar is overwritten by what follows a carriage return.
    return "\n".join(line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n"))


def assert_fits(text: str) -> None:
    assert "…" not in text, text
    assert "..." not in text, text
    assert max(map(len, text.splitlines())) <= COLUMNS, text


@pytest.fixture(scope="module")
def changed(committed, tmp_path_factory):
    """A clone whose branch `other` has other metrics of the sample than `main`."""
    folder = tmp_path_factory.mktemp("tables") / "clone"
    committed.run(
        f"git clone -q . {folder} && cd {folder} && git switch -qc other"
        " && cp metrics/fer2013/headline.json metrics/sample/ && git commit -qam other"
    )
    return Repository(folder, committed.home)


@pytest.mark.parametrize(
    "command",
    [
        "dvc metrics show",
        "dvc metrics show metrics/*/headline.json",
        "dvc metrics diff main",
        "dvc metrics diff main --all --targets metrics/*/headline.json",
    ],
)
def test_metrics_fit_a_terminal(changed, command):
    text = on_a_terminal(changed, command)
    for name in ("accuracy", "margin", "f1", "bal_acc", "min_recall", "log_loss", "ece"):
        assert name in text
    assert_fits(text)
