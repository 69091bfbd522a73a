"""The detection benchmark: its scenes, detected and false boxes, and the page."""

import csv

import cv2
import numpy as np
import pytest

from benchmarks.detection import Cost, Photos, matched, measure_cost, measure_photos, page
from benchmarks.detection_scenes import (
    CONDITIONS,
    KNOWN,
    MAIN_CONDITIONS,
    SETTINGS,
    WAYS,
    Change,
    Outcome,
    hit,
    measure,
    summarize,
    try_setting,
)
from benchmarks.provenance import Provenance
from experiments.scenes import HEIGHT, WIDTH, paste
from recognizer.classifier import SIZE
from recognizer.cropping import crop
from recognizer.detectors.base import Box, Face, Square
from recognizer.detectors.yunet import YuNetDetector
from stages.dataset.sample_faces import render_face
from tests.model_fixture import write_tiny_model

FACE = render_face(3, np.random.default_rng(0))


@pytest.mark.parametrize("degrees", [0, 20, -20])
@pytest.mark.parametrize("size", [48, 96, 192])
def test_the_face_is_at_the_returned_place(size, degrees):
    scene, (x, y) = paste(FACE, size, degrees, "even", np.random.default_rng(1))
    assert scene.shape == (HEIGHT, WIDTH, 3) and scene.dtype == np.uint8
    face = crop(scene, Square(x, y, size, -np.radians(degrees)), SIZE)[..., 0]
    assert np.abs(face.astype(int) - FACE).mean() < 4


def test_lightings_differ_and_scenes_repeat():
    def scene(lighting):
        return paste(FACE, 96, 0, lighting, np.random.default_rng(1))[0]

    assert scene("dim").mean() < 0.4 * scene("even").mean() < scene("bright").mean()
    assert not np.array_equal(scene("side"), scene("even"))
    np.testing.assert_array_equal(scene("side"), scene("side"))


def test_the_most_confident_box_near_the_centre_is_the_face():
    near, sure = Face(Box(95, 95, 20, 20), 0.5), Face(Box(90, 90, 24, 24), 0.9)
    far = Face(Box(200, 200, 20, 20), 0.99)
    assert hit([near, far, sure], (100, 100), 48) == (sure, 2)
    assert hit([far], (100, 100), 48) == (None, 1)
    assert hit([], (100, 100), 48) == (None, 0)


def test_a_face_that_is_not_detected_counts_as_wrong():
    found = Outcome(found=True, false=0, eyes=True, right=True)
    missed = Outcome(found=False, false=2, eyes=False, right=False)
    raw = np.array([True, True])
    conditions = MAIN_CONDITIONS[:1]
    rows = summarize([[[found] * len(WAYS)], [[missed] * len(WAYS)]], conditions, raw)
    for row, way in zip(rows, WAYS, strict=True):
        assert (row.detector, row.align) == way and row.condition == conditions[0]
        assert (row.recall, row.false_per_scene, row.with_eyes) == (0.5, 1.0, 1.0)
        assert (row.accuracy_raw, row.accuracy) == (1.0, 0.5)
        assert (row.accuracy_raw_of_found, row.accuracy_of_found) == (1.0, 1.0)
        assert row.lost_error == pytest.approx(0.5 / 2**0.5, abs=1e-4)


def test_a_box_matches_one_face_at_most():
    true = [Box(0, 0, 100, 100), Box(300, 0, 100, 100)]
    assert matched([Box(10, 0, 100, 100), Box(0, 10, 100, 100)], true) == 1
    assert matched([Box(10, 0, 100, 100), Box(310, 0, 100, 100)], true) == 2
    assert matched([Box(60, 0, 100, 100)], true) == 0


def test_photos_are_compared_with_their_boxes(tmp_path):
    portrait = cv2.imread("docs/astronaut.jpg")
    cv2.imwrite(str(tmp_path / "a.jpg"), portrait)
    cv2.imwrite(str(tmp_path / "b.jpg"), np.full((200, 300, 3), 120, np.uint8))
    with (tmp_path / "faces.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([("photo", "x", "y", "width", "height"), ("a.jpg", 180, 62, 91, 115)])
        rows.writerow(("b.jpg", 0, 0, 50, 50))
    assert measure_photos(tmp_path) == Photos(photos=2, faces=2, found=1, false=0)


def test_the_cost_is_that_of_a_picture_with_one_face():
    cost = measure_cost(640, 480, 2)
    assert cost.picture.startswith("640×480") and cost.ratio == cost.whole / cost.plain > 0


def test_from_scenes_to_the_page(tmp_path):
    model = write_tiny_model(tmp_path / "model.onnx")
    images = np.stack([render_face(k, np.random.default_rng(k)) for k in range(2)])
    numbers, labels = np.arange(2), np.arange(2)
    outcomes = measure(numbers, images, labels, CONDITIONS, model)
    rows = summarize(outcomes, CONDITIONS, np.array([True, False]))
    assert len(rows) == len(CONDITIONS) * len(WAYS)
    known = [row for row in rows if row.detector == KNOWN]
    assert all(row.recall == 1 for row in known)
    assert sum(row.recall for row in rows if row.detector != KNOWN) > 0

    change = try_setting({"LONG_SIDE": 480}, numbers, images)
    assert isinstance(change, Change) and change.change == "LONG_SIDE 480"
    source = Provenance("fer2013 `0123456789ab`", "`0123abc`", "a machine")
    text = page(rows, Photos(3, 5, 4, 1), [Cost("640×480", 3.0, 2.0)], [change], source)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["640×480", "3.0", "2.0", "1.50"] in cells
    assert "`0123456789ab`" in text and "4 of 5" in text and "--photos DIR" in text
    first = [row[0] for row in cells if row]
    assert first.count("96 px, 0°, even") == 2 and "LONG_SIDE 480" in first
    assert "## Photos" in text and "## Photos" not in page(rows, None, [], [change], source)


def test_a_setting_that_the_detector_does_not_have_is_an_error():
    with pytest.raises(AttributeError, match="NO_SUCH_SETTING"):
        try_setting({"NO_SUCH_SETTING": 1}, np.arange(1), FACE[np.newaxis])


def test_every_measured_setting_is_one_of_the_detector():
    assert {name for setting in SETTINGS for name in setting} <= set(dir(YuNetDetector))
