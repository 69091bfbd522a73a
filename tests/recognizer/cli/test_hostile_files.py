"""The command line with hostile files and names, and with two runs that write the same file."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.hostile_files import NAMES, NO_FILES, no_files
from recognizer.csv_cells import from_text_cell
from recognizer.printable import printable
from stages.dataset.corrections import CropTables
from tests.portrait_fixture import portrait
from tests.recognizer.cli.terminal_fixture import run_on_a_terminal
from tests.recognizer.video_fixture import write_video

ROOT = Path(__file__).parents[3]
SECONDS = 60
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f\u202e]")
"""Control characters but the line feed."""

GREY = cv2.imencode(".png", np.full((60, 60), 90, np.uint8))[1].tobytes()


@pytest.fixture
def command(tmp_path, model_path):
    def call(*arguments, wait=True, **options):
        process = subprocess.Popen(
            [sys.executable, "-m", "recognizer", "--model", model_path, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )
        if not wait:
            return process
        try:
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        return process.returncode, out.decode(), err.decode()

    return call


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("argument", ["in", "in/*", "in/**", "**/*.jpg"])
def test_what_is_no_file_is_an_error_and_hides_no_photo(tmp_path, command, argument):
    no_files(tmp_path / "in")
    (tmp_path / "in/good.jpg").write_bytes(GREY)
    status, out, _ = command(argument, "--json", "--faces", "whole")
    assert status == 1
    answers = [json.loads(line) for line in out.splitlines()]
    errors = {Path(answer["path"]).name: answer.get("error") for answer in answers}
    assert errors == NO_FILES | {"good.jpg": None}
    assert len(answers) == len(errors)


@pytest.mark.parametrize("name", ["pipe.jpg", "device.jpg", "loop.jpg"])
@pytest.mark.parametrize("option", [[], ["--crops", "out"], ["--annotate", "out.jpg"]])
def test_a_named_input_that_is_no_file(tmp_path, command, name, option):
    no_files(tmp_path / "in")
    status, out, err = command(f"in/{name}", *option)
    assert (status, out) == (1, "")
    assert err == f"error: in/{name}: {NO_FILES[name]}\n"


def test_a_video_or_a_model_that_is_no_file(tmp_path, command):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert command("pipe.mp4")[2] == "error: pipe.mp4: is a named pipe, not a file\n"
    status, _, err = command("pipe.mp4", "--model", "/dev/zero")
    assert status == 1
    assert err.startswith("error: /dev/zero: there is no such model: ")


def test_a_photo_with_more_bytes_than_allowed_is_an_error(tmp_path, command):
    (tmp_path / "a.png").write_bytes(GREY)
    status, _, err = command("a.png", "--max-bytes", len(GREY) - 1)
    assert status == 1
    limit = f"{len(GREY) - 1:,} bytes; --max-bytes allows more"
    assert err == f"error: a.png: the file has more than {limit}\n"
    assert command("a.png", "--max-bytes", len(GREY))[0] == 0


# ---------------------------------------------------------------- two runs


@pytest.mark.parametrize(("option", "file"), [("--csv", "out"), ("--crops", "out/faces.csv")])
def test_a_second_run_is_refused_until_the_first_ends(tmp_path, command, option, file):
    for number in range(40):
        (tmp_path / f"{number:02}.png").write_bytes(GREY)
    names = [f"{number:02}.png" for number in range(40)]
    arguments = [*names, option, "out", "--faces", "whole"]
    # Nobody reads the JSON lines: the first run stops when the pipe is full.
    first = command(*arguments, "--json", wait=False, pipesize=4096)
    assert first.stdout.read(1)
    (tmp_path / "link").symlink_to("out")
    for name in ("out", "link") if option == "--csv" else ("out",):
        status, out, err = command(*names, option, name, "--faces", "whole")
        assert (status, out) == (1, "")
        of = file.replace("out", name, 1)
        assert err == (
            f"error: {of}: another run writes this file; wait for its end, or name another file\n"
        )
    first.kill()
    first.communicate()
    assert command(*arguments)[0] == 0
    column = "path" if option == "--csv" else "photo"
    # The photos are equal: their crops have the names of the first one.
    assert len({row[column] for row in rows(tmp_path / file)}) == len(rows(tmp_path / file))
    if option == "--csv":
        assert [row["path"] for row in rows(tmp_path / "out")] == names
    assert [path.name for path in tmp_path.rglob("*.lock")] == []


def test_a_photo_that_two_arguments_name_has_its_rows_once(tmp_path, command):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(GREY)
    arguments = ["b.png", ".", "b.png", "--csv", "out.csv", "--faces", "whole"]
    for _ in range(2):
        assert command(*arguments)[0] == 0
        assert [row["path"] for row in rows(tmp_path / "out.csv")] == ["b.png", "a.png"]


# ---------------------------------------------------------------- names


def test_no_name_controls_the_terminal(tmp_path, command):
    for name in NAMES.values():
        (tmp_path / name).write_bytes(GREY)
        (tmp_path / f"{name}.gif").write_bytes(b"no picture")
    status, out, err = command(".", "--faces", "whole")
    assert status == 1
    assert not CONTROL.search(out + err)
    # A line for each photo, one for each error, and the head of the table.
    assert len(out.splitlines()) == 1 + len(NAMES)
    assert len(err.splitlines()) == len(NAMES)
    for name in NAMES.values():
        assert any(line.endswith(f"  {printable(name)}") for line in out.splitlines())
        assert any(line.startswith(f"error: {printable(name)}.gif: ") for line in err.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [["a", "--bad\x1b[2J"], ["a", "--model", "b\x1b[2J"], ["a", "--csv", "no\x1b/x\x1b.csv/x"]],
)
def test_no_argument_controls_the_terminal(tmp_path, command, arguments):
    (tmp_path / "no\x1b").mkdir()
    (tmp_path / "no\x1b/x\x1b.csv").touch()
    status, out, err = command(*arguments)
    assert status in (1, 2)
    assert "\\x1b" in err
    assert not CONTROL.search(out + err)


def test_no_name_of_a_video_controls_the_progress_bar(tmp_path, command):
    write_video(tmp_path / "v\x1b[31m\n.mp4", frames=3)
    _, shown = run_on_a_terminal(
        lambda there: command(
            ".", "--csv", "out.csv", wait=False, stdout=subprocess.DEVNULL, stderr=there
        )
    )
    assert "v\\x1b[31m\\n.mp4" in shown
    assert "\x1b[31m" not in shown


def test_no_cell_is_a_formula_and_a_run_is_resumed(tmp_path, command):
    for name in NAMES.values():
        (tmp_path / name).write_bytes(GREY)
    arguments = [".", "--csv", "out.csv", "--faces", "whole"]
    assert command(*arguments)[0] == 0
    content = (tmp_path / "out.csv").read_bytes()
    table = rows(tmp_path / "out.csv")
    assert [from_text_cell(row["path"]) for row in table] == sorted(NAMES.values())
    texts = [row[column] for row in table for column in ("path", "error", "emotion", "settings")]
    assert not [text for text in texts if re.match("[=+@\t\r\n-]", text)]
    status, _, err = command(*arguments)
    assert (status, err) == (0, f"out.csv: resuming after {len(NAMES) - 1} inputs\n")
    assert (tmp_path / "out.csv").read_bytes() == content
    # As they are, in a file of its own.
    status, _, err = command(*arguments, "--raw-cells")
    assert status == 1
    assert "out.csv: was made by model" in err
    assert command(".", "--csv", "raw.csv", "--faces", "whole", "--raw-cells")[0] == 0
    assert [row["path"] for row in rows(tmp_path / "raw.csv")] == sorted(NAMES.values())
    assert "--raw-cells: needs --csv" in command(".", "--raw-cells")[2]


def test_a_training_finds_the_crops_of_such_names(tmp_path, command):
    for number, name in enumerate(NAMES.values()):
        photo = cv2.resize(portrait(), None, fx=1 + number / 100, fy=1)
        (tmp_path / name).write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    for _ in range(2):
        assert command(".", "--crops", "out")[0] == 0
        table = rows(tmp_path / "out/faces.csv")
        assert sorted(from_text_cell(row["photo"]) for row in table) == sorted(NAMES.values())
    cells = [row[column] for row in table for column in ("file", "photo")]
    assert any(cell.startswith("'-1-") for cell in cells)
    assert not [cell for cell in cells if re.match("[=+@\t\r\n-]", cell)]
    tables = CropTables()
    for path in (tmp_path / "out").glob("[!_]*/*.png"):
        crop = tables.find(path, path.parent)
        assert crop is not None and not crop.corrected
