"""The environment variables, the processors, and `--version`."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import uvicorn

from api.settings import Settings, misspelled

ROOT = Path(__file__).parents[2]
START = [sys.executable, "-m", "api", "--port", "0"]


def start(*arguments, **environment):
    """Run a server that is expected to exit."""
    return subprocess.run(
        [*START, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [[], ["--workers", "2"]])
def test_an_invalid_setting_is_an_error_of_one_line(arguments):
    done = start(*arguments, MAX_BYTES="lots")
    assert done.returncode == 1
    assert done.stderr.startswith("error: environment variable MAX_BYTES: ")
    assert "'lots'" in done.stderr and done.stderr.count("\n") == 1


def test_a_misspelled_setting_is_an_error_of_one_line():
    done = start(MAX_BITES="100")
    assert done.returncode == 1
    assert done.stderr == (
        "error: environment variable MAX_BITES: unknown, did you mean MAX_BYTES? (unset it if it"
        " belongs to another program)\n"
    )


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("MAX_PIXLES", "MAX_PIXELS"),
        ("max_face", "MAX_FACES"),
        ("API_KEYS", "API_KEY"),
        ("APIKEY", "API_KEY"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("DEADLINE_SECS", "DEADLINE_SECONDS"),
        ("MAX_CONCURENCY", "MAX_CONCURRENCY"),
        ("MODEL_REF", "MODEL_REV"),
        ("UVICORN_PROT", "UVICORN_PORT"),
    ],
)
def test_misspelled_variables(variable, name):
    assert list(misspelled(["HOME", variable])) == [(variable, name)]


OTHER_VARIABLES = (
    *("PATH", "MANPATH", "CDPATH", "HOME", "MAX_JOBS", "MAX_WORKERS", "MAX_FILES", "MAX_PAGES"),
    *("MAX_LINES", "MAX_THREADS", "MAX_RETRIES", "MAX_TOKENS", "MAX_REQUESTS", "MAX_STEPS"),
    *("MAX_FRAMES", "MAX_CACHE", "MAX_BATCH_SIZE", "MODEL_DIR", "MODEL_NAME", "MODEL_PORT"),
    *("MODEL_HASH", "METRICS_PORT", "APP_KEY", "API_URL", "API_TOKEN", "MY_API_KEY"),
    *("OPENAI_API_KEY", "QUEUE_SIZE", "CORS_ALLOW_ORIGINS", "GIT_COMMITTER_NAME"),
    *("GIT_AUTHOR_NAME", "OMP_NUM_THREADS", "UVICORN_HOST"),
)


def test_variables_of_other_programs_are_accepted():
    assert list(misspelled(OTHER_VARIABLES)) == []
    assert list(misspelled([name.upper() for name in Settings.model_fields])) == []


def test_the_default_of_slots_is_the_number_of_usable_processors(serve, model_path):
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2 or not shutil.which("taskset"):
        pytest.skip("needs two processors and taskset")
    command = ["taskset", "--cpu-list", str(allowed[0]), *START]
    with serve(command, MODEL_PATH=str(model_path)) as client:
        assert slots(client) == 1
    with serve(command, MODEL_PATH=str(model_path), MAX_CONCURRENCY="3") as client:
        assert slots(client) == 3


def test_the_cpu_quota_of_a_container_limits_the_slots(serve, model_path, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    (tmp_path / "cpu.max").write_text("100000 100000\n")  # one processor's time
    mount = f'mount --bind {tmp_path} /sys/fs/cgroup && exec "$@"'
    own_mounts = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*own_mounts, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount: {error}")
    with serve([*own_mounts, *START], MODEL_PATH=str(model_path)) as client:
        assert slots(client) == 1


def slots(client):
    """The limit of concurrent inferences of a server."""
    lines = client.get("/metrics").text.splitlines()
    (line,) = (line for line in lines if line.startswith("fer_inference_slots "))
    return float(line.split()[1])


def test_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = start("--version")
    assert done.returncode == 0
    assert (
        done.stdout == f"{project['name']} {project['version']} (uvicorn {uvicorn.__version__})\n"
    )
