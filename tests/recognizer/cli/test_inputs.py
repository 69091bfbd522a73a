"""The inputs of files, folders and patterns, their order, and their problems."""

import os
from pathlib import Path

import pytest

from recognizer.cli.inputs import (
    CAMERA_RAW,
    OTHER_PICTURES,
    PHOTO_SUFFIXES,
    VIDEO_SUFFIXES,
    Input,
    find_inputs,
    folder_of,
)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in (
        "b.jpg",
        "a.PNG",
        "c/z.webp",
        "c/d/y.mp4",
        "c/notes.txt",
        ".hidden/x.jpg",
        "e[1].jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "c/.x.jpg").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*arguments, ignored=()):
    return [str(item.path) for item in find_inputs([str(one) for one in arguments], ignored)]


def test_a_folder_gives_only_its_photos_and_videos_sorted(tree):
    assert found(".") == ["a.PNG", "b.jpg", "c/d/y.mp4", "c/z.webp", "e[1].jpg"]
    assert found(tree / "c") == [str(tree / "c/d/y.mp4"), str(tree / "c/z.webp")]


def test_arguments_keep_their_order(tree):
    assert found("c/z.webp", "b.jpg", "c") == ["c/z.webp", "b.jpg", "c/d/y.mp4", "c/z.webp"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jpg", ["b.jpg", "e[1].jpg"]),
        ("**/*", ["a.PNG", "b.jpg", "c/d/y.mp4", "c/z.webp", "e[1].jpg"]),
        ("c/?.webp", ["c/z.webp"]),
        ("[ab].*", ["a.PNG", "b.jpg"]),
    ],
)
def test_a_pattern_gives_the_files_that_match(tree, pattern, names):
    assert found(pattern) == names
    assert found(str(tree / pattern)) == [str(tree / name) for name in names]


def test_a_file_that_looks_like_a_pattern_is_a_file(tree):
    assert found("e[1].jpg") == ["e[1].jpg"]


def test_a_named_file_is_taken_whatever_its_suffix(tree):
    assert found("c/notes.txt", "absent.jpg") == ["c/notes.txt", "absent.jpg"]


@pytest.mark.parametrize(
    ("argument", "problem"),
    [("empty", "contains no photo or video"), ("*.gif", "matches no photo or video")],
)
def test_an_argument_without_files_is_an_input_with_a_problem(tree, argument, problem):
    assert list(find_inputs([argument])) == [Input(Path(argument), problem)]


def test_an_address_is_an_input_with_a_problem(tree):
    (address,) = find_inputs(["https://host/a.jpg"])
    assert address.problem == "is an address: download the file and give its path"


def test_output_folders_are_no_input(tree):
    assert found(".", ignored=[tree / "c"]) == ["a.PNG", "b.jpg", "e[1].jpg"]
    assert found("**/*.webp", "*.jpg", ignored=[Path("c")]) == ["**/*.webp", "b.jpg", "e[1].jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_reported(tree):
    (tree / "c").chmod(0)
    assert Input(Path("c"), "Permission denied") in list(find_inputs(["."]))
    (tree / "c").chmod(0o755)


def test_what_is_no_file_is_kept_and_hides_nothing(tree):
    (tree / "empty/gone.jpg").symlink_to("nowhere.jpg")
    (tree / "empty/loop.jpg").symlink_to("loop.jpg")
    (tree / "empty/self").symlink_to("self")
    (tree / "empty/zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(tree / "empty/pipe.jpg")
    (tree / "empty/good.jpg").touch()
    names = [f"empty/{name}.jpg" for name in ("gone", "good", "loop", "pipe", "zero")]
    assert found("empty", ignored=[Path("c")]) == names
    assert found("empty/*", "empty/**", ignored=[Path("c")]) == [*names, *names]
    assert found("empty/loop.jpg") == ["empty/loop.jpg"]


@pytest.mark.timeout(60)
def test_a_link_to_a_parent_folder_is_not_followed(tree):
    (tree / "empty/loop").symlink_to(tree)
    (tree / "empty/again").symlink_to(tree)
    (tree / "empty/a.jpg").touch()
    assert found("empty") == ["empty/a.jpg"]
    assert found("**/a.jpg", "empty/**/a.jpg", "**/empty/**/a.jpg") == ["empty/a.jpg"] * 3


def test_a_pattern_with_two_stars_gives_each_file_once(tree):
    expected = ["a.PNG", "b.jpg", "c/d/y.mp4", "c/z.webp", "e[1].jpg"]
    assert found("**") == found("**/**/*") == expected
    assert found("c/**") == found("[c]/**/?.*") == ["c/d/y.mp4", "c/z.webp"]


def test_folders_are_read_lazily(tree):
    inputs = find_inputs(["."])
    assert next(inputs).path == Path("a.PNG")
    (tree / "c/late.jpg").touch()
    assert Path("c/late.jpg") in [item.path for item in inputs]


@pytest.mark.parametrize(
    ("argument", "folder"),
    [("b.jpg", "."), ("c", "c"), ("c/*/y.*", "c"), ("*.jpg", "."), ("absent/x.jpg", "absent")],
)
def test_the_folder_that_contains_all_inputs(tree, argument, folder):
    assert folder_of(argument) == (tree / folder).resolve()


@pytest.mark.parametrize("suffix", [*PHOTO_SUFFIXES, *VIDEO_SUFFIXES])
def test_a_folder_gives_every_kind_of_photo_and_video_in_any_case(tmp_path, suffix):
    (tmp_path / f"IMG{suffix.upper()}").touch()
    assert list(find_inputs([str(tmp_path)])) == [Input(tmp_path / f"IMG{suffix.upper()}")]


@pytest.mark.parametrize(
    ("suffix", "problem"),
    [
        (".CR2", "camera raw files (.cr2) are not supported: export it as JPEG or HEIC"),
        (".dng", "camera raw files (.dng) are not supported: export it as JPEG or HEIC"),
        (".raw", "camera raw files (.raw) are not supported: export it as JPEG or HEIC"),
        *(
            (
                suffix,
                f"{suffix} files are not supported: convert it to JPEG, PNG, WebP, BMP, TIFF, GIF,"
                " AVIF or HEIC",
            )
            for suffix in (".psd", ".svg", ".ico", ".jp2", ".jxl")
        ),
    ],
)
def test_a_picture_in_another_format_is_not_skipped(tmp_path, suffix, problem):
    path = tmp_path / f"IMG{suffix}"
    path.touch()
    for argument in (tmp_path, path, tmp_path / "*"):
        assert list(find_inputs([str(argument)])) == [Input(path, problem)]


def test_no_suffix_is_in_two_lists():
    suffixes = [*PHOTO_SUFFIXES, *VIDEO_SUFFIXES, *CAMERA_RAW, *OTHER_PICTURES]
    assert len(suffixes) == len(set(suffixes))


@pytest.mark.parametrize(
    ("name", "is_video"), [("a.mp4", True), ("a.MOV", True), ("a.jpg", False), ("mp4", False)]
)
def test_videos_are_recognized_by_their_suffix(name, is_video):
    assert Input(Path(name)).is_video == is_video
