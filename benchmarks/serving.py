"""Measure the server beside LitServe and a bare FastAPI handler, all with the same model file.

    python -m benchmarks.serving
    python -m benchmarks.serving --revision v1.0

Writes `benchmarks/serving.csv` and, from it, the page `benchmarks/serving.md`; takes about seven
minutes on two cores. Linux only. The servers in `other_servers/` call the same recognizer. LitServe
gets a worker per core, in an environment that is made for the run (`--without-litserve` leaves it
out); it is compared with this server with as many workers. Bare FastAPI is compared with this
server as it starts by default, in one process.

`--revision REV` adds the server of an older commit of this repository, with its own code, its own
default detector and the same model file. REV is checked out into a temporary git worktree and runs
in the environment of this benchmark. Give the option twice to compare two revisions.

Every request has one face in JSON: a PNG of 48×48 pixels (`faces=whole`), or a JPEG of 640×480 for
the server's default detector. The load comes from a process of its own on the same machine
(`benchmarks/load.py`); it takes the same share of the cores from every server.

- Load: each cell for a few seconds after a warm-up, in two rounds over all servers.
- Memory: resident memory of the server and its children after 1,000 requests, and after 20,000
  more, from 8 clients, every hundredth a photo; the peak is the kernel's record (VmHWM).
- Start: from the start of the process to the first 200 of its health check; then the first request
  (640×480) and the median of the 20 after it. The median of several starts.
- Overload: 128 clients in a closed loop. This server answers 429 to requests that would wait too
  long in its queue; the others queue all requests.
"""

import argparse
import csv
import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import cv2
import numpy as np
import psutil

from benchmarks.stages import describe_machine, resident_bytes
from recognizer.atomic_file import written_atomically

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).with_suffix(".csv")
MODEL = ROOT / "models" / "fer2013" / "model.onnx"
SMALL, PHOTO = "48×48", "640×480"
CLIENTS = (1, 8, 32)
CROWD = 128
ROUNDS = 2
PATIENCE = 60


@dataclass(frozen=True)
class Server:
    """How to start a server; `{port}` stands for the port that it shall have."""

    name: str
    command: tuple[str, ...]
    health: str
    folder: Path = ROOT
    """Working directory of the process: the code that it runs."""


@dataclass(frozen=True)
class Row:
    """One measured value."""

    server: str
    input: str
    clients: int
    measure: str
    value: float


CORES = len(os.sched_getaffinity(0))
OURS = "this server"
OURS_WITH_WORKERS = f"this server, {CORES} workers"
BARE = "bare FastAPI"
LITSERVE = "LitServe"
RIVALS = {BARE: OURS, LITSERVE: OURS_WITH_WORKERS}
"""Another server, and the configuration of this server that it is compared with."""
REVISION = "revision "
"""What the names of older revisions of this server begin with."""
SPEEDUP = 3
"""Goal at 640×480: the requests per second of this server over those of an older revision."""


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
    bare = (sys.executable, "-m", "uvicorn", *options, "benchmarks.other_servers.bare:app")
    found = [
        Server(OURS, ours, "/readyz"),
        Server(OURS_WITH_WORKERS, (*ours, "--workers", str(CORES)), "/readyz"),
        Server(BARE, bare, "/openapi.json"),
    ]
    if litserve:
        lit = (str(litserve), "-m", "benchmarks.other_servers.lit", "{port}", str(CORES))
        found.append(Server(LITSERVE, lit, "/health"))
    found += [Server(name, ours, "/readyz", folder) for name, folder in revisions.items()]
    return found


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[str]:
    """Check a revision of this repository out into a new folder; yields its name in the tables.

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
    """Make an environment with the serving requirements and LitServe; returns its Python."""
    uv, python = Path(sys.prefix, "bin", "uv"), folder / "bin" / "python"
    requirements = ROOT / "requirements" / "serving.txt"
    install = [uv, "pip", "install", "-q", "--python", python]
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    subprocess.run([*install, "--require-hashes", "-r", requirements], check=True)
    subprocess.run([*install, "litserve==0.2.19"], check=True)
    return python


def write_requests(folder: Path) -> dict[str, Path]:
    """Write one HTTP request for each input, the same for every server."""
    photo = cv2.imread(str(ROOT / "docs" / "astronaut.jpg"))
    wide = cv2.copyMakeBorder(photo[:480], 0, 0, 64, 64, cv2.BORDER_REPLICATE)
    face = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)[65:161, 176:272], (48, 48))
    files = {}
    for name, suffix, image, options in (
        (SMALL, ".png", face, {"faces": "whole"}),
        (PHOTO, ".jpg", wide, {}),
    ):
        data = cv2.imencode(suffix, image)[1].tobytes()
        # In the body for the other servers, in the query for this one.
        body = json.dumps({"image": b64encode(data).decode(), **options}).encode()
        query = f"?{urlencode(options)}" if options else ""
        head = (
            f"POST /predict{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        files[name] = folder / f"{name}.http"
        files[name].write_bytes(head.encode() + body)
    return files


@contextmanager
def running(server: Server) -> Iterator[tuple[psutil.Process, int, float]]:
    """Start a server; yields its process, its port and the seconds until it was ready."""
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
                if process.poll() is not None or time.perf_counter() - start > PATIENCE:
                    log.seek(0)
                    raise SystemExit(f"error: {server.name} does not start\n{log.read()}")
                time.sleep(0.002)
            yield root, port, time.perf_counter() - start
        finally:
            children = root.children(recursive=True) if root.is_running() else []
            process.terminate()
            process.wait(PATIENCE)
            # LitServe's workers should end with it; none may take part of the next measurement.
            _, alive = psutil.wait_procs(children, timeout=5)
            for child in alive:
                child.kill()


def get(port: int, path: str) -> int | None:
    """The status of an answer; None if nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()


