"""Measure the server beside LitServe and a minimal FastAPI handler, with the same model file.

    python -m benchmarks.serving
    python -m benchmarks.serving --revision HEAD~10

Writes `benchmarks/serving.csv` and, from it, the page `benchmarks/serving.md`; takes about seven
minutes on two cores. Linux only. The servers in `other_servers/` call the same recognizer. LitServe
has one worker per core, in a temporary environment (`--without-litserve` leaves it out); it is
compared with this server with as many workers. The FastAPI handler is compared with this server
with its default options, in one process.

`--revision REV` adds the server of an older commit of this repository, with its own code, its own
default detector and the same model file. REV is checked out into a temporary git worktree and runs
in the environment of this benchmark. Give the option twice to compare two revisions.

Every request has one face in JSON: a PNG of 48×48 pixels (`faces=whole`), or a JPEG of 640×480 for
the server's default detector. The load comes from another process on the same machine
(`benchmarks/load_generator.py`), which takes the same share of the cores from every server.

- Load: a few seconds per cell after a warm-up, in two rounds over all servers.
- Memory: resident memory of the server and its children after 1,000 requests, and after 20,000
  more, from 8 clients, one request in a hundred with a photo; the peak is the kernel's record
  (VmHWM).
- Start: from the start of the process to the first 200 of its health check; then the first request
  (640×480) and the median of the 20 after it. The median of several starts.
- Overload: 128 clients in a closed loop. This server answers 429 to requests that would wait too
  long in its queue; the others queue all requests.
"""

import argparse
import http.client
import json
import shlex
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import cv2
import numpy as np
import psutil

from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import write_results
from benchmarks.servers import (
    BARE,
    LITSERVE,
    OURS,
    OURS_WITH_WORKERS,
    REVISION,
    ROOT,
    TIMEOUT,
    Server,
    checked_out,
    install_litserve,
    running,
    servers,
)
from benchmarks.stage_costs import resident_bytes
from stages.evaluation.markdown_table import markdown_table

RESULT = Path(__file__).with_suffix(".csv")
SMALL, PHOTO = "48×48", "640×480"
CLIENTS = (1, 8, 32)
OVERLOAD_CLIENTS = 128
ROUNDS = 2


@dataclass(frozen=True)
class Row:
    """One measured value."""

    server: str
    input: str
    clients: int
    measure: str
    value: float


BASELINES = {BARE: OURS, LITSERVE: OURS_WITH_WORKERS}
"""The other servers, each with the configuration of this server that is compared with it."""
SPEEDUP = 3
"""Goal at 640×480: the highest throughput of this server over that of an older revision."""


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


def load(port: int, *files: Path, **options: float) -> tuple[float, list[tuple[int, float]]]:
    """Run the load; return its seconds, and status and seconds of each response."""
    flags = [f"--{name}={value}" for name, value in options.items()]
    module = "benchmarks.load_generator"
    command = [sys.executable, "-m", module, f"127.0.0.1:{port}", *flags, *files]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    result = json.loads(done.stdout)
    return result["seconds"], result["answers"]


def latencies(answers: list[tuple[int, float]], server: Server) -> list[float]:
    """Milliseconds of the responses, after a check that none is an error."""
    if wrong := {status for status, _ in answers} - {200}:
        raise SystemExit(f"error: {server.name} responded with {wrong}")
    return [1000 * seconds for _, seconds in answers]


def measure_load(servers: list[Server], files: dict[str, Path], seconds: float) -> list[Row]:
    """Requests per second and latency for each input and number of clients."""
    taken, times = {}, {}
    for _ in range(ROUNDS):
        for server in servers:
            with running(server) as (_, port, _):
                for name, file in files.items():
                    load(port, file, clients=8, seconds=1)
                    for clients in CLIENTS:
                        cell = server.name, name, clients
                        wall, answers = load(port, file, clients=clients, seconds=seconds)
                        taken[cell] = taken.get(cell, 0) + wall
                        times.setdefault(cell, []).extend(latencies(answers, server))
    rows = []
    for cell, in_cell in times.items():
        rows.append(Row(*cell, "requests/s", len(in_cell) / taken[cell]))
        rows += percentiles(cell, in_cell)
    return rows


def percentiles(cell: tuple[str, str, int], milliseconds: list[float], of: str = "") -> list[Row]:
    """Median, 95th and 99th percentile."""
    return [Row(*cell, f"p{p}{of} ms", float(np.percentile(milliseconds, p))) for p in (50, 95, 99)]


