"""Reading and writing faces.npz and train.npz."""

import dataclasses

import numpy as np
import pytest

from stages.dataset.faces import SPLITS, Faces, TrainingSet
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from tests.faces_fixture import random_faces, write_training_set

OPTIONAL = ("emotions", "votes", "corrected")
"""Fields that a file has where they are not the default."""


@pytest.fixture
def faces():
    images, labels, row = random_faces([3, 1, 4, 1, 5])
    split = np.array([0, 2, 0, 1, 2], np.uint8)
    return Faces(images, labels, split, row, np.array([False, True, False, False, False]))


def test_what_is_written_is_read_back(faces, tmp_path):
    path = tmp_path / "new" / "faces.npz"
    faces.write(path)
    read = Faces.read(path)
    arrays = {name: array for name, array in vars(faces).items() if name not in OPTIONAL}
    for name, array in arrays.items():
        assert np.array_equal(vars(read)[name], array), name
        assert vars(read)[name].dtype == array.dtype, name
    assert (read.emotions, read.votes, read.corrected) == (EMOTIONS, None, None)
    with np.load(path) as stored:
        assert set(stored) == set(arrays)


def test_names_and_votes_are_stored_where_they_are_not_those_of_fer2013(faces, tmp_path):
    votes = np.arange(15, dtype=np.uint8).reshape(5, 3)
    own = dataclasses.replace(
        faces, emotions=("calm", "tense", "très gai"), votes=votes, corrected=faces.copy_in_training
    )
    own.write(tmp_path / "faces.npz")
    read = Faces.read(tmp_path / "faces.npz")
    assert read.emotions == ("calm", "tense", "très gai")
    assert read.of_split("PrivateTest").votes.tolist() == [[3, 4, 5], [12, 13, 14]]
    assert read.of_split("PrivateTest").corrected.tolist() == [True, False]
    assert read.of_split("PrivateTest").emotions == read.emotions


def test_a_split_has_its_faces_in_order(faces):
    for name, indices in zip(SPLITS, ([0, 2], [3], [1, 4]), strict=True):
        split = faces.of_split(name)
        assert split.row.tolist() == faces.row[indices].tolist()
        assert np.array_equal(split.images, faces.images[indices])
        assert split.copy_in_training.tolist() == faces.copy_in_training[indices].tolist()


def test_training_sets_are_joined_in_order():
    images, labels, row = random_faces([0, 1, 2])
    first = TrainingSet(images, labels, row, np.zeros(3, bool))
    second = TrainingSet(images[::-1], labels[::-1], row[::-1], np.ones(3, bool))
    joined = first.followed_by(second)
    assert joined.labels.tolist() == [0, 1, 2, 2, 1, 0]
    assert joined.augmented.tolist() == [False] * 3 + [True] * 3
    assert joined.take(np.array([5, 0])).row.tolist() == [row[0], row[0]]


def test_a_missing_file_is_an_error_that_names_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"faces\.npz: not found; run `dvc repro`"):
        Faces.read(tmp_path / "faces.npz")


def test_a_file_without_an_array_is_an_error_that_names_the_array(tmp_path):
    path = tmp_path / "train.npz"
    np.savez(path, images=np.zeros((1, 48, 48), np.uint8), labels=[0], row=[2])
    with pytest.raises(UserError, match=r"train\.npz: augmented.*; delete it and run `dvc repro`"):
        TrainingSet.read(path)


@pytest.mark.parametrize("keep", [0, 100, -40])
def test_a_damaged_file_is_an_error_that_names_the_file(tmp_path, keep):
    path = tmp_path / "train.npz"
    random = np.random.default_rng(0)
    write_training_set(path, random.integers(0, 256, (2, 48, 48), np.uint8), np.zeros(2, np.uint8))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"train\.npz: .*; delete it and run `dvc repro`"):
        TrainingSet.read(path)