def ask(port: int, *files: Path, **options: float) -> tuple[float, list[tuple[int, float]]]:
    """Run the load; returns the seconds that it took, and status and seconds of each answer."""
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "benchmarks.load", f"127.0.0.1:{port}", *flags, *files]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    result = json.loads(done.stdout)
    return result["seconds"], result["answers"]


def answered(answers: list[tuple[int, float]], server: Server) -> list[float]:
    """The milliseconds of the answers, after checking that none was an error."""
    if wrong := {status for status, _ in answers} - {200}:
        raise SystemExit(f"error: {server.name} answered {wrong}")
    return [1000 * seconds for _, seconds in answers]


def measure_load(servers: list[Server], files: dict[str, Path], seconds: float) -> list[Row]:
    """Requests per second and latency for each input and number of clients."""
    taken, times = {}, {}
    for _ in range(ROUNDS):
        for server in servers:
            with running(server) as (_, port, _):
                for name in (SMALL, PHOTO):
                    ask(port, files[name], clients=8, seconds=1)
                    for clients in CLIENTS:
                        cell = server.name, name, clients
                        wall, answers = ask(port, files[name], clients=clients, seconds=seconds)
                        taken[cell] = taken.get(cell, 0) + wall
                        times.setdefault(cell, []).extend(answered(answers, server))
    rows = []
    for cell, milliseconds in times.items():
        rows.append(Row(*cell, "requests/s", len(milliseconds) / taken[cell]))
        rows += percentiles(cell, milliseconds)
    return rows


def percentiles(cell: tuple[str, str, int], milliseconds: list[float], of: str = "") -> list[Row]:
    return [Row(*cell, f"p{p}{of} ms", float(np.percentile(milliseconds, p))) for p in (50, 95, 99)]


def measure_overload(servers: list[Server], files: dict[str, Path], seconds: float) -> list[Row]:
    """Answers and refusals per second under overload, and their latency."""
    rows = []
    for server in servers:
        with running(server) as (_, port, _):
            ask(port, files[PHOTO], clients=8, seconds=1)
            wall, answers = ask(port, files[PHOTO], clients=CROWD, seconds=2 * seconds)
        refused = [1000 * seconds for status, seconds in answers if status == 429]
        served = answered([answer for answer in answers if answer[0] != 429], server)
        cell = server.name, PHOTO, CROWD
        rows.append(Row(*cell, "requests/s", len(served) / wall))
        rows.append(Row(*cell, "refused/s", len(refused) / wall))
        rows += percentiles(cell, served)
        if refused:
            rows += percentiles(cell, refused, " refused")
    return rows


def measure_memory(servers: list[Server], files: dict[str, Path], requests: int) -> list[Row]:
    """Resident memory before and after many requests, and at its peak."""
    mixed = [files[PHOTO], *[files[SMALL]] * 99]
    rows = []
    for server in servers:
        with running(server) as (process, port, _):
            answered(ask(port, *mixed, clients=8, requests=1000)[1], server)
            before = resident_bytes(process) / 2**20
            answered(ask(port, *mixed, clients=8, requests=requests)[1], server)
            after = resident_bytes(process) / 2**20
            cell = server.name, "both", 8
            rows.append(Row(*cell, "MiB before", before))
            rows.append(Row(*cell, "MiB after", after))
            rows.append(Row(*cell, "MiB at the peak", peak_bytes(process) / 2**20))
    return rows


