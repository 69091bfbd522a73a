"""Boxes, panels, strips and tags on pictures; annotated files."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.cli.annotate import annotate_photo
from recognizer.cli.drawing import COLOURS, SHORTEST, draw, place_labels
from recognizer.cropping import box_square
from recognizer.detectors.base import Box
from recognizer.errors import OutputError
from recognizer.recognizer import RecognizedFace

LABELS = tuple(COLOURS)


def face(x, y, side, emotion="happy", share=0.7):
    probabilities = dict.fromkeys(LABELS, (1 - share) / 6) | {emotion: share}
    box = Box(x, y, side, side)
    return RecognizedFace(box, 0.9, emotion, probabilities, box_square(box))


def bgr(colour):
    return np.array([int(colour[k : k + 2], 16) for k in (5, 3, 1)])


def coloured(picture, emotion):
    """The pixels with the colour of an emotion, bool [H, W]."""
    return np.abs(picture.astype(int) - bgr(COLOURS[emotion])).max(axis=2) < 20


GREY = np.full((480, 640, 3), 128, np.uint8)


def test_the_original_picture_is_not_changed():
    before = GREY.copy()
    assert draw(GREY, [face(100, 100, 80)]).shape == GREY.shape
    np.testing.assert_array_equal(GREY, before)
    np.testing.assert_array_equal(draw(GREY, []), before)


def test_a_box_is_drawn_around_the_face_and_nothing_on_it():
    picture = draw(GREY, [face(100, 100, 80)])
    for row, column in ((100, 140), (179, 140), (140, 100), (140, 179)):
        assert coloured(picture, "happy")[row, column]
    np.testing.assert_array_equal(picture[105:175, 105:175], GREY[105:175, 105:175])


@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
def test_the_bar_is_as_long_as_the_probability(share):
    picture = draw(GREY, [face(100, 100, 80, "sad", share)])
    # Outside the box, the bar is the longest run of its colour in a row.
    rows = coloured(picture, "sad")[:, 200:]
    full = coloured(draw(GREY, [face(100, 100, 80, "sad", 1.0)]), "sad")[:, 200:]
    assert rows.sum(axis=1).max() == pytest.approx(share * full.sum(axis=1).max(), abs=3)


def test_all_seven_bars_have_their_colours():
    picture = draw(GREY, [face(100, 100, 80, share=0.3)])
    for emotion in LABELS:
        assert coloured(picture, emotion).any(), emotion


def test_in_a_crowd_no_panel_covers_another_face():
    faces = [face(20 + 105 * k, y, 80) for y in (60, 220, 380) for k in range(6)]
    picture = draw(GREY, faces)
    for found in faces:
        inside = np.s_[found.box.y + 9 : found.box.y + 60, found.box.x + 9 : found.box.x + 71]
        np.testing.assert_array_equal(picture[inside], GREY[inside])


def overlap(a, b):
    wide = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    tall = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0, wide) * max(0, tall)


CROWDS = {
    "two, a panel each": [(100, 100, 80), (900, 400, 80)],
    "four in a row": [(60 + 300 * k, 200, 130) for k in range(4)],
    "three rows, shoulder to shoulder": [
        (30 + 45 * (k % 2) + 90 * k, 40 + 90 * row + 20 * (k % 2), 42)
        for row in range(3)
        for k in range(13)
    ],
    "at the edges": [(0, 0, 60), (1220, 0, 60), (0, 660, 60), (1220, 660, 60)],
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_no_label_covers_a_face_or_another_label(crowd):
    faces = [face(*place) for place in CROWDS[crowd]]
    boxes = [found.box for found in faces]
    labels = place_labels((720, 1280, 3), faces, boxes, 9)
    assert len(labels) == len(faces)
    places = [place for _, place in labels]
    for k, (label, place) in enumerate(labels):
        assert label.shape == (place.height, place.width, 3)
        assert 0 <= place.x <= 1280 - place.width
        assert 0 <= place.y <= 720 - place.height
        assert not any(overlap(place, other) for other in boxes + places[:k])


def test_all_labels_of_a_picture_have_the_same_kind():
    faces = [face(*place) for place in CROWDS["four in a row"]]
    labels = place_labels((720, 1280, 3), faces, [found.box for found in faces], 9)
    assert len({label.shape for label, _ in labels}) == 1


def test_a_line_connects_a_distant_label_with_its_box():
    """The box in the middle has other boxes on all sides."""
    places = [(320 + 45 * column, 200 + 45 * row, 40) for row in range(5) for column in range(5)]
    faces = [face(*place, emotion="sad") for place in places]
    faces[12] = face(*places[12])
    boxes = [found.box for found in faces]
    _, place = place_labels((720, 1280, 3), faces, boxes, 9)[12]
    picture = draw(np.full((720, 1280, 3), 128, np.uint8), faces)
    yellow = coloured(picture, "happy")
    box = boxes[12]
    # Pixels of the colour outside the box with its border and the label.
    yellow[box.y - 9 : box.y + 49, box.x - 9 : box.x + 49] = False
    yellow[place.y : place.y + place.height, place.x : place.x + place.width] = False
    assert yellow.sum() > 5


@pytest.mark.parametrize("label", ["glücklich", "étonné", "радость", "χαρά", "فرح"])
def test_a_label_in_other_letters_is_drawn_with_them(label):
    def drawn(name):
        probabilities = {name: 0.6, "other": 0.4}
        box = Box(100, 100, 80, 80)
        return draw(GREY, [RecognizedFace(box, 1.0, name, probabilities, box_square(box))])

    pictures = [drawn(label), drawn("?" * len(label)), drawn("\uffff" * len(label))]
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[0] != pictures[2]).any()


@pytest.mark.parametrize("shape", [(48, 48), (30, 200), (1, 1), (640, 640), (300, 500)])
def test_small_pictures_are_enlarged_by_a_whole_number(shape):
    picture = draw(np.zeros((*shape, 3), np.uint8), [face(0, 0, 1)])
    scale = picture.shape[0] // shape[0]
    assert picture.shape == (scale * shape[0], scale * shape[1], 3)
    assert max(picture.shape) >= SHORTEST > max(shape) * (scale - 1)


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.lists(
        st.tuples(*[st.integers(-50, 900)] * 2, st.integers(1, 900), st.sampled_from(LABELS)),
        max_size=4,
    ),
)
@settings(max_examples=40)
def test_any_box_in_any_picture_can_be_drawn(shape, faces):
    image = np.zeros((*shape, 3), np.uint8)
    assert draw(image, [face(*place) for place in faces]).dtype == np.uint8


def test_other_emotions_can_be_drawn():
    box = Box(9, 9, 90, 90)
    other = RecognizedFace(box, 1.0, "bored", {"bored": 0.6, "awake": 0.4}, box_square(box))
    assert (draw(GREY, [other]) != GREY).any()


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_an_annotated_photo_is_a_photo_in_colour(tmp_path, suffix):
    _, data = cv2.imencode(".png", GREY)
    path = tmp_path / f"new/a{suffix}"
    annotate_photo(data.tobytes(), [face(100, 100, 80)], path)
    picture = cv2.imread(str(path))
    assert picture.shape == GREY.shape
    assert np.abs(picture.astype(int) - draw(GREY, [face(100, 100, 80)])).mean() < 3
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_photo_that_cannot_be_written_is_an_error_of_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    _, data = cv2.imencode(".png", GREY)
    with pytest.raises(OutputError, match=r"file/a\.jpg: cannot be written: "):
        annotate_photo(data.tobytes(), [], tmp_path / "file/a.jpg")
