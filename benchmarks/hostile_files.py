"""Hostile files for the command line and the pipeline, of `abuse_files.py` and the tests."""

import gzip
import os
from pathlib import Path

NAMES = {
    "escape": "a\x1b[2Jb.jpg",
    "line end": "a\nb.jpg",
    "carriage return": "a\rb.jpg",
    "right to left": "a\u202egpj.exe.jpg",
    "formula": "=HYPERLINK(1).jpg",
    "plus": "+1.jpg",
    "minus": "-1.jpg",
    "at": "@a.jpg",
    "tab": "\ta.jpg",
    "apostrophe": "'=1.jpg",
}
"""File names that control a terminal, end a line, or are formulas for a spreadsheet."""

NO_FILES = {
    "device.jpg": "is a device, not a file",
    "loop.jpg": "Too many levels of symbolic links",
    "missing.jpg": "No such file or directory",
    "pipe.jpg": "is a named pipe, not a file",
}
"""What `no_files` creates, and the error of each."""


def no_files(folder: Path) -> None:
    """Create what is no file, with the names of photos, and links that loop, in a new folder."""
    folder.mkdir(parents=True)
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "missing.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "itself").symlink_to("itself")
    (folder / "here").symlink_to(".")
    (folder / "above").symlink_to("..")


def gzip_bomb(path: Path, megabytes: int) -> Path:
    """Write a .gz of one line of this many megabytes; it has about a thousandth of them."""
    member = gzip.compress(b"1," + b"0" * (64_000_000 - 2), compresslevel=9)
    path.write_bytes(member * (megabytes // 64))
    return path


def hostile_parameters(text: str) -> dict[str, str]:
    """Files of parameters that differ from a valid one, `text`, by one attack each."""
    first_seed = text.index("seed: ") + len("seed: ")
    end = first_seed + 1
    while text[end].isdigit():
        end += 1
    aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    return {
        "a seed of 5,001 digits": text[:first_seed] + "9" * 5001 + text[end:],
        "3,000 nested brackets": f"{text}\nextra: {'[' * 3000}{']' * 3000}\n",
        "a key twice": f"{text}\nfetch: {{}}\n",
        "aliases for 10^12 values": f"{text}\n{aliases}",
        "a list that contains itself": f"{text}\nextra: &extra [*extra]\n",
        "a key of 5,001 digits": f"{text}\n? {'9' * 5001}\n: 1\n",
        "a day that does not exist": f"{text}\nextra: 2024-99-99\n",
        "a list as a key": f"{text}\nextra: {{[1]: 1}}\n",
        "a byte that is no UTF-8": f"{text}\nextra: \udcff\n",
    }
