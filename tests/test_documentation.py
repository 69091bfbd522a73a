"""The pages for people: links, names of files, lists of options and variables."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from api.settings import Settings

ROOT = Path(__file__).parents[1]
OWN = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")]
OWN += sorted((ROOT / "docs").glob("*.md"))
"""Pages that a person writes."""


def tracked_pages() -> list[Path]:
    """Every Markdown page that is part of the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.split() if (ROOT / name).exists()]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_code(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", tracked_pages(), ids=name_of)
def test_every_relative_link_leads_somewhere(page):
    text = without_code(page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        target = "".join(target)
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name_of(page)} links to {target}"
        assert linked.is_relative_to(ROOT), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", OWN, ids=name_of)
def test_every_file_that_a_page_names_exists(page):
    rooms = "api|benchmarks|docs|experiments|recognizer|requirements|stages|tests|tools"
    for name in re.findall(rf"`((?:{rooms})/[\w./*-]*)`", without_code(page.read_text())):
        if "_D." not in name:  # benchmarks/stage_costs_D.csv: D stands for a dataset
            assert list(ROOT.glob(name)), f"{name_of(page)} names {name}"


@pytest.mark.parametrize("page", OWN, ids=name_of)
def test_every_module_that_a_page_names_exists(page):
    for name in re.findall(r"python -m ((?:\w+\.)*\w+)", page.read_text()):
        if name.partition(".")[0] in sys.stdlib_module_names:
            continue
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name


def test_the_readme_is_read_in_one_sitting():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == [
        "Two commands",
        "Results",
        "Ask for a prediction",
        "Change a parameter and compare branches",
        "Your own data",
        "The map",
        "Where to read on",
    ]


def test_every_option_of_the_command_line_is_described():
    page = (ROOT / "docs/command-line.md").read_text()
    command = [sys.executable, "-m", "recognizer", "--help"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    options = set(re.findall(r"--[a-z][\w-]+", shown)) - {"--help", "--align"}
    assert set(re.findall(r"`(--[\w-]+)", page)) == options


def test_every_environment_variable_of_the_server_is_described():
    page = (ROOT / "docs/serving.md").read_text()
    table = page.partition("## Environment variables")[2].partition("\n## ")[0]
    described = set(re.findall(r"^\| (`.*?`) \|", table, flags=re.MULTILINE))
    names = {name for cell in described for name in re.findall(r"`(\w+)`", cell)}
    assert names == {name.upper() for name in Settings.model_fields}


def test_every_file_that_the_notice_names_exists():
    text = (ROOT / "NOTICE").read_text()
    names = re.findall(r"(?:api|docs|recognizer)/[\w./-]*\w", text)
    assert {"docs/astronaut.jpg", "docs/data.md"} <= set(names)
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_licences_of_other_files_are_installed():
    pattern = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license-files"]
    files = {path for one in pattern for path in ROOT.glob(one)}
    assert files >= {ROOT / "LICENSE", ROOT / "NOTICE", *(ROOT / "recognizer").rglob("LICENSE*")}


def test_the_hooks_of_pre_commit_are_locked_programs_and_those_of_make_lint():
    command = ["pre-commit", "validate-config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    programs = [hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in local["hooks"]]
    assert [name for name in programs if not (Path(sys.prefix) / "bin" / name).exists()] == []
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for command in ("ruff check", "ruff format", "mypy"):
        assert command in lint
        assert any(hook["entry"].startswith(f".venv/bin/{command}") for hook in local["hooks"])


def test_the_github_workflow_runs_what_ci_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["ci"]["steps"]
    assert steps[-1] == {"run": ".ci/run"}
