"""Photograph the page for the guides: `python -m docs.photograph_page PHOTO PICTURE`.

Needs Chromium, its driver, and a running `make serve`, or a web server of the files of `make page`.
"""

import argparse
import base64
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WINDOW_HEIGHT = 760
PATIENCE = 120
"""Seconds until the model is loaded and the result is there."""


def main() -> None:
    """Choose the photo on the page, wait for the result, and save a screenshot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--address", default="http://127.0.0.1:8000/")
    parser.add_argument("--width", type=int, default=1280, help="of the window")
    parser.add_argument("--height", type=int, help="of the picture; default: of the whole page")
    arguments = parser.parse_args()
    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        for flag in ("headless", "no-sandbox", "hide-scrollbars", f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        width = arguments.width
        size = {"width": width, "height": WINDOW_HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(arguments.address)
        status = browser.find_element(By.ID, "status")
        for _ in range(2):  # The latency of the first one on the device includes loading the model.
            browser.find_element(By.ID, "file").send_keys(str(arguments.photo.resolve()))
            WebDriverWait(browser, PATIENCE).until(lambda _: "%" in status.text)
        whole = browser.execute_script("return document.documentElement.scrollHeight")
        height = min(arguments.height or whole, whole)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = browser.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        browser.quit()
    arguments.picture.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main()
