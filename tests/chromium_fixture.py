"""A real Chromium that can reach this machine only."""

import shutil
from contextlib import contextmanager

import pytest

FLAGS = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def open_chromium(profile, *flags, logs=()):
    """Start Chromium without a window; skip the test where it is not installed.

    Parameters
    ----------
    profile : Path
        An empty folder for its profile.
    flags : str
        Command-line flags without dashes, besides `FLAGS`.
    logs : sequence of str
        What `get_log` returns: "browser" (the console), "performance" (the requests).

    Yields
    ------
    selenium.webdriver.Chrome
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"user-data-dir={profile}", *flags):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as browser:
        yield browser
