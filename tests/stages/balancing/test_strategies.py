"""Balancing strategies: numbers per class, origin of each face, repeatability."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.balancing.strategies import STRATEGIES, balance, counts_per_emotion
from stages.errors import UserError
from stages.parameters import Balance, load_parameters
from tests.faces_fixture import random_faces, training_faces

PARAMETERS = Path(__file__).parents[3] / "params"
RANGES = load_parameters("sample", PARAMETERS).balance.augmentation

every_emotion = st.lists(st.integers(1, 12), min_size=7, max_size=7).flatmap(
    lambda counts: st.permutations(np.repeat(np.arange(7), counts).tolist())
)
targets = st.floats(0.05, 1)


def how(strategy: str, target: float = 0.5, seed: int = 0) -> Balance:
    return Balance(strategy=strategy, target=target, seed=seed, augmentation=RANGES)


def counts(labels: np.ndarray) -> np.ndarray:
    return np.bincount(labels, minlength=7)


@given(every_emotion)
def test_none_changes_nothing(labels):
    images, labels, row = random_faces(labels)
    result = balance(training_faces(images, labels, row), how("none", 1.0))
    assert np.array_equal(result.images, images)
    assert np.array_equal(result.labels, labels)
    assert np.array_equal(result.row, row)
    assert not result.augmented.any()


@given(every_emotion, targets, st.integers(0, 5))
def test_oversample_adds_no_more_exact_copies_than_the_target_needs(labels, target, seed):
    images, labels, row = random_faces(labels)
    result = balance(training_faces(images, labels, row), how("oversample", target, seed))
    before, after, largest = counts(labels), counts(result.labels), counts(labels).max()
    assert (after >= target * largest).all()
    assert ((after == before) | (after - 1 < target * largest)).all()
    assert not result.augmented.any()
    origin = {int(number): index for index, number in enumerate(row)}
    source = [origin[int(number)] for number in result.row]
    assert np.array_equal(source[: len(row)], np.arange(len(row)))
    assert np.array_equal(result.images, images[source])
    assert np.array_equal(result.labels, labels[source])


@given(every_emotion, targets, st.integers(0, 5))
def test_undersample_removes_only_what_exceeds_the_target(labels, target, seed):
    images, labels, row = random_faces(labels)
    result = balance(training_faces(images, labels, row), how("undersample", target, seed))
    before, after = counts(labels), counts(result.labels)
    limit = before.min() / target
    assert (after <= limit).all()
    assert ((after == before) | (after + 1 > limit)).all()
    place = {int(number): index for index, number in enumerate(row)}
    kept = [place[int(number)] for number in result.row]
    assert kept == sorted(set(kept))
    assert np.array_equal(result.images, images[kept])
    assert np.array_equal(result.labels, labels[kept])


@settings(max_examples=15)
@given(every_emotion, targets, st.integers(0, 5))
def test_augment_keeps_the_originals_and_adds_new_images_evenly(labels, target, seed):
    images, labels, row = random_faces(labels)
    result = balance(training_faces(images, labels, row), how("augment", target, seed))
    copies = balance(training_faces(images, labels, row), how("oversample", target, seed))
    assert np.array_equal(result.images[: len(row)], images)
    assert np.array_equal(result.augmented, np.arange(len(result.row)) >= len(row))
    assert np.array_equal(result.row, copies.row)
    assert np.array_equal(result.labels, copies.labels)

    made = result.images[len(row) :]
    assert (made != copies.images[len(row) :]).any(axis=(1, 2)).all()
    assert (made.std(axis=(1, 2)) > 1).all()
    for label in range(7):
        uses = [np.sum(result.row[len(row) :] == number) for number in row[labels == label]]
        assert max(uses) - min(uses) <= 1


def test_undersample_draws_with_the_seed():
    images, labels, row = random_faces(np.repeat(np.arange(7), [3, 30, 30, 30, 30, 30, 30]))
    first = balance(training_faces(images, labels, row), how("undersample", 1.0, seed=1))
    again = balance(training_faces(images, labels, row), how("undersample", 1.0, seed=1))
    other = balance(training_faces(images, labels, row), how("undersample", 1.0, seed=2))
    assert np.array_equal(first.row, again.row)
    assert not np.array_equal(first.row, other.row)


def test_the_seed_decides_which_originals_are_used_once_more():
    images, labels, row = random_faces(np.repeat(np.arange(7), [20, 30, 30, 30, 30, 30, 30]))
    drawn = [
        set(
            balance(training_faces(images, labels, row), how("oversample", 1.0, seed))
            .row[len(row) :]
            .tolist()
        )
        for seed in range(3)
    ]
    assert all(len(rows) == 10 for rows in drawn)
    assert drawn[0] != drawn[1] != drawn[2]


def test_other_emotions_do_not_change_an_emotions_new_images():
    images, labels, row = random_faces(np.repeat(np.arange(7), [4, 9, 9, 40, 9, 9, 9]))
    fewer = (labels < 4) | (np.arange(len(labels)) % 3 == 0)
    everything = balance(training_faces(images, labels, row), how("augment", 0.5))
    part = balance(training_faces(images[fewer], labels[fewer], row[fewer]), how("augment", 0.5))
    angry = [result.augmented & (result.labels == 0) for result in (everything, part)]
    assert np.array_equal(everything.images[angry[0]], part.images[angry[1]])
    assert angry[0].sum() == 16


@pytest.mark.parametrize("strategy", ["oversample", "undersample", "augment"])
def test_an_emotion_without_faces_is_named(strategy):
    with pytest.raises(UserError, match=r"no face of disgust, sad in Training.*strategy to none"):
        balance(training_faces(*random_faces([0, 2, 3, 5, 6])), how(strategy))


@pytest.mark.parametrize("strategy", ["oversample", "augment"])
def test_an_added_face_has_the_votes_and_names_of_its_original(strategy):
    images, labels, row = random_faces([0, 0, 0, 0, 1])
    votes = np.array([[9, 1], [8, 2], [7, 3], [6, 4], [0, 5]], dtype=np.uint8)
    faces = training_faces(images, labels, row, votes=votes, emotions=("calm", "tense"))
    result = balance(faces, how(strategy, target=1.0))
    assert result.votes.tolist() == [*votes.tolist(), *[[0, 5]] * 3]
    assert counts_per_emotion(result) == {"calm": 4, "tense": 4}


def test_params_yaml_knows_exactly_the_strategies_that_exist():
    assert set(get_args(Balance.model_fields["strategy"].annotation)) == set(STRATEGIES)
