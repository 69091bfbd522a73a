"""Measure the server under abuse and faults, before and after a change.

    python -m benchmarks.abuse --before REV

Writes `benchmarks/abuse.csv` and, from it, the page `benchmarks/abuse.md`; takes about ten minutes
on two cores. Linux only. REV is checked out into a temporary git worktree and runs its own code
with the same model file. Each attack runs against both, one after the other. Clients run on the
same machine and take a share of its cores.

- A client whose requests are measured sends a JPEG of 640×480 pixels with one face, one request
  after the other. Its quiet time is the 95th percentile of a few seconds without an attack.
- Memory is the kernel's record of the server's largest resident memory (VmHWM) less the resident
  memory before the attack.
"""

import argparse
import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from benchmarks.abuse_inputs import (
    URL_ENCODED,
    batch,
    flat_webp,
    form_fields,
    looping_model,
    post,
    post_head,
    progressive_jpeg,
    tensor,
    values,
    words,
)
from benchmarks.provenance import here, opening
from benchmarks.result_files import write_results
from benchmarks.servers import MODEL, REVISION, ROOT, checked_out
from recognizer.classifier import SIZE
from stages.evaluation.markdown_table import markdown_table

RESULT = Path(__file__).with_suffix(".csv")
TIMEOUT = 90
"""Seconds."""
SIDE = 5000
"""Pixels; a square image of this side has as many pixels as MAX_PIXELS allows."""
MEGABYTE = 1_000_000
STALLED = 100
NEVER = f"more than {TIMEOUT}"


@dataclass(frozen=True)
class Row:
    """One measured value."""

    attack: str
    measure: str
    goal: str
    server: str
    value: str


@dataclass(frozen=True)
class Target:
    """A running server."""

    port: int
    process: psutil.Process
    log: Path

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """Response to a GET request on a new connection, read to its end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.body = response.read()  # type: ignore[attr-defined]
            return response

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def gauge(self, name: str) -> float:
        """A value in the metrics."""
        text = self.get("/metrics").body.decode()  # type: ignore[attr-defined]
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert found, name
        return float(found[1])

    def resident(self) -> int:
        """Resident memory in bytes."""
        return int(self.process.memory_info().rss)

    def reset_peak(self) -> None:
        """Forget the largest resident memory."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """The largest resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@contextmanager
def server(folder: Path, *options: str, **environment: str) -> Iterator[Target]:
    """Start the server of a working tree, and wait until it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary, "log")
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "api", "--port", str(port), *options],
                cwd=folder,
                env={**os.environ, "MODEL_PATH": str(MODEL), **environment},
                stdout=out,
                stderr=out,
            )
        target = Target(port, psutil.Process(process.pid), log)
        children = []
        try:
            wait_for(lambda: log.read_text().count("ready: ") >= options.count("2") + 1)
            wait_for(lambda: _status(target) == 200)
            children = target.process.children(recursive=True)
            yield target
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            finally:
                for child in (process, *children):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()


def _status(target: Target) -> int:
    try:
        return target.get("/livez").status
    except ConnectionError:
        return 0


def wait_for(condition: Callable[[], bool], seconds: float = TIMEOUT) -> float | None:
    """Wait for a condition; the seconds that it took, or None if it was not met in time."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        if condition():
            return time.perf_counter() - start
        time.sleep(0.02)
    return None


def in_words(seconds: float | None) -> str:
    """Seconds with two digits."""
    return NEVER if seconds is None else f"{seconds:.2f}"


# ---------------------------------------------------------------- clients


def photo() -> bytes:
    """The JPEG of the measured client."""
    image = cv2.imread(str(ROOT / "docs" / "astronaut.jpg"))
    wide = cv2.copyMakeBorder(image[:480], 0, 0, 64, 64, cv2.BORDER_REPLICATE)
    return bytes(cv2.imencode(".jpg", wide)[1].tobytes())