def measure_overload(servers: list[Server], files: dict[str, Path], seconds: float) -> list[Row]:
    """Accepted and refused requests per second under overload, and their latency."""
    rows = []
    for server in servers:
        with running(server) as (_, port, _):
            load(port, files[PHOTO], clients=8, seconds=1)
            wall, answers = load(port, files[PHOTO], clients=OVERLOAD_CLIENTS, seconds=2 * seconds)
        refused = [1000 * seconds for status, seconds in answers if status == 429]
        served = latencies([answer for answer in answers if answer[0] != 429], server)
        cell = server.name, PHOTO, OVERLOAD_CLIENTS
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
            latencies(load(port, *mixed, clients=8, requests=1000)[1], server)
            before = resident_bytes(process) / 2**20
            latencies(load(port, *mixed, clients=8, requests=requests)[1], server)
            after = resident_bytes(process) / 2**20
            cell = server.name, "both", 8
            rows.append(Row(*cell, "MiB before", before))
            rows.append(Row(*cell, "MiB after", after))
            rows.append(Row(*cell, "MiB at the peak", peak_bytes(process) / 2**20))
    return rows


def peak_bytes(root: psutil.Process) -> int:
    """Sum of the largest resident memory of a process and of its children."""
    total = 0
    for process in (root, *root.children(recursive=True)):
        status = Path(f"/proc/{process.pid}/status").read_text()
        total += 1024 * int(status.partition("VmHWM:")[2].split()[0])
    return total


def measure_starts(servers: list[Server], files: dict[str, Path], starts: int) -> list[Row]:
    """Seconds until a server is ready, and the latency of its first request."""
    rows = []
    for server in servers:
        ready, first, usual = [], [], []
        for _ in range(starts):
            with running(server) as (_, port, seconds):
                ready.append(seconds)
                times = latencies(load(port, files[PHOTO], clients=1, requests=21)[1], server)
                first.append(times[0])
                usual.append(median(times[1:]))
        cell = server.name, PHOTO, 1
        rows.append(Row(*cell, "seconds to ready", median(ready)))
        rows.append(Row(*cell, "first ms", median(first)))
        rows.append(Row(*cell, "median ms", median(usual)))
    return rows


def check_same_results(servers: list[Server], files: dict[str, Path]) -> None:
    """Check that all servers find the same boxes and probabilities.

    An older revision may find another box; it must find one.
    """
    answers = {}
    for server in servers:
        with running(server) as (_, port, _):
            for name, path in files.items():
                head, _, body = path.read_bytes().partition(b"\r\n\r\n")
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
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
                    raise SystemExit(f"error: {server.name} finds {values} in {name}")


# ---------------------------------------------------------------- the page


def page(rows: list[Row], source: Provenance, command: str) -> str:
    """Format the first block, the goals and the tables."""
    value = {(row.server, row.input, row.clients, row.measure): row.value for row in rows}
    names = list(dict.fromkeys(row.server for row in rows))
    parts = [
        opening("Speed and memory of the server", [("fer2013", source)]),
        f"Made by `{command}`; the clients run on the same machine. `benchmarks/serving.py`"
        " describes the measurements.",
        "## Goals\n\n" + "\n".join(goals(value, names)),
        "## Load\n\n" + load_table(value, names),
        f"## Overload: {OVERLOAD_CLIENTS} clients, {PHOTO}\n\n" + overload_table(value, names),
        "## Memory\n\n" + memory_table(value, names),
        "## Start\n\n" + start_table(value, names),
    ]
    return "\n\n".join(parts) + "\n"


def load_table(value: dict, names: list[str]) -> str:
    """Requests per second and latency."""
    rows = []
    for name in (SMALL, PHOTO):
        for clients in CLIENTS:
            for server in names:
                cell = server, name, clients
                latency = [f"{value[*cell, f'p{p} ms']:.1f}" for p in (50, 95, 99)]
                speed = f"{value[*cell, 'requests/s']:.0f}"
                rows.append((name, clients, server, speed, *latency))
    headers = ("input", "clients", "server", "requests/s", "p50 ms", "p95 ms", "p99 ms")
    return markdown_table(headers, rows, text_columns=3)


def overload_table(value: dict, names: list[str]) -> str:
    """Accepted and refused requests."""
    rows = []
    for server in names:
        cell = server, PHOTO, OVERLOAD_CLIENTS
        latency = [f"{value[*cell, f'p{p} ms']:.0f}" for p in (50, 99)]
        refusal = value.get((*cell, "p99 refused ms"))
        refusal = "–" if refusal is None else f"{refusal:.0f}"
        accepted, refused = value[*cell, "requests/s"], value[*cell, "refused/s"]
        rows.append((server, f"{accepted:.0f}", *latency, f"{refused:.0f}", refusal))
    headers = ("server", "accepted/s", "p50 ms", "p99 ms", "refused/s", "p99 ms of a refusal")
    return markdown_table(headers, rows)


def memory_table(value: dict, names: list[str]) -> str:
    """Resident memory before and after many requests."""
    rows = []
    for name in names:
        if name != OURS_WITH_WORKERS:
            before, after, peak = memory(value, name)
            growth = f"{after / before - 1:+.1%}"
            rows.append((name, f"{before:.0f}", f"{after:.0f}", growth, f"{peak:.0f}"))
    headers = ("server", "MiB after 1,000 requests", "MiB after all", "growth", "peak MiB")
    return markdown_table(headers, rows)


