"""Write the page as static files, for any web server: `python -m tools.static_page FOLDER`.

Everything is predicted on the visitor's device. `make page` fetches onnxruntime-web first.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from api.middleware.security_headers import PAGE_POLICY
from api.on_device import RUNTIME, STATIC, device_files, device_models
from recognizer.detectors.yunet import MODEL as YUNET

ROOT = Path(__file__).parents[1]
METRICS = ROOT / "metrics"
CHOICES = "device/choices.json"

REPLACED = {
    ' <a href="docs">API</a>': "",
    ' Without it, use\n  <a href="docs">the API</a>.': "",
    '<meta charset="utf-8">': (
        '<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="'
        + PAGE_POLICY.replace("; frame-ancestors 'none'", "")  # browsers read it in headers only
        + '">'
    ),
}
"""Text of the server's page, and its replacement where there is no server."""


def write(folder: Path) -> None:
    """Write the page into a folder; a former page in it is replaced.

    Raises
    ------
    SystemExit
        onnxruntime-web was not fetched, or the folder has other files.
    """
    if not RUNTIME.is_file():
        sys.exit(f"error: {RUNTIME.relative_to(ROOT)}: not found; run `make page-packages`")
    if folder.exists() and not folder.is_dir():
        sys.exit(f"error: {folder}: is a file; name a new or empty folder")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / CHOICES).is_file():
            sys.exit(f"error: {folder}: has other files than a page; name an empty folder")
        shutil.rmtree(folder)
    shutil.copytree(STATIC, folder / "static", ignore=shutil.ignore_patterns("index.html"))
    page = (STATIC / "index.html").read_text()
    for old, new in REPLACED.items():
        assert page.count(old) == 1, f"index.html: expected {old!r} once"
        page = page.replace(old, new)
    (folder / "index.html").write_text(page)
    (folder / "device").mkdir()
    for name, path in device_files().items():
        shutil.copyfile(path, folder / "device" / name)
    shutil.copy(YUNET.with_name("LICENSE-YuNet.txt"), folder / "device")
    choices = {"server": False, "models": device_models(METRICS)}
    (folder / CHOICES).write_text(json.dumps(choices, indent=1) + "\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the page as static files.")
    parser.add_argument("folder", type=Path, help="a new folder, or one with a former page")
    write(parser.parse_args().folder)
