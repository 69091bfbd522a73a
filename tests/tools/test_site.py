"""The site: built without warnings, complete, and shown without a request to another host."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import facial_expression as fe
from tests.chromium_fixture import open_chromium

ROOT = Path(__file__).parents[2]
MKDOCS = Path(sys.prefix) / "bin/mkdocs"


def build(folder: Path, site: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [MKDOCS, "build", "--site-dir", site],
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_guide_is_a_page(site):
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    for page in (ROOT / "docs").glob("*.md"):
        assert f": docs/{page.name}\n" in menu
        assert (site / f"docs/{page.stem}.html").is_file()


def test_the_reference_has_the_call_and_its_results(site):
    text = (site / "reference/facial_expression.html").read_text()
    results = {name for name in fe.__all__ if not name.endswith("Error")}
    for name in results:
        assert f'id="facial_expression.{name}"' in text
    for name in ("Photo.to_frame", "Photo.draw", "Face.box", "Face.emotion"):
        assert f'id="facial_expression.{name}"' in text


def test_a_broken_link_stops_the_build(tmp_path):
    folder = tmp_path / "copy"
    clone = ["git", "clone", "--quiet", "--local", ROOT, folder]
    subprocess.run(clone, check=True)
    for name in ("mkdocs.yml", "tools/site_pages.py"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    page = folder / "docs/python.md"
    page.write_text("# The Python call\n\n[nowhere](absent.md), [no heading](data.md#absent)\n")
    done = build(folder, tmp_path / "site")
    assert done.returncode == 1
    assert "'absent.md'" in done.stderr
    assert "'data.md#absent'" in done.stderr


def test_the_site_makes_no_request_to_another_host(site, tmp_path):
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        with open_chromium(tmp_path, logs=("browser",)) as browser:
            for page in ("index", "docs/python", "reference/facial_expression"):
                browser.get(f"{address}{page}.html")
                script = "return performance.getEntriesByType('resource').map(one => one.name)"
                requests = browser.execute_script(script)
                assert requests
                assert [url for url in requests if not url.startswith(address)] == []
            assert browser.get_log("browser") == []
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None: ...
