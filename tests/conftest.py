"""Settings of all tests, and which of them share a process under pytest-xdist."""

import os

import pytest
from hypothesis import settings

# Tiny networks gain nothing from more threads, and each idle thread costs CPU time.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

# The duration of an example depends on what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

GROUPS = {"tests/pipeline/": "pipeline", "tests/api/": "api"}
"""Folders whose tests run in one process, because they share what takes long to start or build."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, or of a folder in GROUPS, in one process; the longest come first.

    Without pytest-xdist's `-n` this only changes the order.
    """
    groups = {}
    for item in items:
        path = item.nodeid.partition("::")[0]
        folder = next((name for start, name in GROUPS.items() if path.startswith(start)), None)
        groups[item] = folder or path
        item.add_marker(pytest.mark.xdist_group(groups[item]))
    items.sort(key=lambda item: groups[item] != "pipeline")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape what is not UTF-8 in captured output, such as names of files: xdist cannot send it."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report
