"""Augmented faces: repeatability, independence of the transforms, and the effect of each."""

from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config

from stages.balancing.augmentation import augmented_images
from stages.parameters import BalanceAugmentation, load_parameters
from tests.faces_fixture import random_faces

# albumentations ignores an unknown argument with a warning.
pytestmark = pytest.mark.filterwarnings("error")

PARAMETERS = Path(__file__).parents[3] / "params"
RANGES = load_parameters("sample", PARAMETERS).balance.augmentation
NOTHING = BalanceAugmentation(**dict.fromkeys(BalanceAugmentation.model_fields, 0))


@pytest.mark.parametrize(
    ("backend", "workers", "chunk_size"),
    [("threading", 1, 1), ("threading", 4, 7), ("loky", 2, 13), ("loky", 4, 10), ("loky", 2, 100)],
)
def test_bytes_do_not_depend_on_workers_or_chunks(backend, workers, chunk_size):
    images, _, row = random_faces([0] * 40)
    copy = np.arange(40) % 3
    expected = augmented_images(images, row, copy, 5, RANGES)
    with parallel_config(backend=backend, n_jobs=workers):
        result = augmented_images(images, row, copy, 5, RANGES, chunk_size)
    assert np.array_equal(result, expected)


def test_seed_row_and_copy_each_change_the_image():
    images = np.repeat(random_faces([0])[0], 4, axis=0)
    zero, row, copy = np.zeros(4, int), np.array([8, 8, 9, 9]), np.array([1, 2, 1, 2])
    one_seed = augmented_images(images, row, copy, 0, RANGES)
    other_seed = augmented_images(images, row, copy, 1, RANGES)
    assert len(np.unique(np.concatenate([one_seed, other_seed]), axis=0)) == 8
    same = augmented_images(images, zero, zero, 0, RANGES)
    assert len(np.unique(same, axis=0)) == 1


def test_ranges_of_zero_return_the_original():
    images, _, row = random_faces([0] * 5)
    assert np.array_equal(augmented_images(images, row, row, 0, NOTHING), images)


def test_moved_faces_have_no_empty_corners():
    grey = np.full((50, 48, 48), 200, dtype=np.uint8)
    ranges = NOTHING.model_copy(update={"rotation": 45.0, "shift": 0.5, "scale": 0.5})
    assert (augmented_images(grey, np.arange(50), np.ones(50, int), 0, ranges) == 200).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("flip", 1.0),
        ("rotation", 20.0),
        ("shift", 0.2),
        ("scale", 0.3),
        ("brightness", 0.3),
        ("contrast", 0.3),
        ("noise", 1.0),
        ("erasing", 1.0),
    ],
)
def test_every_range_has_an_effect(key, value):
    images, _, row = random_faces([0] * 8)
    ranges = NOTHING.model_copy(update={key: value})
    made = augmented_images(images, row, np.ones(8, int), 0, ranges)
    assert (made != images).any(axis=(1, 2)).all()
    if key == "flip":
        assert np.array_equal(made, images[:, :, ::-1])
    if key == "erasing":
        assert ((made != images).mean(axis=(1, 2)) <= 0.12).all()
    if key == "noise":
        assert np.abs(made.astype(float) - images).mean() < 6


def test_transforms_are_drawn_independently():
    # With one seed for every transform, only flipped faces would be erased.
    image = np.zeros((1, 48, 48), dtype=np.uint8)
    image[:, :, 24:] = 255
    ranges = NOTHING.model_copy(update={"flip": 0.5, "erasing": 0.5})
    made = augmented_images(
        np.repeat(image, 400, axis=0), np.arange(400), np.ones(400, int), 0, ranges
    )
    flipped = made[:, :, :24].mean(axis=(1, 2)) > made[:, :, 24:].mean(axis=(1, 2))
    erased = np.array([not np.isin(face, (0, 255)).all() for face in made])
    for wanted in (flipped & erased, flipped & ~erased, ~flipped & erased, ~flipped & ~erased):
        assert 0.15 < wanted.mean() < 0.35
