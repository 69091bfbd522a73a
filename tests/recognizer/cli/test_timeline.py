"""The plot of the emotions of each person over time."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.cli.drawing import COLOURS
from recognizer.cli.timeline import MOST_PERSONS, MOST_TICKS, Timeline, clock, tick_step
from recognizer.cropping import box_square
from recognizer.detectors.base import Box
from recognizer.errors import OutputError
from recognizer.video.tracking import TrackedFace

LABELS = tuple(COLOURS)


def face(person, emotion):
    probabilities = dict.fromkeys(LABELS, 0.0) | {emotion: 1.0}
    box = Box(0, 0, 9, 9)
    return TrackedFace(box, 1.0, emotion, probabilities, box_square(box), person=person)


def picture_of(timeline, path):
    timeline.write(path)
    return cv2.imread(str(path))


def share(picture, emotion):
    """The fraction of the picture with the colour of an emotion."""
    colour = [int(COLOURS[emotion][k : k + 2], 16) for k in (5, 3, 1)]
    return (np.abs(picture.astype(int) - colour).max(axis=2) < 6).mean()


def test_areas_are_as_wide_as_the_duration_of_an_emotion(tmp_path):
    timeline = Timeline(LABELS)
    for number in range(40):
        timeline.add(number / 10, [face(1, "happy" if number < 30 else "sad")])
    picture = picture_of(timeline, tmp_path / "new/t.png")
    key = share(picture, "fear")  # only in the legend
    assert key < 0.01
    happy, sad = share(picture, "happy") - key, share(picture, "sad") - key
    assert happy == pytest.approx(3 * sad, rel=0.05)


def test_the_strip_of_a_person_is_empty_without_the_person(tmp_path):
    always, gap = Timeline(LABELS), Timeline(LABELS)
    for number in range(50):
        always.add(number / 5, [face(1, "happy")])
        gap.add(number / 5, [] if 10 <= number < 30 else [face(1, "happy")])
    whole = share(picture_of(always, tmp_path / "a.png"), "happy")
    assert share(picture_of(gap, tmp_path / "g.png"), "happy") == pytest.approx(
        0.6 * whole, rel=0.05
    )


def test_frames_far_apart_are_no_gap(tmp_path):
    near, far = Timeline(LABELS), Timeline(LABELS)
    for number in range(5):
        near.add(number / 2, [face(1, "happy")])
        far.add(number * 20, [face(1, "happy")])
    shares = [share(picture_of(t, tmp_path / "t.png"), "happy") for t in (near, far)]
    assert shares[0] == pytest.approx(shares[1], rel=0.02)


def test_the_most_frequent_persons_get_a_strip(tmp_path):
    timeline = Timeline(LABELS)
    for number in range(30):
        seen = [face(p, "angry") for p in range(1, MOST_PERSONS + 4) if p < 4 or number < p]
        timeline.add(number / 10, seen)
    one = Timeline(LABELS)
    one.add(0.0, [face(1, "angry")])
    high, low = (picture_of(t, tmp_path / "t.png").shape[0] for t in (timeline, one))
    assert high - low == pytest.approx((MOST_PERSONS - 1) * 120, abs=5)


def written(path):
    """The texts of an SVG."""
    return re.findall(r"<!-- (.*?) -->", path.read_text())


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (1.5, ["0:00.0", "0:00.2", "0:00.4", "0:00.6", "0:00.8", "0:01.0", "0:01.2", "0:01.4"]),
        (17.5, ["0:00", "0:02", "0:04", "0:06", "0:08", "0:10", "0:12", "0:14", "0:16"]),
        (130, ["0:00", "0:15", "0:30", "0:45", "1:00", "1:15", "1:30", "1:45", "2:00"]),
        (4000, ["0:00", "10:00", "20:00", "30:00", "40:00", "50:00", "1:00:00"]),
    ],
)
def test_ticks_are_labelled_with_their_exact_time(tmp_path, seconds, labels):
    timeline = Timeline(LABELS)
    for number in range(101):
        timeline.add(number * seconds / 101, [face(1, "sad")])
    timeline.write(tmp_path / "t.svg")
    assert [text for text in written(tmp_path / "t.svg") if ":" in text] == labels


@given(st.floats(0.001, 1e6))
def test_the_number_of_ticks_is_bounded_and_labels_are_exact(seconds):
    step = tick_step(seconds)
    count = int(seconds / step)
    assert count <= MOST_TICKS
    assert count >= 3 or step <= 0.001
    for number in range(count + 1):
        parts = [float(part) for part in clock(number * step, step).split(":")]
        shown = sum(part * 60**power for power, part in enumerate(reversed(parts)))
        assert shown == pytest.approx(number * step, abs=1e-9)
        assert all(part < 60 for part in parts[1:])


def test_labels_that_are_not_ascii_are_drawn(tmp_path, recwarn):
    labels = ("wütend", "счастье", "λύπη", "ărăt")
    timeline = Timeline(labels)
    box = Box(0, 0, 9, 9)
    probabilities = dict(zip(labels, (0.4, 0.3, 0.2, 0.1), strict=True))
    timeline.add(0.0, [TrackedFace(box, 1.0, labels[0], probabilities, box_square(box), person=1)])
    for suffix in (".svg", ".png", ".pdf"):
        timeline.write(tmp_path / f"t{suffix}")
    assert set(labels) <= set(written(tmp_path / "t.svg"))
    # matplotlib warns about letters that its font does not have.
    assert not [str(w.message) for w in recwarn if "missing from font" in str(w.message)]


@pytest.mark.parametrize("faces", [[], [[]], [[face(1, "sad")]]])
def test_videos_with_few_frames_or_faces(tmp_path, faces):
    timeline = Timeline(LABELS)
    for number, seen in enumerate(faces):
        timeline.add(float(number), seen)
    assert picture_of(timeline, tmp_path / "t.png").shape[1] == 1200


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Timeline(LABELS).write(tmp_path / "file/t.png")
