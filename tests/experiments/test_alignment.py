"""The fit of the alignment: its examples, and that it finds a known correction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.alignment import (
    Example,
    difference,
    fit,
    mirrored,
    page,
    proposal_examples,
    refinement_examples,
    row_on,
    scene_of,
)
from recognizer.classifier import SIZE
from recognizer.cropping import crop
from recognizer.detectors.base import Square
from recognizer.detectors.yunet import LARGE, MAX_CORRECTION, SMALL, corrected, features
from stages.dataset.sample_faces import render_face

FACE = render_face(3, np.random.default_rng(0))
ROW = np.array([-0.5, -0.5, 1, 1, -0.2, -0.1, 0.2, -0.1, 0, 0.1, -0.2, 0.3, 0.2, 0.3, 0.9])

small = st.floats(-0.99 * MAX_CORRECTION, 0.99 * MAX_CORRECTION)
places = st.floats(-1000, 1000)


def constant(change):
    """Weights that change every square by the same."""
    weights = np.zeros((4, 16))
    weights[:, -1] = change
    return weights


@given(
    st.builds(Square, places, places, st.floats(5, 500), st.floats(-3, 3)), st.tuples(*[small] * 4)
)
def test_the_difference_corrects_a_square(square, change):
    true = corrected(square, ROW, constant(change))
    np.testing.assert_allclose(difference(square, true), change, atol=1e-6)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_face_of_a_scene_fills_its_square(number):
    scene, true = scene_of(number, FACE)
    again, _ = scene_of(number, FACE)
    np.testing.assert_array_equal(scene, again)
    assert abs(true.angle) <= np.radians(35) and 40 <= true.side <= 250
    # Less than 1 where the light comes from one side.
    assert np.corrcoef(crop(scene, true, SIZE)[..., 0].ravel(), FACE.ravel())[0, 1] > 0.8


def test_mirrored_features_are_those_of_the_mirrored_face():
    row = ROW + np.random.default_rng(0).normal(0, 0.05, 15)
    x, y, width, height = row[:4]
    (x1, y1), (x2, y2), (x3, y3), (x4, y4), (x5, y5) = row[4:14].reshape(5, 2)
    box = [-x - width, y, width, height]
    landmarks = [-x2, y2, -x1, y1, -x3, y3, -x5, y5, -x4, y4]
    mirror = np.array([*box, *landmarks, row[14]])
    np.testing.assert_allclose(mirrored(features(row)[None])[0], features(mirror))


def test_the_most_confident_row_on_the_face_counts():
    rows = np.zeros((3, 15))
    rows[:, :4] = (90, 90, 20, 20), (92, 88, 20, 20), (300, 90, 20, 20)
    rows[:, 14] = 0.4, 0.6, 0.9
    np.testing.assert_array_equal(row_on(rows, Square(100, 100, 30)), rows[1])
    assert row_on(rows, Square(200, 200, 30)) is None


def test_a_linear_correction_is_fitted_in_spite_of_pictures_without_a_face():
    """The weights are such that mirrored faces get the mirrored correction."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.1, (4, 16))
    odd = (mirrored(np.ones((1, 16)))[0] < 0).astype(bool)
    weights[1:3, odd] = 0
    weights[0, ~odd] = weights[3, ~odd] = 0
    swapped = mirrored(weights)
    weights = (weights + swapped * np.array([[-1], [1], [1], [-1]])) / 2
    square, examples = Square(100, 100, 50), []
    for k in range(300):
        row = ROW + rng.normal(0, 0.05, 15)
        true = corrected(square, row, weights)
        if k % 20 == 0:
            true = Square(130, 70, 90, 1.0)
        examples.append(Example(square, row, true, k))
    fitted = fit(examples)
    errors = [difference(corrected(square, one.row, fitted), one.true) for one in examples]
    assert np.median(np.abs(errors)) < 0.002
    np.testing.assert_allclose(fitted, fit(examples))


def test_the_examples_make_the_page():
    images = np.stack([render_face(k, np.random.default_rng(k)) for k in range(4)])
    proposed = proposal_examples(np.arange(4), images)
    assert proposed
    weights = np.zeros((4, 16))
    faces = dict(enumerate(images))
    detections = {"proposal": proposed}
    for size in (SMALL, LARGE):
        detections[size.name] = refinement_examples(proposed, faces, weights, size)
        assert detections[size.name]
        # Weights of zero leave every square as it is.
        squares = {one.number: one.square for one in proposed}
        assert all(one.square == squares[one.number] for one in detections[size.name])
    text = page(4, detections, dict.fromkeys(detections, weights))
    rows = [
        [cell.strip() for cell in line.split("|")[1:3]] for line in text.splitlines() if "|" in line
    ]
    assert ["the box of YuNet", str(len(proposed))] in rows
    for name, examples in detections.items():
        assert [f"`{name}`", str(len(examples))] in rows
