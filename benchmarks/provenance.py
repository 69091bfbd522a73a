"""Model, code and machine of a measurement: the first block of a benchmark's page.

The block is a table with one row per measurement:

    | measured     | model                    | code           | machine          |
    |:-------------|:-------------------------|:---------------|:-----------------|
    | fer2013      | fer2013 `ceda9f2b750c`   | `6fde859bb1e4` | AMD EPYC, 2 cor… |
"""

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from stages.artifacts import Artifacts
from stages.evaluation.markdown_table import markdown_table

ROOT = Path(__file__).parents[1]
CODE = (":/*.py", ":/params.yaml", ":/params", ":/requirements")
"""Git paths whose uncommitted changes are reported beside the commit."""

HEADERS = ("measured", "model", "code", "machine")
EARLIER = "of an earlier release"
"""In the first line of a page whose model is not the released one."""


@dataclass(frozen=True)
class Provenance:
    """The columns `model`, `code` and `machine` of a page's first block."""

    model: str
    code: str
    machine: str


def here(dataset: str) -> Provenance:
    """The committed model of a dataset, the checked-out code and this machine."""
    return Provenance(describe_model(dataset), describe_code(), describe_machine())


def opening(title: str, measured: Iterable[tuple[str, Provenance]]) -> str:
    """Format the title of a page and its first block: what was measured, and its provenance."""
    rows = [(what, source.model, source.code, source.machine) for what, source in measured]
    if any(model != describe_model(re.split(r",? ", model)[0]) for _, model, _, _ in rows):
        title = f"{title}, {EARLIER}"
    return f"# {title}\n\n{markdown_table(HEADERS, rows, text_columns=len(HEADERS))}"


def describe_model(dataset: str) -> str:
    """Name and version of models/DATASET/model.onnx, for instance: fer2013 `ceda9f2b750c`.

    The version is the first 12 hexadecimal digits of the file's SHA-256.
    """
    path = ROOT / Artifacts(dataset).models / "model.onnx"
    if not path.exists():
        return f"{dataset}, not released"
    return f"{dataset} `{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}`"


def describe_code() -> str:
    """The checked-out commit, and whether files of code differ from it."""
    commit = _git("rev-parse", "--short=12", "HEAD").strip()
    changed = _git("status", "--porcelain", "--", *CODE)
    return f"`{commit}`, changed" if changed else f"`{commit}`"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def describe_machine() -> str:
    """CPU, cores, memory, system and Python; nothing that names the host."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.machine()
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 2**30
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        f"{cpu}, {cores} cores, {memory:.0f} GiB of memory, {system}, "
        f"Python {platform.python_version()}"
    )
