"""Rows of results; a run that was killed at any byte is resumed."""

import csv
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognizer.cli.csv_table import CsvTable
from recognizer.cli.job import FrameResult, Result
from recognizer.cropping import box_square
from recognizer.detectors.base import Box
from recognizer.errors import OutputError
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import TrackedFace

LABELS = ("sad", "happy, or so")
BOX = Box(1, 2, 3, 4)
PROBABILITIES = {"sad": 0.25, "happy, or so": 0.75}
HAPPY = RecognizedFace(BOX, 0.5, "happy, or so", PROBABILITIES, box_square(BOX))
OTHER = replace(HAPPY, box=Box(50, 2, 3, 4))
TRACKED = TrackedFace(**vars(HAPPY), person=7)
RESULTS = [
    Result(Path("a.jpg"), 9, 8, [HAPPY, OTHER]),
    Result(Path("none.jpg"), 9, 8),
    Result(Path('odd "name",\nin two lines.jpg'), 9, 8, [HAPPY]),
    Result(Path("bad.jpg"), error="it is damaged, all of it"),
    FrameResult(path=Path("b.mp4"), faces=[TRACKED], frame=0, seconds=0.0),
    FrameResult(path=Path("b.mp4"), faces=[], frame=5, seconds=0.2),
    FrameResult(
        path=Path("b.mp4"), faces=[TRACKED, replace(TRACKED, person=8)], frame=10, seconds=0.4
    ),
    Result(Path("\udcff not UTF-8.jpg"), 9, 8, [HAPPY]),
]


def write(path, results=RESULTS, labels=LABELS, model="0a" * 32, settings="every=1"):
    """Write the results that are not in the file yet; return the inputs and errors of before."""
    with CsvTable(path, labels, model, settings) as table:
        done = set(table.done)
        for result in results:
            if str(result.path) not in done:
                table.write(result)
        return done, table.errors


def rows(path):
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_face_and_for_each_picture_without_one(tmp_path):
    write(tmp_path / "new/t.csv")
    table = rows(tmp_path / "new/t.csv")
    assert len(table) == 10
    assert table[0] == {
        **{"path": "a.jpg", "frame": "", "seconds": "", "person": ""},
        **{"x": "1", "y": "2", "width": "3", "height": "4", "confidence": "0.5"},
        **{"emotion": "happy, or so", "sad": "0.25", "happy, or so": "0.75"},
        **{"error": "", "model": "0a" * 32, "settings": "every=1"},
    }
    assert [row["path"] for row in table] == [
        str(result.path) for result in RESULTS for _ in result.faces or [None]
    ]
    none, bad, second = table[2], table[4], table[6]
    assert (none["emotion"], none["error"]) == ("", "")
    assert (bad["emotion"], bad["error"]) == ("", "it is damaged, all of it")
    assert (second["frame"], second["seconds"], second["person"]) == ("5", "0.2", "")
    assert (table[7]["frame"], table[7]["person"]) == ("10", "7")


def test_rows_are_on_disk_at_once(tmp_path):
    with CsvTable(tmp_path / "t.csv", LABELS, "0a", "every=1") as table:
        for number, result in enumerate(RESULTS[:3]):
            table.write(result)
            assert len({row["path"] for row in rows(tmp_path / "t.csv")}) == number + 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "whole.csv"
    write(path)
    return path.read_bytes()


@given(st.data())
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_a_run_killed_at_any_byte_is_resumed_to_the_same_file(whole, tmp_path, data):
    path = tmp_path / "t.csv"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    _, errors = write(path)
    assert path.read_bytes() == whole
    assert errors == 1


