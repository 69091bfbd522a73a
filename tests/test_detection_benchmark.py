"""The detection benchmark: its scenes, and what it counts as found, false and right."""

import numpy as np
import pytest
from tests.yunet_fixture import YUNET, needs_yunet

from benchmarks.detection import (
    CONDITIONS,
    GOAL,
    KNOWN,
    WAYS,
    Outcome,
    hit,
    look,
    page,
    summarize,
)
from benchmarks.scenes import HEIGHT, WIDTH, paste
from recognizer.detectors.base import Box, Face, Square
from recognizer.framing import cut_out
from stages.sample_faces import render_face
from tests.model_fixture import write_tiny_model

FACE = render_face(3, np.random.default_rng(0))


@pytest.mark.parametrize("degrees", [0, 20, -20])
@pytest.mark.parametrize("size", [48, 96, 192])
def test_the_face_stands_in_the_scene_where_it_is_said_to(size, degrees):
    scene, (x, y) = paste(FACE, size, degrees, "even", np.random.default_rng(1))
    assert scene.shape == (HEIGHT, WIDTH) and scene.dtype == np.uint8
    square = Square(x, y, size, -np.radians(degrees))
    assert np.abs(cut_out(scene, square).astype(int) - FACE).mean() < 4


def test_lightings_differ_and_scenes_repeat():
    def scene(lighting):
        return paste(FACE, 96, 0, lighting, np.random.default_rng(1))[0]

    assert scene("dim").mean() < 0.4 * scene("even").mean() < scene("bright").mean()
    assert not np.array_equal(scene("side"), scene("even"))
    np.testing.assert_array_equal(scene("side"), scene("side"))


def test_the_most_confident_box_on_the_face_is_the_hit():
    faces = [
        Face(Box(60, 60, 80, 80), 0.7),
        Face(Box(55, 55, 90, 90), 0.9),
        Face(Box(140, 60, 80, 80), 1.0),
    ]
    assert hit(faces, (100, 100), 96) == (faces[1], 2)
    assert hit(faces, (300, 300), 96) == (None, 3)
    assert hit([], (300, 300), 96) == (None, 0)


def test_a_face_that_is_not_found_counts_as_wrong_among_all_faces():
    found = Outcome(found=True, false=1, eyes=True, right=True)
    missed = Outcome(found=False, false=0, eyes=False, right=False)
    outcomes = [[[face] * len(WAYS)] * len(CONDITIONS) for face in (found, found, missed, missed)]
    row = summarize(outcomes, CONDITIONS, np.array([True, False, True, False]))[0]
    assert (row.faces, row.recall, row.false_per_scene, row.with_eyes) == (4, 0.5, 0.5, 1)
    assert (row.accuracy_raw, row.accuracy) == (0.5, 0.5)
    assert (row.accuracy_raw_of_found, row.accuracy_of_found) == (0.5, 1)


@needs_yunet
def test_the_whole_way_from_faces_to_the_page(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    rows = []
    for conditions in ((GOAL,), tuple(one for one in CONDITIONS if one != GOAL)):
        outcomes = look(np.arange(1), FACE[None], np.array([3]), conditions, model, YUNET)
        rows += summarize(outcomes, conditions, np.array([True]))
    assert len(rows) == len(CONDITIONS) * len(WAYS)
    assert any(row.recall for row in rows if row.detector == "yunet")
    assert all(row.recall == 1 for row in rows if row.detector == KNOWN)
    text = page(rows, [], [], "0123456789abcdef")
    assert "`0123456789ab`" in text
    assert text.count("| 96 px, 20°, even |") == 4
