"""A temporary folder in which stages run without a change to the files of the repository."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.provenance import ROOT

OUTPUTS = ("data", "models", "metrics")
"""Folders that have one folder per dataset, in which the stages write."""


@contextmanager
def working_copy(dataset: str, root: Path = ROOT) -> Iterator[Path]:
    """Yield a temporary folder with copies of one dataset's files and links to all other files.

    The state of an interrupted training is not copied, so that training starts at the first epoch.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for entry in root.iterdir():
            if entry.name.startswith("."):
                continue
            if entry.name not in OUTPUTS:
                (folder / entry.name).symlink_to(entry)
                continue
            (folder / entry.name).mkdir()
            for inner in entry.iterdir():
                if inner.name == dataset:
                    ignore = shutil.ignore_patterns(".resume*")
                    shutil.copytree(inner, folder / entry.name / dataset, ignore=ignore)
                else:
                    (folder / entry.name / inner.name).symlink_to(inner)
        yield folder
