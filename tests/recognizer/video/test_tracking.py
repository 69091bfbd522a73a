"""A face keeps its person, and its probabilities are smoothed."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.cropping import box_square
from recognizer.detectors.base import Box
from recognizer.recognizer import RecognizedFace
from recognizer.video.tracking import MAX_GAP, Tracker, overlap


def face(x, y=0, side=100, happy=1.0):
    probabilities = {"happy": happy, "sad": 1 - happy}
    emotion = max(probabilities, key=probabilities.get)
    box = Box(x, y, side, side)
    return RecognizedFace(box, 0.9, emotion, probabilities, box_square(box))


def persons(tracker, seconds, *faces):
    return [tracked.person for tracked in tracker.update(seconds, faces)]


def test_faces_that_cross_the_picture_keep_their_persons():
    tracker = Tracker()
    for step in range(50):
        left, right = face(10 * step, 0), face(490 - 10 * step, 150)
        order = [left, right] if step % 2 else [right, left]
        assert persons(tracker, step / 25, *order) == ([2, 1] if step % 2 else [1, 2])


def test_each_new_face_is_a_new_person():
    tracker = Tracker()
    assert persons(tracker, 0.0, face(0)) == [1]
    assert persons(tracker, 0.1, face(300), face(0)) == [2, 1]
    assert persons(tracker, 0.2, face(600), face(0), face(300)) == [3, 1, 2]


def test_a_track_continues_after_a_short_gap_and_ends_in_a_long_one():
    tracker = Tracker()
    assert persons(tracker, 0.0, face(0)) == [1]
    for seconds in (0.3, 0.6, 0.9):
        assert persons(tracker, seconds) == []
    assert persons(tracker, MAX_GAP, face(0)) == [1]
    assert persons(tracker, MAX_GAP + 0.5) == []
    assert persons(tracker, 2 * MAX_GAP + 0.5, face(0)) == [2]


def test_frames_far_apart_are_no_gap():
    tracker = Tracker()
    assert [persons(tracker, 10.0 * k, face(5 * k)) for k in range(5)] == [[1]] * 5


def test_no_track_crosses_a_cut():
    tracker = Tracker()
    tracker.update(0.0, [face(0, happy=1), face(300)])
    tracked = tracker.update(0.04, [face(0, happy=0)], cut=True)
    assert [found.person for found in tracked] == [3]
    assert tracked[0].probabilities == {"happy": 0, "sad": 1}
    assert persons(tracker, 0.08, face(0), face(300)) == [3, 4]


def test_the_pair_with_the_larger_overlap_is_matched():
    tracker = Tracker()
    tracker.update(0.0, [face(0), face(60)])
    assert persons(tracker, 0.1, face(50), face(10)) == [2, 1]
    # Two boxes on one face: the one with the smaller overlap is a new person.
    assert persons(tracker, 0.2, face(45), face(52), face(8)) == [3, 2, 1]


@pytest.mark.parametrize("rate", [5, 25, 100])
def test_smoothing_depends_on_time_and_not_on_the_rate_of_frames(rate):
    tracker = Tracker(time_constant=0.5)
    tracker.update(0.0, [face(0, happy=1)])
    for frame in range(1, rate + 1):
        (tracked,) = tracker.update(frame / rate, [face(0, happy=0)])
    assert tracked.probabilities["happy"] == pytest.approx(exp(-1 / 0.5), abs=1e-6)
    assert tracked.emotion == "sad"


def test_the_emotion_is_that_of_the_smoothed_probabilities():
    tracker = Tracker(time_constant=0.5)
    tracker.update(0.0, [face(0, happy=1)])
    (tracked,) = tracker.update(0.1, [face(0, happy=0)])
    assert tracked.emotion == "happy"
    assert tracked.probabilities["happy"] == pytest.approx(exp(-0.2), abs=1e-6)


def test_the_smoothed_probability_decides_what_is_unsure():
    tracker = Tracker(min_probability=0.6)
    (tracked,) = tracker.update(0.0, [face(0, happy=0.55)])
    assert tracked.emotion is None
    (tracked,) = tracker.update(10.0, [face(0, happy=0.9)])
    assert tracked.emotion == "happy"
    (tracked,) = tracker.update(10.04, [face(0, happy=0.55)])
    assert tracked.emotion == "happy"


def test_without_a_time_constant_nothing_is_smoothed():
    tracker = Tracker(time_constant=0)
    tracker.update(0.0, [face(0, happy=1)])
    (tracked,) = tracker.update(0.04, [face(0, happy=0.3)])
    assert tracked.probabilities == {"happy": 0.3, "sad": 0.7}


def test_the_other_fields_of_a_face_are_kept():
    (tracked,) = Tracker().update(0.0, [face(7, 8, 90, happy=0.25)])
    original = face(7, 8, 90, happy=0.25)
    assert vars(tracked) == vars(original) | {"person": 1}


boxes = st.builds(Box, *[st.integers(0, 300)] * 2, *[st.integers(1, 200)] * 2)


@given(boxes, boxes)
def test_overlap_is_symmetric_and_between_0_and_1(a, b):
    assert 0 <= overlap(a, b) == overlap(b, a) <= 1
    assert overlap(a, a) == 1


def test_overlap_of_known_boxes():
    assert overlap(Box(0, 0, 10, 10), Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 10, 10), Box(10, 0, 10, 10)) == 0


@given(st.lists(st.lists(boxes, max_size=4), max_size=12), st.floats(0, 2))
def test_no_two_faces_of_a_frame_are_one_person(scenes, time_constant):
    tracker, known = Tracker(time_constant), 0
    for number, scene in enumerate(scenes):
        faces = [
            RecognizedFace(box, 1.0, "a", {"a": 0.6, "b": 0.4}, box_square(box)) for box in scene
        ]
        tracked = tracker.update(number * 0.4, faces)
        numbers = [found.person for found in tracked]
        assert [found.box for found in tracked] == scene
        assert len(set(numbers)) == len(numbers)
        new = sorted(number for number in numbers if number > known)
        assert new == list(range(known + 1, known + 1 + len(new)))
        known += len(new)
