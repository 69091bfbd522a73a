"""The page of `dvc plots`, in a Chromium without a network."""

import hashlib
import re
import time

import pytest

from tests.chromium_fixture import open_chromium
from tests.pipeline.conftest import ROOT

LAPTOP = "window-size=1280,900"
SECTIONS = {
    "Learning": 1,
    "Confusion and recall": 4,
    "Calibration": 2,
    "Robustness": 1,
    "Occlusion sensitivity": 1,
    "Data": 1,
}
"""Sections of the page, and how many plots of one dataset each has in a fresh clone."""


@pytest.fixture(scope="module")
def two_revisions(committed, tmp_path_factory):
    """A clone in which `other` has FER-2013's plots as the sample's, and DVC has no cache."""
    folder = tmp_path_factory.mktemp("plots") / "clone"
    committed.run(f"git clone -q . {folder} && cd {folder} && ln -s {committed.folder}/.venv .venv")
    committed.run(
        f"cd {folder} && git switch -qc other && cp metrics/fer2013/plots/* metrics/sample/plots/"
        " && cp models/fer2013/history.csv models/sample/ && git commit -qam other"
        " && git switch -q main"
    )
    return folder


@pytest.mark.parametrize("command", ["show", "diff main other"])
def test_a_fresh_clone_draws_every_listed_dataset_without_a_network(
    committed, two_revisions, tmp_path, command
):
    log = committed.run(f"cd {two_revisions} && dvc plots {command} 2>&1")
    assert "failed" not in log.lower()
    assert "warning" not in log.lower()
    page = two_revisions / "dvc_plots/index.html"
    assert "sample: " in page.read_text()
    assert "fer2013: " not in page.read_text()
    with open_chromium(tmp_path, LAPTOP, logs=("browser",)) as browser:
        browser.get(page.as_uri())
        charts = sum(SECTIONS.values()) - 2  # two are pictures
        for _ in range(120):
            drawn = browser.execute_script(
                "return document.querySelectorAll('.plot .chart-wrapper canvas').length"
            )
            if drawn >= charts:
                break
            time.sleep(0.5)
        assert drawn == charts
        messages = [entry["message"] for entry in browser.get_log("browser")]
        # The pictures of faces are not in git.
        assert [text for text in messages if "ERR_FILE_NOT_FOUND" not in text] == []
        shown = browser.execute_script(
            "return Object.fromEntries([...document.querySelectorAll('section:not([hidden])')].map("
            "section => [section.dataset.name, section.querySelectorAll('.plot').length]))"
        )
        assert shown == SECTIONS
        cut_off = browser.execute_script(
            "return [...document.querySelectorAll('.plot, .plot img')].filter(plot => "
            "plot.scrollWidth > plot.clientWidth + 1 || "
            "plot.getBoundingClientRect().right > document.documentElement.clientWidth)"
            ".map(plot => plot.id || plot.src)"
        )
        assert cut_off == []


def test_pictures_of_faces_are_shown_where_the_stages_made_them(built, tmp_path):
    built.run("dvc plots show")
    with open_chromium(tmp_path, LAPTOP) as browser:
        browser.get((built.folder / "dvc_plots/index.html").as_uri())
        for name in ("contact_sheet", "mistakes", "sensitivity_faces"):
            for _ in range(60):
                box = browser.execute_script(
                    "const picture = document.querySelector(arguments[0]);"
                    "return picture && "
                    "[picture.getBoundingClientRect().right, picture.naturalWidth]",
                    f".plot img[src$='/{name}.png']",
                )
                if box:
                    break
                time.sleep(0.5)
            assert box, name
            assert box[0] <= 1280
            assert box[1] > 100


def test_the_libraries_in_the_page_are_those_of_the_list():
    page = (ROOT / ".dvc/page/page.html").read_text()
    scripts = dict(re.findall(r'<script id="([\w.-]+)">(.*?)</script>', page, flags=re.S))
    listed = re.findall(
        r"^\| ([\w-]+) \| ([\d.]+) \| [^|]* \| (\d+) \| (\w{64}) \|",
        (ROOT / ".dvc/page/README.md").read_text(),
        flags=re.M,
    )
    assert len(listed) == 3
    assert scripts.keys() == {f"{package}-{version}" for package, version, *_ in listed}
    for package, version, size, digest in listed:
        script = scripts[f"{package}-{version}"].encode()
        assert (str(len(script)), hashlib.sha256(script).hexdigest()) == (size, digest)
        assert "Redistribution" in (ROOT / f".dvc/page/LICENSE.{package}").read_text()
    assert "https://cdn" not in re.sub(r"<script id.*?</script>", "", page, flags=re.S)
