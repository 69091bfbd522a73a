"""Photograph the page for README: `python -m docs.photograph_page PHOTO PICTURE`.

Needs Chromium, its driver, and a running `make serve`.
"""

import argparse
import base64
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WIDTH, HEIGHT = 1280, 760


def main() -> None:
    """Choose the photo on the page, wait for the result, and save a screenshot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--address", default="http://127.0.0.1:8000/")
    arguments = parser.parse_args()
    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        for flag in ("headless", "no-sandbox", "hide-scrollbars", f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(arguments.address)
        browser.find_element(By.ID, "file").send_keys(str(arguments.photo.resolve()))
        status = browser.find_element(By.ID, "status")
        WebDriverWait(browser, 30).until(lambda _: "%" in status.text)
        height = browser.execute_script("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
        shot = browser.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        browser.quit()
    arguments.picture.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main()