def peak_bytes(root: psutil.Process) -> int:
    """The largest resident memory that a process and its children ever had, summed."""
    total = 0
    for process in (root, *root.children(recursive=True)):
        status = Path(f"/proc/{process.pid}/status").read_text()
        total += 1024 * int(status.partition("VmHWM:")[2].split()[0])
    return total


def measure_starts(servers: list[Server], files: dict[str, Path], starts: int) -> list[Row]:
    """Seconds until a server is ready, and what its first request costs."""
    rows = []
    for server in servers:
        ready, first, usual = [], [], []
        for _ in range(starts):
            with running(server) as (_, port, seconds):
                ready.append(seconds)
                times = answered(ask(port, files[PHOTO], clients=1, requests=21)[1], server)
                first.append(times[0])
                usual.append(median(times[1:]))
        cell = server.name, PHOTO, 1
        rows.append(Row(*cell, "seconds to ready", median(ready)))
        rows.append(Row(*cell, "first ms", median(first)))
        rows.append(Row(*cell, "median ms", median(usual)))
    return rows


def compare_answers(servers: list[Server], files: dict[str, Path]) -> None:
    """Check that all servers do the same work: the same boxes and probabilities.

    An older revision may find the face elsewhere; it must find one.
    """
    answers = {}
    for server in servers:
        with running(server) as (_, port, _):
            for name, path in files.items():
                head, _, body = path.read_bytes().partition(b"\r\n\r\n")
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
                target = head.split()[1].decode()
                connection.request("POST", target, body, {"Content-Type": "application/json"})
                faces = json.loads(connection.getresponse().read())["faces"]
                connection.close()
                if len(faces) != 1:
                    raise SystemExit(f"error: {server.name} finds {len(faces)} faces in {name}")
                if server.name.startswith(REVISION):
                    continue
                (face,) = faces
                values = [*face["box"].values(), *face["probabilities"].values()]
                if not np.allclose(values, answers.setdefault(name, values), atol=1e-4):
                    raise SystemExit(f"error: {server.name} answers {name} with {values}")


# ---------------------------------------------------------------- the page


