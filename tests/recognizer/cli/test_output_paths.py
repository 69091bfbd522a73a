"""One file for one input, a folder for many; no input is overwritten."""

from pathlib import Path

import pytest

from recognizer.cli.output_paths import choose_output_paths
from recognizer.errors import OutputError

SUFFIXES = (".png", ".jpg")


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    for name in ("a.jpg", "in/b.jpg", "in/deep/c.jpg", "other/d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def place(out, arguments, source, suffixes=SUFFIXES):
    return choose_output_paths("--annotate", Path(out), arguments, suffixes).path(
        Path(source), suffixes
    )


def test_one_file_goes_to_one_file(tree):
    assert place("new/out.png", ["a.jpg"], "a.jpg") == tree / "new/out.png"


def test_a_missing_input_is_no_error_yet(tree):
    assert place("a.jpg", ["absent.jpg"], "absent.jpg") == tree / "a.jpg"


def test_one_file_goes_into_an_existing_folder(tree):
    assert place("there", ["a.jpg"], "a.jpg") == tree / "there/a.jpg"


@pytest.mark.parametrize(
    ("arguments", "source", "expected"),
    [
        (["in"], "in/deep/c.jpg", "deep/c.jpg"),
        (["in/*.jpg"], "in/b.jpg", "b.jpg"),
        (["in", "other"], "in/deep/c.jpg", "in/deep/c.jpg"),
        (["a.jpg", "in/b.jpg"], "in/b.jpg", "in/b.jpg"),
        (["in/../other/d.jpg", "a.jpg"], "in/../other/d.jpg", "other/d.jpg"),
    ],
)
def test_many_files_keep_their_folders(tree, arguments, source, expected):
    assert place("out", arguments, source) == tree / "out" / expected


def test_other_suffixes_are_kept_apart(tree):
    names = [place("out", ["in"], f"in/x{suffix}").name for suffix in (".JPG", ".mov", ".mp4", "")]
    assert names == ["x.JPG", "x.mov.png", "x.mp4.png", "x.png"]


@pytest.mark.parametrize(
    ("out", "arguments", "problem"),
    [
        ("a.jpg", ["a.jpg"], "is the input itself"),
        ("in/../a.jpg", ["a.jpg"], "is the input itself"),
        ("out.gif", ["a.jpg"], "expected a name that ends in .png, .jpg"),
        ("a.jpg", ["in"], "is a file, but many inputs need a folder"),
        ("in", ["in"], "contains the input in;"),
        (".", ["in"], "contains the input in;"),
        ("in", ["in/*.jpg"], "contains the input in/"),
        ("in", ["a.jpg", "in/deep/c.jpg"], "contains the input in/deep/c.jpg;"),
        (".", ["a.jpg"], "contains the input a.jpg;"),
    ],
)
def test_no_input_is_overwritten(out, arguments, problem):
    with pytest.raises(OutputError, match=problem) as caught:
        place(out, arguments, arguments[0])
    assert str(caught.value).startswith(f"--annotate {Path(out)}: ")