def test_inputs_that_two_runs_have_written_are_processed_again(whole, tmp_path):
    path, both = tmp_path / "t.csv", tmp_path / "both.csv"
    header, *lines = whole.splitlines(keepends=True)
    # Two runs that finish the same photos, one after the other.
    start = whole.index(b"none.jpg")
    once, twice = whole[len(header) : start], whole[start:]
    both.write_bytes(header + once + twice + twice)
    path.write_bytes(both.read_bytes())
    with CsvTable(path, LABELS, "0a" * 32, "every=1") as table:
        assert table.done == set()  # "a.jpg" is the last one left, which may be incomplete
        assert table.repeated == len({str(result.path) for result in RESULTS[1:]})
    path.write_bytes(both.read_bytes())
    done, errors = write(path)
    assert path.read_bytes() == whole
    assert errors == 1
    # Each row twice, as of two runs with the same pace.
    path.write_bytes(header + b"".join(line + line for line in lines[:2]) + b"".join(lines[2:]))
    done, _ = write(path)
    assert "a.jpg" not in done
    assert sorted(path.read_bytes()) == sorted(whole)


def test_healing_a_file_leaves_it_whole_after_a_full_disk(whole, tmp_path):
    path = tmp_path / "t.csv"
    header, *lines = whole.splitlines(keepends=True)
    path.write_bytes(doubled := header + b"".join(lines + lines))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(header) - 1, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written: File too large"):
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == doubled


NAMES = ["=1+1.jpg", "+a.jpg", "-a.jpg", "@a.jpg", "\ta.jpg", "\ra.jpg", "\na.jpg"]


@pytest.mark.parametrize("name", [*NAMES, *(f"'{name}" for name in NAMES), "'a.jpg", "a=b.jpg"])
def test_no_cell_is_a_formula_and_the_name_is_found_again(tmp_path, name):
    results = [Result(Path(name), error="=1"), Result(Path("last.jpg"), 9, 8)]
    write(tmp_path / "t.csv", results)
    first = rows(tmp_path / "t.csv")[0]
    assert not re.match("[=+@\t\r\n-]", first["path"])
    assert first["error"] == "'=1"
    done, _ = write(tmp_path / "t.csv", results)
    assert done == {name}
    raw = tmp_path / "raw.csv"
    for _ in range(2):
        with CsvTable(raw, LABELS, "0a", "every=1", raw_cells=True) as table:
            if name not in table.done:
                table.write(results[0])
            table.write(results[1])
    assert table.done == {name}
    assert rows(raw)[0]["path"] == name


def test_only_the_last_input_is_repeated(whole, tmp_path):
    path = tmp_path / "t.csv"
    # In the middle of the video: all its rows are removed.
    path.write_bytes(whole[: whole.index(b"b.mp4,10")])
    done, _ = write(path)
    assert done == {str(result.path) for result in RESULTS[:4]}
    assert path.read_bytes() == whole


def test_new_inputs_are_appended(tmp_path):
    path = tmp_path / "t.csv"
    write(path, RESULTS[:3])
    done, _ = write(path, [Result(Path("0.jpg"), 1, 1), *RESULTS[:3]])
    assert done == {"a.jpg", "none.jpg"}
    expected = ["a.jpg", "a.jpg", "none.jpg", "0.jpg", str(RESULTS[2].path)]
    assert [row["path"] for row in rows(path)] == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"model": "1b" * 32},
            r"made by model 0a0a0a0a0a0a with every=1; this run has .* 1b1b1b1b1b1b",
        ),
        ({"settings": "every=2"}, r"with every=1; this run has .* with every=2"),
        ({"labels": ("sad", "glad")}, "no table of this program, or one of a model with other"),
    ],
)
def test_rows_of_another_origin_are_not_mixed(whole, tmp_path, change, reason):
    path = tmp_path / "t.csv"
    path.write_bytes(whole)
    with pytest.raises(OutputError, match=f"^{path}: .*{reason}"):
        write(path, **change)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "content", [b"a letter to a friend", b"x", b"path,frame\n1,2\n", b"\x89PNG\r\n\x1a\n" * 50]
)
def test_other_files_are_left_alone(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="no table of this program"):
        write(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", [b"too,few\n", b'a"quote,in "the middle\n'])
def test_damage_before_the_end_is_an_error(whole, tmp_path, damage):
    path = tmp_path / "t.csv"
    start = whole.index(b"none.jpg")
    path.write_bytes(whole[:start] + damage + whole[start:])
    with pytest.raises(OutputError, match=f"damaged in the row that begins at byte {start}"):
        write(path)


def test_a_folder_as_the_file_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        write(tmp_path)
