"""Settings of all tests, and which of them share a process under pytest-xdist."""

import os

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Tiny networks gain nothing from more threads, and each idle thread costs CPU time.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

# The duration of an example depends on what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

GROUPS = {"tests/pipeline/": "pipeline", "tests/api/": "api"}
"""Folders whose tests run in one process, because they share what takes long to start or build."""


class FilesAndFolders(LoadScopeScheduling):
    """Keep the tests of a file, or of a folder in GROUPS, in one process.

    pytest-xdist 3.8 has `--dist loadgroup` for it, which does nothing with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((name for start, name in GROUPS.items() if path.startswith(start)), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> LoadScopeScheduling:
    """Distribute by FilesAndFolders."""
    return FilesAndFolders(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""
    items.sort(key=lambda item: item.nodeid.startswith("tests/pipeline/"), reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape what is not UTF-8 in captured output, such as names of files: xdist cannot send it."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report
