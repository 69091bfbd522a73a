"""`make sbom` and `make licenses`, with the locked files of this project."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make(tmp_path):
    """Run a target of the Makefile in a copy of what it reads."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.prefix, "bin"))
    (tmp_path / ".venv/development").touch()

    def call(*targets):
        return subprocess.run(["make", *targets], cwd=tmp_path, capture_output=True, text=True)

    return call


def locked(room):
    text = (ROOT / f"requirements/{room}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;]+)", text, re.MULTILINE))


def test_an_sbom_has_each_locked_version_with_its_digests(make, tmp_path):
    done = make("sbom")
    assert done.returncode == 0, done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for room in ("serving", "pipeline", "tracking", "development"):
        bom = json.loads((tmp_path / f"build/sbom/{room}.cdx.json").read_text())
        assert bom["bomFormat"] == "CycloneDX"
        about = bom["metadata"]["component"]
        assert (about["name"], about["version"]) == (project["name"], project["version"])
        found = {one["name"]: one["version"] for one in bom["components"]}
        assert found == locked(room)
        for component in bom["components"]:
            (source,) = component["externalReferences"]
            assert {digest["alg"] for digest in source["hashes"]} == {"SHA-256"}


def test_each_dependency_of_the_server_has_a_licence_other_than_the_gpl(make, tmp_path):
    done = make("licenses")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {line.split()[0].lower().replace("_", "-") for line in done.stdout.splitlines()[1:]}
    assert locked("serving").keys() <= names
    report = (tmp_path / "build/licenses.md").read_text()
    assert report.count("\n") > 200
    # A package under the GPL is an error.
    (tmp_path / "requirements/serving.txt").write_text("pygit2==1.0\n")
    done = make("licenses")
    assert done.returncode != 0
    assert "pygit2" in done.stdout + done.stderr