def page(rows: list[Row]) -> str:
    """Format the rows as Markdown: the goals and the tables."""
    value = {(row.server, row.input, row.clients, row.measure): row.value for row in rows}
    names = list(dict.fromkeys(row.server for row in rows))
    parts = [
        "# Serving, measured",
        f"Made by `{shlex.join(['python', '-m', 'benchmarks.serving', *sys.argv[1:]])}`;"
        " `benchmarks/serving.py` says how each figure is"
        " measured.",
        f"Machine: {describe_machine()}. The clients run on it as well.",
        "## Goals\n\n" + "\n".join(goals(value, names)),
        "## Load\n\n" + load_table(value, names),
        f"## Overload: {CROWD} clients, {PHOTO}\n\n" + overload_table(value, names),
        "## Memory\n\n"
        + table(
            ("server", "MiB after 1,000 requests", "MiB after all", "growth", "peak MiB"),
            [
                (name, f"{before:.0f}", f"{after:.0f}", f"{after / before - 1:+.1%}", f"{peak:.0f}")
                for name in names
                if name != OURS_WITH_WORKERS
                for before, after, peak in [memory(value, name)]
            ],
        ),
        "## Start\n\n"
        + table(
            ("server", "ready after, s", "first request, ms", "median request, ms"),
            [
                (name, f"{ready:.2f}", f"{first:.1f}", f"{usual:.1f}")
                for name in names
                for ready, first, usual in [start(value, name)]
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    line = "|---" + "|---:" * (len(head) - 1) + "|"
    return "\n".join(
        ["| " + " | ".join(head) + " |", line, *(f"| {' | '.join(r)} |" for r in rows)]
    )


def load_table(value: dict, names: list[str]) -> str:
    rows = []
    for name in (SMALL, PHOTO):
        for clients in CLIENTS:
            for server in names:
                cell = server, name, clients
                latency = [f"{value[*cell, f'p{p} ms']:.1f}" for p in (50, 95, 99)]
                speed = f"{value[*cell, 'requests/s']:.0f}"
                rows.append((f"{name}, {clients} clients, {server}", speed, *latency))
    return table(("input, clients, server", "requests/s", "p50 ms", "p95 ms", "p99 ms"), rows)


def overload_table(value: dict, names: list[str]) -> str:
    rows = []
    for server in names:
        cell = server, PHOTO, CROWD
        figures = [f"{value[*cell, f'p{p} ms']:.0f}" for p in (50, 99)]
        refusal = value.get((*cell, "p99 refused ms"))
        late = "–" if refusal is None else f"{refusal:.0f}"
        speed, refused = value[*cell, "requests/s"], value[*cell, "refused/s"]
        rows.append((server, f"{speed:.0f}", *figures, f"{refused:.0f}", late))
    head = ("server", "answered/s", "p50 ms", "p99 ms", "refused/s", "p99 ms of a refusal")
    return table(head, rows)


def memory(value: dict, server: str) -> tuple[float, ...]:
    measures = ("MiB before", "MiB after", "MiB at the peak")
    return tuple(value[server, "both", 8, measure] for measure in measures)


def start(value: dict, server: str) -> tuple[float, ...]:
    measures = ("seconds to ready", "first ms", "median ms")
    return tuple(value[server, PHOTO, 1, measure] for measure in measures)


def goals(value: dict, names: list[str]) -> Iterator[str]:
    """One line for each goal: what was wanted, what was measured, met or not."""
    for other in names:
        if other not in RIVALS:
            continue
        ratios = [
            value[RIVALS[other], name, clients, "requests/s"]
            / value[other, name, clients, "requests/s"]
            for name in (SMALL, PHOTO)
            for clients in CLIENTS
        ]
        measured = f"{min(ratios):.2f} … {max(ratios):.2f} times its requests per second"
        yield goal(f"{RIVALS[other]}: at least as fast as {other}", measured, min(ratios) >= 1)
    for old in names:
        if not old.startswith(REVISION):
            continue
        ratios = [
            value[OURS, PHOTO, clients, "requests/s"] / value[old, PHOTO, clients, "requests/s"]
            for clients in CLIENTS
        ]
        wanted = f"{OURS}, {PHOTO}: at least {SPEEDUP} times the requests per second of {old}"
        measured = f"{min(ratios):.2f} … {max(ratios):.2f} times"
        yield goal(wanted, measured, min(ratios) >= SPEEDUP)
    late, crowd = value[OURS, PHOTO, 32, "p99 ms"], value[OURS, PHOTO, CROWD, "p99 ms"]
    others = min(value[other, PHOTO, CROWD, "p99 ms"] for other in names if other in RIVALS)
    measured = f"{crowd:.0f} ms with {CROWD} clients, {late:.0f} ms with 32; others {others:.0f} ms"
    yield goal("p99 under overload bounded by refusals", measured, crowd < others)
    before, after, peak = memory(value, OURS)
    growth = after / before - 1
    yield goal("no growth beyond 5 % between both looks", f"{growth:+.1%}", growth <= 0.05)
    yield goal("peak memory under 300 MB", f"{peak * 2**20 / 1e6:.0f} MB", peak * 2**20 < 300e6)
    ready, first, usual = start(value, OURS)
    yield goal("ready within 1.5 s", f"{ready:.2f} s", ready < 1.5)
    measured = f"{first / usual:.1f} times"
    yield goal("first request at most twice the median", measured, first <= 2 * usual)


def goal(wanted: str, measured: str, met: bool) -> str:
    return f"- {wanted}: {measured}, {'met' if met else '**not met**'}"


def write(rows: list[Row], result: Path) -> None:
    """Write the CSV file and the page beside it."""
    with written_atomically(result) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("server", "input", "clients", "measure", "value"))
        writer.writerows(
            (row.server, row.input, row.clients, row.measure, f"{row.value:.4g}") for row in rows
        )
    with written_atomically(result.with_suffix(".md")) as temporary:
        temporary.write_text(page(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the server beside others.")
    parser.add_argument("--without-litserve", action="store_true")
    parser.add_argument(
        "--revision", action="append", default=[], help="an older commit of this repository"
    )
    parser.add_argument("--seconds", type=float, default=3, help="for each cell and round")
    parser.add_argument("--requests", type=int, default=20_000, help="between the looks at memory")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        trees = [folder / f"revision-{number}" for number in range(len(arguments.revision))]
        revisions = {
            stack.enter_context(checked_out(revision, tree)): tree
            for revision, tree in zip(arguments.revision, trees, strict=True)
        }
        litserve = None if arguments.without_litserve else install_litserve(folder / "litserve")
        compared, files = servers(litserve, revisions), write_requests(folder)
        compare_answers(compared, files)
        rows = measure_starts(compared, files, arguments.starts)
        rows += measure_load(compared, files, arguments.seconds)
        rows += measure_overload(compared, files, arguments.seconds)
        alone = [server for server in compared if server.name != OURS_WITH_WORKERS]
        rows += measure_memory(alone, files, arguments.requests)
    write(rows, arguments.result)
    print(arguments.result.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
