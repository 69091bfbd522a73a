"""docs/data.md on remotes: push, clone, pull; and what no other remote than `private` gets."""

import dataclasses
import hashlib
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.pipeline.conftest import ROOT, Repository, ran

PIXELS = (
    *(f"data/sample/{name}" for name in ("raw.csv", "faces.npz", "train.npz")),
    *(f"data/sample/{name}" for name in ("quarantine.csv", "validation.html")),
    *(f"metrics/sample/plots/{x}.png" for x in ("contact_sheet", "mistakes", "sensitivity_faces")),
)
"""Data and pictures of faces."""
MODELS = ("models/sample/model.keras", "models/sample/float32.onnx")


def commands() -> list[str]:
    """The two blocks of commands under the heading Remotes of docs/data.md."""
    section = (ROOT / "docs/data.md").read_text().partition("\n## Remotes\n")[2]
    return re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)


@pytest.fixture
def origin(built, tmp_path) -> Repository:
    """A copy of what is built, in a folder with nothing beside it."""
    folder = tmp_path / "one" / "origin"
    shutil.copytree(built.folder, folder, symlinks=True)
    return dataclasses.replace(built, folder=folder)


def clone_of(origin: Repository, folder: Path) -> Repository:
    origin.run(f"git clone -q . {folder}")
    return dataclasses.replace(origin, folder=folder)


def stored(remote: Path) -> set[str]:
    """MD5 of every file in a remote, computed from its bytes."""
    files = [path for path in remote.rglob("*") if path.is_file()]
    return {hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in files}


def digests(repository: Repository, names: tuple[str, ...]) -> set[str]:
    return {
        hashlib.md5((repository.folder / name).read_bytes(), usedforsecurity=False).hexdigest()
        for name in names
    }


def test_every_cached_output_of_the_data_stages_goes_to_the_private_remote():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    cached = {}
    for stage in stages.values():
        for out in (*stage.get("outs", ()), *stage.get("plots", ())):
            ((path, settings),) = out.items() if isinstance(out, dict) else [(out, {})]
            if settings.get("cache", True):
                cached[path.replace("${item.dataset}", "sample")] = settings.get("remote")
    assert cached == {**dict.fromkeys(PIXELS, "private"), **dict.fromkeys(MODELS, None)}


def test_a_clone_pulls_what_was_pushed_and_runs_nothing(origin):
    push, pull = commands()
    origin.run(push)
    beside = origin.folder.parent
    assert stored(beside / "storage") == digests(origin, MODELS)
    assert stored(beside / "private") == digests(origin, PIXELS)
    origin.run("git commit -qam 'Add a remote'")
    clone = clone_of(origin, beside / "clone")
    assert not (clone.folder / "data/sample").exists()
    assert ran(clone.run(pull)) == set()
    assert digests(clone, PIXELS + MODELS) == digests(origin, PIXELS + MODELS)
    assert clone.run("git status --porcelain") == ""


@pytest.mark.parametrize("options", ["", "-r storage", "-r storage --run-cache --all-commits"])
def test_no_push_to_another_remote_has_pixels(origin, options):
    origin.run(f"dvc remote add -d storage ../storage && dvc push {options}")
    pixels = digests(origin, PIXELS)
    in_storage = stored(origin.folder.parent / "storage")
    assert digests(origin, MODELS) <= in_storage and in_storage.isdisjoint(pixels)
    assert origin.run("git status --porcelain").split() == ["M", ".dvc/config"]


def test_back_on_main_everything_comes_from_the_cache(origin):
    """Another branch changed a cached file; `dvc checkout` restores it and no stage runs."""
    before = digests(origin, PIXELS + MODELS)
    origin.run("git switch -qc other && rm data/sample/train.npz models/sample/*.keras")
    origin.run("echo other > metrics/sample/plots/mistakes.png && git switch -q main")
    assert digests(origin, ("metrics/sample/plots/mistakes.png",)).isdisjoint(before)
    origin.run("dvc checkout --force")
    assert digests(origin, PIXELS + MODELS) == before
    assert ran(origin.run("dvc repro")) == set()


def test_a_clone_without_a_remote(origin):
    clone = clone_of(origin, origin.folder.parent / "clone")
    done = subprocess.run(
        ["dvc", "pull"],
        cwd=clone.folder,
        env=clone.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "Traceback" not in done.stderr
    clone.run("dvc plots diff HEAD")


def test_an_s3_compatible_remote(origin):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)])
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        import boto3

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        s3.create_bucket(Bucket="faces")
        login = "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test; "
        origin.run("dvc remote add -d storage s3://faces/storage")
        origin.run(f"dvc remote modify storage endpointurl {url}")
        origin.run("git commit -qam 'Add a remote'")
        private = "dvc remote modify --local private url ../private && "
        origin.run(f"{login} {private} dvc push")
        listed = {item["Key"] for item in s3.list_objects_v2(Bucket="faces")["Contents"]}
        names = {"".join(key.rsplit("/", 2)[1:]) for key in listed}
        assert names == digests(origin, MODELS)
        clone = clone_of(origin, origin.folder.parent / "clone")
        clone.run(f"{login} {private} dvc pull")
        assert ran(clone.run("dvc repro")) == set()
    finally:
        server.terminate()
        server.wait()
