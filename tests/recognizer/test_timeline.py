"""The picture of who shows what, and when."""

import cv2
import numpy as np
import pytest

from recognizer.drawing import COLOURS
from recognizer.errors import OutputError
from recognizer.faces import Box, box_square
from recognizer.timeline import MOST_PERSONS, Timeline
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
    """How much of the picture has the colour of an emotion."""
    colour = [int(COLOURS[emotion][k : k + 2], 16) for k in (5, 3, 1)]
    return (np.abs(picture.astype(int) - colour).max(axis=2) < 6).mean()


def test_areas_are_as_wide_as_the_time_an_emotion_is_shown(tmp_path):
    timeline = Timeline(LABELS)
    for number in range(40):
        timeline.add(number / 10, [face(1, "happy" if number < 30 else "sad")])
    picture = picture_of(timeline, tmp_path / "new/t.png")
    key = share(picture, "fear")  # only in the key
    assert key < 0.01
    happy, sad = share(picture, "happy") - key, share(picture, "sad") - key
    assert happy == pytest.approx(3 * sad, rel=0.05)


def test_where_a_person_is_not_seen_the_strip_is_empty(tmp_path):
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


def test_the_most_seen_persons_get_a_strip(tmp_path):
    timeline = Timeline(LABELS)
    for number in range(30):
        seen = [face(p, "angry") for p in range(1, MOST_PERSONS + 4) if p < 4 or number < p]
        timeline.add(number / 10, seen)
    one = Timeline(LABELS)
    one.add(0.0, [face(1, "angry")])
    high, low = (picture_of(t, tmp_path / "t.png").shape[0] for t in (timeline, one))
    assert high - low == pytest.approx((MOST_PERSONS - 1) * 120, abs=5)


@pytest.mark.parametrize("faces", [[], [[]], [[face(1, "sad")]]])
def test_videos_with_little_in_them(tmp_path, faces):
    timeline = Timeline(LABELS)
    for number, seen in enumerate(faces):
        timeline.add(float(number), seen)
    assert picture_of(timeline, tmp_path / "t.png").shape[1] == 1200


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Timeline(LABELS).write(tmp_path / "file/t.png")
