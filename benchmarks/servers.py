"""The servers that `benchmarks/serving.py` compares: installation, start and end."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "fer2013" / "model.onnx"
TIMEOUT = 60
"""Seconds."""
CORES = len(os.sched_getaffinity(0))
OURS = "this server"
OURS_WITH_WORKERS = f"this server, {CORES} workers"
BARE = "bare FastAPI"
LITSERVE = "LitServe"
REVISION = "revision "
"""Prefix of the names of older revisions of this server."""


@dataclass(frozen=True)
class Server:
    """How to start a server; `{port}` in the command is replaced by its port."""

    name: str
    command: tuple[str, ...]
    health: str
    folder: Path = ROOT
    """Working directory of the process; it runs the code in it."""


def servers(litserve: Path | None, revisions: dict[str, Path]) -> list[Server]:
    """The servers to compare.

    Parameters
    ----------
    litserve : Path or None
        The Python executable that has LitServe.
    revisions : dict
        Folder of each older revision's working tree, by its name in the tables.
    """
    options = ("--port", "{port}", "--log-level", "warning")
    ours = (sys.executable, "-m", "api", *options)
    bare = (sys.executable, "-m", "uvicorn", *options, "benchmarks.other_servers.fastapi_app:app")
    found = [
        Server(OURS, ours, "/readyz"),
        Server(OURS_WITH_WORKERS, (*ours, "--workers", str(CORES)), "/readyz"),
        Server(BARE, bare, "/openapi.json"),
    ]
    if litserve:
        lit = (str(litserve), "-m", "benchmarks.other_servers.litserve_app", "{port}", str(CORES))
        found.append(Server(LITSERVE, lit, "/health"))
    found += [Server(name, ours, "/readyz", folder) for name, folder in revisions.items()]
    return found


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[str]:
    """Check a revision of this repository out into a new folder; yield its name in the tables.

    The git worktree is removed at the end.

    Raises
    ------
    SystemExit
        The repository has no such revision.
    """
    git = ("git", "-C", str(ROOT))
    commit = subprocess.run(
        [*git, "rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}"],
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    if not commit:
        raise SystemExit(f"error: --revision {revision}: no such commit in this repository")
    subprocess.run([*git, "worktree", "add", "--quiet", "--detach", folder, commit], check=True)
    try:
        yield f"{REVISION}{commit}"
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", folder], check=True)


def install_litserve(folder: Path) -> Path:
    """Make an environment with the serving requirements and LitServe; return its Python."""
    uv, python = Path(sys.prefix, "bin", "uv"), folder / "bin" / "python"
    requirements = ROOT / "requirements" / "serving.txt"
    install = [uv, "pip", "install", "-q", "--python", python]
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    subprocess.run([*install, "--require-hashes", "-r", requirements], check=True)
    subprocess.run([*install, "litserve==0.2.19"], check=True)
    return python


@contextmanager
def running(server: Server) -> Iterator[tuple[psutil.Process, int, float]]:
    """Start a server; yield its process, its port and the seconds until it was ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [part.format(port=port) for part in server.command]
    environment = {**os.environ, "MODEL_PATH": str(MODEL)}
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=server.folder, env=environment, stdout=log, stderr=log
        )
        root = psutil.Process(process.pid)
        try:
            while get(port, server.health) != 200:
                if process.poll() is not None or time.perf_counter() - start > TIMEOUT:
                    log.seek(0)
                    raise SystemExit(f"error: {server.name} does not start\n{log.read()}")
                time.sleep(0.002)
            yield root, port, time.perf_counter() - start
        finally:
            children = root.children(recursive=True) if root.is_running() else []
            process.terminate()
            process.wait(TIMEOUT)
            # A worker of LitServe that outlives it would slow the next measurement down.
            _, alive = psutil.wait_procs(children, timeout=5)
            for child in alive:
                child.kill()


def get(port: int, path: str) -> int | None:
    """Status of the response; None if the port is closed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()
