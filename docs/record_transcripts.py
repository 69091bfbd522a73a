"""Record what the commands of README and the guides print: `make transcripts`.

A block below `<!-- transcript -->` shows what the `sh` block above it prints. Each page runs in a
folder of its own with docs/astronaut.jpg and README.md, and in a fresh virtual environment in which
the wheel is installed. The client in TypeScript needs npm.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from doctest import DocTestParser
from pathlib import Path

from recognizer.atomic_file import written_atomically

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/python.md", "docs/command-line.md", "docs/serving.md")
CLIENTS = "docs/clients.md"
ADDRESS = "127.0.0.1:8000"
PACKAGES = ("pandas", "tritonclient[http]", "openapi-python-client")
"""What the pages use besides the wheel."""

NPM_PACKAGES = ROOT / "tests/api/typescript"
"""What the client in TypeScript uses, in versions that are pinned with their digests."""

LINES = r"(?:(?!```).*\n)*"
TRANSCRIPT = re.compile(rf"```sh\n({LINES})```\n\n<!-- transcript -->\n```(\w*)\n({LINES})```\n")
PYTHON = re.compile(rf"```pycon\n({LINES})```\n")
TOKEN = re.compile(r'"[^"]*"|-?\d[\d.]*|true|false|null')

EXAMPLES = """
import contextlib, io, json, sys
names, printed = {}, []
for source in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(source, "page", "single"), names)
    printed.append(output.getvalue())
json.dump(printed, sys.stdout)
"""


def with_fresh_transcripts(text: str, run: Callable[[str], str]) -> str:
    """Replace each transcript in a Markdown text by what `run` returns for its commands."""

    def fresh(match: re.Match[str]) -> str:
        commands, language, shown = match.groups()
        printed = run(commands)
        if language == "json":
            printed = laid_out(json.loads(printed), shown)
        printed = f"{printed.rstrip()}\n"
        return f"```sh\n{commands}```\n\n<!-- transcript -->\n```{language}\n{printed}```\n"

    return TRANSCRIPT.sub(fresh, text)


def laid_out(answer: object, shown: str) -> str:
    """Put the keys and values of an answer into the line breaks of the JSON that a page shows."""
    tokens = TOKEN.findall(json.dumps(answer, ensure_ascii=False))
    if len(tokens) != len(TOKEN.findall(shown)):
        sys.exit(f"error: the answer has other fields than the page: {json.dumps(answer)}")
    return TOKEN.sub(lambda _: tokens.pop(0), shown)


def with_fresh_examples(text: str, run: Callable[[list[str]], list[str]]) -> str:
    """Replace what the `pycon` blocks print; `run` gets the statements of all blocks of a page."""
    parser = DocTestParser()
    blocks = [parser.get_examples(block) for block in PYTHON.findall(text)]
    printed = iter(run([example.source for block in blocks for example in block]))
    written = iter(
        "".join(_prompted(example.source) + next(printed) for example in block) for block in blocks
    )
    return PYTHON.sub(lambda _: f"```pycon\n{next(written)}```\n", text)


def _prompted(source: str) -> str:
    first, *others = source.splitlines()
    return "".join([f">>> {first}\n", *(f"... {line}\n" for line in others)])


# ---------------------------------------------------------------- the environment


def install(folder: Path) -> dict[str, str]:
    """Build the wheel and install it, and what the generated clients need.

    Returns the variables of a shell that has activated the environment.
    """
    shell = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    locked = ROOT / "requirements/development.txt"
    for command in (
        ["uv", "build", "--quiet", "--out-dir", folder, ROOT],
        ["uv", "venv", "--quiet", "--python", sys.executable, folder / "venv"],
    ):
        subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    python = folder / "venv/bin/python"
    packages = ["--constraint", locked, f"{wheel}[all,server]", *PACKAGES]
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *packages], check=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NPM_PACKAGES / name, folder)
    npm = ["npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(npm, check=True, stdout=subprocess.DEVNULL)
    (folder / "home").mkdir()
    return shell | {"PATH": f"{python.parent}:{shell['PATH']}", "HOME": str(folder / "home")}


@contextmanager
def served(folder: Path, shell: dict[str, str]) -> Iterator[str]:
    """Start the server of the wheel; yields its address, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["python", "-m", "api", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(command, cwd=folder, env=shell, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit("error: the server was not ready within two minutes")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Record the transcripts of all pages."""
    if not shutil.which("npm"):
        sys.exit("error: npm not found; install Node.js")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shell = install(folder)
        (folder / "docs").mkdir()
        shutil.copy(ROOT / "docs/astronaut.jpg", folder / "docs")
        shutil.copy(ROOT / "README.md", folder)
        shutil.copy(ROOT / "docs/astronaut.jpg", folder / "photo.jpg")
        (folder / "notes.txt").write_text("no image")
        with served(folder, shell) as address:

            def run(command: str, given: str = "") -> str:
                """The output of a command line, which must succeed."""
                return subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", command.replace(ADDRESS, address)],
                    cwd=folder,
                    env=shell,
                    input=given,
                    stdout=subprocess.PIPE,
                    check=True,
                    text=True,
                ).stdout

            def run_examples(sources: list[str]) -> list[str]:
                (folder / "examples.py").write_text(EXAMPLES)
                printed: list[str] = json.loads(run("python examples.py", json.dumps(sources)))
                return printed

            for page in PAGES:
                text = (ROOT / page).read_text()
                write(page, with_fresh_examples(with_fresh_transcripts(text, run), run_examples))
            write_clients(folder, run, address)


def write_clients(folder: Path, run: Callable[[str], str], address: str) -> None:
    """Generate both clients as their page says, and record what the programs print."""
    text = (ROOT / CLIENTS).read_text()
    python, _, typescript, _ = re.findall(rf"```sh\n({LINES})```\n", text)
    for commands in (python, typescript):
        # `install` has installed the packages, in locked versions.
        run("\n".join(re.findall(r"^(?!pip |npm install ).+", commands, re.MULTILINE)))
    for language, name in (("python", "program.py"), ("typescript", "program.ts")):
        (program,) = re.findall(rf"```{language}\n({LINES})```\n", text)
        (folder / name).write_text(program.replace(ADDRESS, address))
    write(CLIENTS, with_fresh_transcripts(text, run))


def write(page: str, text: str) -> None:
    """Write a page that has changed."""
    if text != (ROOT / page).read_text():
        print(f"{page}: new transcripts")
        with written_atomically(ROOT / page) as path:
            path.write_text(text)


if __name__ == "__main__":
    main()
