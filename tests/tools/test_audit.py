"""The audit of the locked dependencies, by the real pip-audit and a database on this machine."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKED = "alpha==1.0 \\\n    --hash=sha256:{}\n".format("0" * 64)


@pytest.fixture
def database():
    """A server with OSV's interface; `alpha` 1.0 has an advisory."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            affected = {
                "package": {"name": "alpha", "ecosystem": "PyPI"},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}
                ],
            }
            advisory = {"id": "PYSEC-1", "details": "A fault.", "affected": [affected]}
            found = {"vulns": [advisory]} if asked["package"]["name"] == "alpha" else {}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


@pytest.fixture
def audit(tmp_path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/development.txt").write_text(LOCKED)
    (tmp_path / "requirements/installer.txt").write_text(LOCKED.replace("alpha", "beta"))

    def call(address, *options):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tools.audit", "--vulnerability-service=osv"),
                *(f"--osv-url={address}", *options),
            ],
            cwd=tmp_path,
            env={"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    return call


def test_an_advisory_is_an_error_with_the_version_that_corrects_it(database, audit):
    assert audit(database) == (
        1,
        [
            "requirements/development.txt: compared with the advisories",
            "requirements/installer.txt: compared with the advisories",
            "requirements/development.txt: alpha 1.0: PYSEC-1, corrected in 1.1",
        ],
        "",
    )
    assert audit(database, "--skip-unreachable")[0] == 1
    assert audit(database, "--ignore-vuln=PYSEC-1")[0] == 0


def test_what_cannot_be_reached_does_not_pass_silently(audit):
    status, lines, _ = audit("http://127.0.0.1:1/v1/query")
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith("NOT AUDITED: requirements/development.txt: the advisories cannot")
    status, lines, _ = audit("http://127.0.0.1:1/v1/query", "--skip-unreachable")
    assert status == 0
    assert [line.split(":")[0] for line in lines] == ["NOT AUDITED", "NOT AUDITED"]
