"""The pages of the site, for mkdocs: the committed Markdown at its own paths, and the reference.

Paths stay as in the repository, so that the links between the pages work here as on GitHub.
"""

import subprocess
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

PAGES = ("*.md", "*.csv", "*.jpg", "*.png", "LICENSE", "NOTICE", "params/*.yaml", "stages/*.py")
"""Patterns of the committed files that pages are or link to."""

REFERENCE = {
    "facial_expression": [
        f"facial_expression.{name}"
        for name in ("analyze", "Photo", "Video", "Frame", "Face", "Results", "Model")
    ],
    "recognizer": [
        *("recognizer.recognizer", "recognizer.classifier", "recognizer.image"),
        *("recognizer.detectors.base", "recognizer.detectors.registry", "recognizer.errors"),
        *("recognizer.video.reader", "recognizer.video.tracking", "recognizer.released_models"),
    ],
}
"""Modules, functions and classes on each page of the API reference."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of `docs_dir` by the committed pages and the API reference."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for name in _committed():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name, objects in REFERENCE.items():
        content = "\n\n".join([f"# {name}", *(f"::: {one}" for one in objects)])
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def _committed() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PAGES]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