def predict(target: Target, data: bytes, seconds: float) -> list[tuple[int, float]]:
    """Send requests one after the other; status and seconds of each."""
    answers, end = [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            connection.request("POST", "/predict", data, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
        answers.append((response.status, time.perf_counter() - start))
        time.sleep(0.05)
    return answers


def abandon(target: Target, request: bytes, seconds: float = 0.5) -> None:
    """Send a request, and close the connection after a while."""
    with contextlib.suppress(OSError), target.connect() as connection:
        connection.sendall(request)
        time.sleep(seconds)


@contextmanager
def repeated(action: Callable[[], None], interval: float) -> Iterator[None]:
    """Start an action in a thread, again and again."""
    done, threads = threading.Event(), []

    def start_again() -> None:
        while not done.wait(interval):
            threads.append(threading.Thread(target=action))
            threads[-1].start()

    starter = threading.Thread(target=start_again)
    starter.start()
    try:
        yield
    finally:
        done.set()
        starter.join()
        for thread in threads:
            thread.join()


# ---------------------------------------------------------------- attacks

Measured = Iterator[tuple[str, str, str, str]]
"""Attack, measure, goal and value."""


def abandoned_work(folder: Path) -> Measured:
    """Requests with much work whose clients disconnect."""
    jpeg, grain = progressive_jpeg(SIDE), progressive_jpeg(SIDE, 40)
    within = "none: it is within the limits"
    for attack, request, goal in (
        ("/predict/batch: 32 progressive JPEGs of 25 megapixels", batch(jpeg, 32), "≥ 95 %"),
        ("/v2: 32 WebPs of 25 megapixels", tensor(flat_webp(SIDE), 32), "≥ 95 %"),
        (
            "/predict: 1 progressive JPEG of 25 megapixels",
            post("/predict", grain, "image/jpeg"),
            within,
        ),
        ("/predict/batch: 32 WebPs of 1.5 megapixels", batch(flat_webp(1225), 32), within),
    ):
        name = f"{attack} ({len(request) / MEGABYTE:.2g} MB), closed after 0.5 s"
        with server(folder) as target:
            predict(target, photo(), 3)
            quiet = float(np.percentile([s for _, s in predict(target, photo(), 8)], 95))
            with repeated(lambda request=request: abandon(target, request), 0.5):  # type: ignore[misc]
                time.sleep(1)
                answers = predict(target, photo(), 15)
            good = [status == 200 and seconds <= 2 * quiet for status, seconds in answers]
            share = f"{100 * sum(good) / len(good):.0f} % of {len(good)}"
            yield name, "two a second: answers within twice the quiet time", goal, share
            wait_for(lambda: target.gauge("fer_inferences_running") == 0)
            abandon(target, request)
            free = wait_for(lambda: target.gauge("fer_inferences_running") == 0)
            yield name, "slot free after a disconnect, s", "≤ 1", in_words(free)
            for _ in range(2):
                abandon(target, request)
            target.process.terminate()
            gone = wait_for(lambda: target.process.status() == psutil.STATUS_ZOMBIE)
            yield name, "exit after SIGTERM, s", "≤ 3", in_words(gone)


def bodies(folder: Path) -> Measured:
    """Bodies that take long to parse, or much memory."""
    size = 9 * MEGABYTE
    requests = {
        "/analyze: URL-encoded escapes": post(
            "/analyze", b"img=" + b"%41" * (size // 3), URL_ENCODED
        ),
        "/analyze: URL-encoded pairs": post("/analyze", b"a=b&" * (size // 4), URL_ENCODED),
        "/analyze: form of empty fields": form_fields(size),
        "/v2: lists in data": values(b"[]", size),
        "/v2: numbers in data": values(b"0", 2 * 1024 * SIZE**2),
        "/predict: base64 of single letters": words(size),
        "/predict: brackets": post("/predict", b"[" * size, "application/json"),
    }
    for name, request in requests.items():
        with server(folder) as target:
            predict(target, photo(), 1)
            attack = f"{name} ({len(request) / MEGABYTE:.2g} MB)"
            before = target.resident()
            target.reset_peak()
            sender = threading.Thread(target=_send, args=(target, request))
            sender.start()
            waits = []
            while sender.is_alive():
                start = time.perf_counter()
                target.get("/livez")
                waits.append(1000 * (time.perf_counter() - start))
                time.sleep(0.005)
            yield attack, "slowest /livez, ms", "≤ 100", f"{max(waits):.0f}"
            growth = max(0, target.peak() - before) / len(request)
            yield attack, "peak memory, times the body", "≤ 5", f"{growth:.1f}"


def _send(target: Target, request: bytes) -> None:
    """Send a request, and read the response to its end."""
    with target.connect() as connection:
        with contextlib.suppress(OSError):  # refused before all of it is sent
            connection.sendall(request)
        with contextlib.suppress(OSError):
            while connection.recv(65536):
                pass


def stalled_uploads(folder: Path) -> Measured:
    """Uploads whose last byte never arrives."""
    attack = f"{STALLED} uploads of 10 MB without their last byte"
    body = bytes(10 * MEGABYTE)
    request = post_head("/predict", len(body) + 1, "image/jpeg") + body
    with server(folder) as target, ExitStack() as stack:
        predict(target, photo(), 3)
        before = target.resident()
        for _ in range(STALLED):
            connection = stack.enter_context(target.connect())
            connection.settimeout(2)
            with contextlib.suppress(OSError):  # refused, or the server reads no more
                connection.sendall(request)
        full = target.resident()
        answers = predict(target, photo(), 5)
        statuses = [status for status, _ in answers]
        stack.close()
        predict(target, photo(), 3)
        time.sleep(3)
        after = target.resident()
        yield attack, "memory during, MB more", "bounded", f"{(full - before) / MEGABYTE:.0f}"
        yield (
            attack,
            "memory afterwards, MB more",
            "given back",
            f"{(after - before) / MEGABYTE:.0f}",
        )
        good = f"{100 * statuses.count(200) / len(statuses):.0f} % of {len(statuses)}"
        yield attack, "answers of a normal client", "all", good


def starts(folder: Path) -> Measured:
    """A used port, and a worker that is killed after the model file was damaged."""
    with server(folder) as target:
        done = subprocess.run(
            [sys.executable, "-m", "api", "--port", str(target.port)],
            cwd=folder,
            env={**os.environ, "MODEL_PATH": str(MODEL)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    text = done.stdout + done.stderr
    said = "one line" if "already in use" in text and "raceback" not in text else "traceback"
    yield "a second server on the port", "its error", "one line", said
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary, "model.onnx")
        model.write_bytes(MODEL.read_bytes())
        with server(folder, "--workers", "2", MODEL_PATH=str(model)) as target:
            model.write_bytes(b"damaged")
            workers = [
                child
                for child in target.process.children()
                if "spawn_main" in " ".join(child.cmdline())
            ]
            workers[0].kill()
            wait_for(lambda: target.log.read_text().count("ready: ") >= 3)
            time.sleep(1)
            statuses = {target.get("/readyz").status for _ in range(60)}
    attack = "two workers: the model file is damaged, one worker killed"
    yield attack, "statuses of /readyz", "one", ", ".join(map(str, sorted(statuses)))


def origins(folder: Path) -> Measured:
    """Names of other sites, and text that is not UTF-8."""
    with server(folder) as target:
        answer = target.get("/model", Host="evil.example").status
        yield "Host: evil.example", "status of /model", "421", str(answer)
        opened = "refused"
        with contextlib.suppress(WebSocketException):
            address = f"ws://evil.example:{target.port}/stream"
            raw = target.connect()
            with connect(address, sock=raw, origin=f"http://evil.example:{target.port}"):  # type: ignore[arg-type]
                opened = "opened"
        yield "Host and Origin: evil.example", "/stream", "refused", opened
        policy = target.get("/docs").headers.get("Content-Security-Policy", "none")
        has = "its own files" if "default-src 'self'" in policy else policy
        yield "/docs", "Content-Security-Policy", "its own files", has
        with connect(f"ws://127.0.0.1:{target.port}/stream") as stream:
            stream.socket.sendall(b"\x81\x82\0\0\0\0\xff\xfe")
            with contextlib.suppress(WebSocketException):
                stream.recv(TIMEOUT)
        time.sleep(0.5)
        found = "a traceback" if "raceback" in target.log.read_text() else "no traceback"
        yield "/stream: text that is not UTF-8", "the log has", "no traceback", found


def foreign_model(folder: Path) -> Measured:
    """A model with a loop that never ends."""
    code = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from recognizer.classifier import Classifier\n"
        "Classifier(Path(sys.argv[1])).predict(np.zeros((1, 48, 48), np.uint8))"
    )
    with tempfile.TemporaryDirectory() as temporary:
        path = looping_model(Path(temporary, "model.onnx"))
        try:
            done = subprocess.run(
                [sys.executable, "-c", code, path],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=20,
            )
            said = "refused" if "'Loop' is not allowed" in done.stderr else done.stderr[-200:]
        except subprocess.TimeoutExpired:
            said = "no end in 20 s"
    yield "a model file whose Loop never ends", "predict", "refused", said


ATTACKS = (abandoned_work, bodies, stalled_uploads, starts, origins, foreign_model)

# ---------------------------------------------------------------- page


def page(rows: list[Row], before: str) -> str:
    """The page, from the measured values."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        found.setdefault((row.attack, row.measure, row.goal), {})[row.server] = row.value
    table = [
        (attack, measure, goal, of.get(before, ""), of.get("this server", ""))
        for (attack, measure, goal), of in found.items()
    ]
    headers = ("attack", "measure", "goal", before, "this server")
    return (
        "\n\n".join(
            [
                opening("The server under abuse", [("fer2013", here("fer2013"))]),
                f"    python -m benchmarks.abuse --before {before.removeprefix(REVISION)}",
                "The sender of an attack runs on the cores of the server. The inputs are in"
                " `benchmarks/abuse_inputs.py`, the definitions of the measures in"
                " `benchmarks/abuse.py`; the tests send smaller inputs of the same kinds"
                " (`tests/api/test_abuse.py`). The attacks on the command line and the pipeline"
                " are in [abuse_files.md](abuse_files.md).",
                markdown_table(headers, table, text_columns=len(headers)),
            ]
        )
        + "\n"
    )


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", required=True, metavar="REV", help="the commit to compare")
    parser.add_argument("--only", nargs="+", help="names of attacks; prints without writing")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "before")
        with checked_out(arguments.before, folder) as before:
            for attack in ATTACKS:
                if arguments.only and attack.__name__ not in arguments.only:
                    continue
                for name, where in ((before, folder), ("this server", ROOT)):
                    for measured in attack(where):
                        rows.append(Row(measured[0], measured[1], measured[2], name, measured[3]))
                        print(*rows[-1].__dict__.values(), sep=" | ", flush=True)
    if not arguments.only:
        write_results(RESULT, rows, page(rows, before))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main()
