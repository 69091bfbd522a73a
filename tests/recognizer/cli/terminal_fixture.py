"""A process whose standard error is a terminal."""

import os
import pty
import subprocess
import termios
from collections.abc import Callable
from contextlib import suppress


def run_on_a_terminal(start: Callable[[int], subprocess.Popen]) -> tuple[int, str]:
    """Run a process that `start` starts with this file descriptor, a terminal of 100 columns.

    Returns its status and what it has written to the terminal.
    """
    here, there = pty.openpty()
    termios.tcsetwinsize(there, (40, 100))
    process = start(there)
    os.close(there)
    shown = b""
    with suppress(OSError):  # the terminal is closed
        while part := os.read(here, 4096):
            shown += part
    os.close(here)
    return process.wait(timeout=60), shown.decode()