def start_table(value: dict, names: list[str]) -> str:
    """Seconds until ready, and the first requests."""
    rows = []
    for name in names:
        ready, first, usual = start(value, name)
        rows.append((name, f"{ready:.2f}", f"{first:.1f}", f"{usual:.1f}"))
    headers = ("server", "ready after, s", "first request, ms", "median request, ms")
    return markdown_table(headers, rows)


def memory(value: dict, server: str) -> tuple[float, ...]:
    measures = ("MiB before", "MiB after", "MiB at the peak")
    return tuple(value[server, "both", 8, measure] for measure in measures)


def start(value: dict, server: str) -> tuple[float, ...]:
    measures = ("seconds to ready", "first ms", "median ms")
    return tuple(value[server, PHOTO, 1, measure] for measure in measures)


def goals(value: dict, names: list[str]) -> Iterator[str]:
    """Yield one line per goal: the goal, the measured value, and whether it is met."""
    for other in names:
        if other in BASELINES:
            ours = BASELINES[other]
            ratios = speed_ratios(value, ours, other)
            measured = f"{min(ratios):.2f} … {max(ratios):.2f} times its requests per second"
            yield goal(f"{ours}: at least as fast as {other}", measured, min(ratios) >= 1)
    for old in names:
        if old.startswith(REVISION):
            highest, before = highest_throughput(value, OURS), highest_throughput(value, old)
            wanted = f"{OURS}, {PHOTO}: at least {SPEEDUP} times the requests per second of {old}"
            measured = f"{highest / before:.2f} times, {highest:.0f} and {before:.0f} at the most"
            yield goal(wanted, measured, highest / before >= SPEEDUP)
    p99 = {clients: value[OURS, PHOTO, clients, "p99 ms"] for clients in (32, OVERLOAD_CLIENTS)}
    others = min(
        value[other, PHOTO, OVERLOAD_CLIENTS, "p99 ms"] for other in names if other in BASELINES
    )
    measured = ", ".join(f"{ms:.0f} ms with {clients} clients" for clients, ms in p99.items())
    met = p99[OVERLOAD_CLIENTS] < others
    yield goal("p99 under overload lower than others", f"{measured}, others {others:.0f} ms", met)
    before, after, peak = memory(value, OURS)
    growth = after / before - 1
    yield goal("memory grows by 5 % at the most", f"{growth:+.1%}", growth <= 0.05)
    yield goal("peak memory under 300 MB", f"{peak * 2**20 / 1e6:.0f} MB", peak * 2**20 < 300e6)
    ready, first, usual = start(value, OURS)
    yield goal("ready within 1.5 s", f"{ready:.2f} s", ready < 1.5)
    measured = f"{first / usual:.1f} times"
    yield goal("first request at most twice the median", measured, first <= 2 * usual)


def speed_ratios(value: dict, ours: str, other: str) -> list[float]:
    """Requests per second of one server over those of another, by input and number of clients."""
    return [
        value[ours, name, clients, "requests/s"] / value[other, name, clients, "requests/s"]
        for name in (SMALL, PHOTO)
        for clients in CLIENTS
    ]


def highest_throughput(value: dict, server: str) -> float:
    """Requests per second with photos, with the number of clients that gives most.

    One client alone does not use all cores.
    """
    return max(value[server, PHOTO, clients, "requests/s"] for clients in CLIENTS)


def goal(wanted: str, measured: str, met: bool) -> str:
    return f"- {wanted}: {measured}, {'met' if met else '**not met**'}"


def main() -> None:
    """Measure all servers and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without-litserve", action="store_true")
    parser.add_argument(
        "--revision", action="append", default=[], help="an older commit of this repository"
    )
    parser.add_argument("--seconds", type=float, default=3, help="per cell and round")
    parser.add_argument("--requests", type=int, default=20_000, help="between readings of memory")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file")
    arguments = parser.parse_args()
    source = here("fer2013")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        trees = [folder / f"revision-{number}" for number in range(len(arguments.revision))]
        revisions = {
            stack.enter_context(checked_out(revision, tree)): tree
            for revision, tree in zip(arguments.revision, trees, strict=True)
        }
        litserve = None if arguments.without_litserve else install_litserve(folder / "litserve")
        compared, files = servers(litserve, revisions), write_requests(folder)
        check_same_results(compared, files)
        rows = measure_starts(compared, files, arguments.starts)
        rows += measure_load(compared, files, arguments.seconds)
        rows += measure_overload(compared, files, arguments.seconds)
        alone = [server for server in compared if server.name != OURS_WITH_WORKERS]
        rows += measure_memory(alone, files, arguments.requests)
    command = shlex.join(["python", "-m", "benchmarks.serving", *sys.argv[1:]])
    write_results(arguments.result, rows, page(rows, source, command))
    print(arguments.result.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
