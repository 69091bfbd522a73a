"""Results as text, dictionaries, data frames and pictures."""

import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import facial_expression as fe
from tests.facial_expression.conftest import PHOTO, ROOT
from tests.portrait_fixture import portrait

EMPTY = np.zeros((64, 64, 3), np.uint8)
SIDES = ["x", "y", "width", "height", "confidence", "emotion"]


@pytest.fixture
def without(monkeypatch):
    """Makes the import of a package fail, as if it were not installed."""

    def hide(package):
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(sys.modules, "recognizer.cli.drawing", raising=False)
        monkeypatch.delitem(sys.modules, "recognizer.cli.lettering", raising=False)
        monkeypatch.delitem(sys.modules, "recognizer.video.reader", raising=False)
        monkeypatch.setitem(sys.modules, package, None)

    return hide


# ---------------------------------------------------------------- text


def test_a_photo_prints_as_a_table():
    text = repr(fe.analyze(PHOTO))
    title, header, row = text.splitlines()
    assert title == f"{PHOTO}, 512×512, 1 face"
    assert header.split() == ["emotion", *fe.analyze(PHOTO).model.labels, "box"]
    assert re.fullmatch(r"happy( +\d+){3} +9\d( +\d+){3}  \d+×\d+ at \(\d+, \d+\)", row)
    # Numbers end below the ends of their names.
    assert row.index(" 9") + 3 == header.index("happy") + len("happy")


def test_a_face_prints_on_one_line():
    assert re.fullmatch(r"<Face: happy 9\d%, \d+×\d+ at \(\d+, \d+\)>", str(fe.analyze(PHOTO)[0]))


def test_a_photo_without_a_face_says_so():
    photo = fe.analyze(EMPTY)
    assert str(photo) == "photo, 64×64, no face"
    assert not photo


def test_a_video_prints_the_emotions_of_each_person(video):
    found = fe.analyze(video, every=5)
    title, *persons = str(found).splitlines()
    assert title == f"{video}, 320×240, 6 frames in 1.0 s, 2 persons"
    assert [line.partition(":")[0] for line in persons] == [
        f"person {n}, {sum(face.person == n for frame in found for face in frame.faces)} frames"
        for n in (1, 2)
    ]


def test_a_list_prints_a_line_for_each_result(video):
    assert str(fe.analyze([PHOTO, EMPTY, video], every=20)).splitlines() == [
        "2 photos, 1 video",
        f"{PHOTO}: {fe.analyze(PHOTO)[0].emotion} {fe.analyze(PHOTO)[0].probability:.0%}",
        "photo: no face",
        f"{video}, 320×240, 2 frames in 0.8 s, 2 persons",
    ]
    many = str(fe.Results([fe.analyze(EMPTY)] * 25)).splitlines()
    assert (many[0], len(many), many[-1]) == ("25 photos", 22, "… and 5 more")
    assert str(fe.analyze([])) == "no photo"


# ---------------------------------------------------------------- dictionaries


def test_a_dictionary_is_the_json_of_the_command_line(video, capsys):
    for path, options in ((PHOTO, []), (video, ["--every", "10"])):
        command = [sys.executable, "-m", "recognizer", str(path), "--json", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found = json.loads(json.dumps(fe.analyze(path, every=10).to_dict()))
        if path == PHOTO:
            assert [found] == lines
        else:
            shared = {name: found[name] for name in ("path", "image", "model")}
            assert [shared | frame for frame in found["frames"]] == lines


def test_a_list_gives_a_list_of_dictionaries():
    results = fe.analyze([PHOTO, EMPTY])
    assert results.to_dict() == [photo.to_dict() for photo in results]


# ---------------------------------------------------------------- data frames


def test_a_frame_has_a_row_for_each_face():
    photo = fe.analyze(PHOTO)
    frame = photo.to_frame()
    assert list(frame.columns) == ["path", *SIDES, *photo.model.labels]
    (row,) = frame.to_dict("records")
    assert row["path"] == str(PHOTO)
    assert {name: row[name] for name in photo.model.labels} == photo[0].probabilities
    assert (row["x"], row["emotion"]) == (photo[0].box.x, "happy")


def test_a_frame_without_a_face_has_the_columns():
    photo = fe.analyze(EMPTY)
    assert list(photo.to_frame().columns) == ["path", *SIDES, *photo.model.labels]
    assert len(photo.to_frame()) == 0


def test_the_frame_of_a_list_counts_its_items(video):
    results = fe.analyze([EMPTY, PHOTO, video], every=20)
    frame = results.to_frame()
    columns = ["item", "path", "frame", "seconds", "person", *SIDES, *results[0].model.labels]
    assert list(frame.columns) == columns
    assert frame["item"].tolist() == [1, 2, 2, 2]
    assert frame["person"].isna().tolist() == [True, False, False, False]
    assert frame["frame"].dropna().tolist() == [0, 0, 20]
    assert "person" not in fe.analyze([PHOTO]).to_frame().columns


def test_without_pandas_the_error_names_it(without):
    photo = fe.analyze(PHOTO)
    without("pandas")
    with pytest.raises(fe.MissingPackageError, match=r"pandas, .*: pip install pandas$"):
        photo.to_frame()


# ---------------------------------------------------------------- pictures


def test_a_drawn_photo_has_its_full_size_and_its_colours():
    photo = fe.analyze(PHOTO)
    drawn = np.asarray(photo.draw())
    assert drawn.shape == (1024, 1024, 3)  # enlarged to at least 640 pixels
    original = np.asarray(Image.open(PHOTO).resize((1024, 1024), Image.Resampling.BICUBIC))
    lower = slice(600, 1024)  # below the face and its label
    assert np.abs(drawn[lower].astype(int) - original[lower]).mean() < 3
    assert np.abs(drawn[:500].astype(int) - original[:500]).mean() > 3


def test_an_array_is_drawn_with_its_colours():
    rgb = np.asarray(Image.open(PHOTO))
    assert fe.analyze(rgb, channels="rgb").draw() == fe.analyze(PHOTO).draw()


def test_jupyter_shows_a_photo_as_a_png():
    large = np.pad(portrait(), ((0, 2000), (0, 0), (0, 0)))
    png = Image.open(io.BytesIO(fe.analyze(large)._repr_png_()))
    assert png.format == "PNG"
    assert max(png.size) == 1024


def test_the_drawn_frame_of_a_video_has_the_most_faces(video):
    found = fe.analyze(video, every=22)  # the right face is hidden from frame 20 to 25
    assert [len(frame.faces) for frame in found] == [2, 1]
    first, second = found.draw(), found.draw(found[1])
    assert first == found.draw(found[0])
    assert first.size == (640, 480)
    assert first != second


def test_without_pillow_the_error_names_the_extra(without):
    photo = fe.analyze(PHOTO)
    without("PIL")
    with pytest.raises(fe.MissingPackageError, match=r"the package pillow, .*recognition\[draw\]'"):
        photo.draw()
    assert photo._repr_png_() is None


def test_without_pyav_the_error_names_the_extra(without, video):
    without("av")
    with pytest.raises(fe.MissingPackageError, match=r"the package av, .*recognition\[video\]'"):
        fe.analyze(video)
