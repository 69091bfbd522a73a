"""Views: faces augmented and mixed once, again the same from the same seed."""

import numpy as np
import pytest

from stages.parameters import TrainAugmentation
from stages.training.views import make_view

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 48, 48), dtype=np.uint8)
TARGETS = np.eye(7, dtype=np.float32)[np.arange(50) % 7]
NONE = dict.fromkeys(TrainAugmentation.model_fields, 0)


def view_and_targets(seed: int, **strengths: float) -> tuple[np.ndarray, np.ndarray]:
    view = make_view(IMAGES, TrainAugmentation(**(NONE | strengths)), (seed, 0))
    return view.images, view.mixed(TARGETS)


def test_without_augmentation_a_view_is_the_face():
    images, targets = view_and_targets(0)
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(targets, TARGETS)


def test_the_seed_gives_the_view():
    strengths = {"flip": 0.5, "rotation": 10, "shift": 3, "noise": 0.5, "mixup": 1}
    one, again, other = (view_and_targets(seed, **strengths) for seed in (1, 1, 2))
    assert all(map(np.array_equal, one, again))
    assert not np.array_equal(one[0], other[0])
    assert one[0].dtype == np.uint8
    assert one[1].dtype == np.float32


def test_mixed_faces_have_labels_mixed_alike():
    images, targets = view_and_targets(3, mixup=1)
    for index in range(len(IMAGES)):
        # Least squares: image = share * own + (1 - share) * other, for the best other one.
        own = IMAGES[index].ravel().astype(float)
        shares, errors = [], []
        for other in IMAGES:
            difference = own - other.ravel()
            share = 1.0
            if difference.any():
                mixed = images[index].ravel() - other.ravel().astype(float)
                share = float(mixed @ difference / (difference @ difference))
            found = share * own + (1 - share) * other.ravel()
            shares.append(share)
            errors.append(np.abs(found - images[index].ravel()).max())
        best = int(np.argmin(errors))
        assert errors[best] < 0.6
        expected = shares[best] * TARGETS[index] + (1 - shares[best]) * TARGETS[best]
        assert targets[index] == pytest.approx(expected, abs=0.01)
        assert shares[best] > 0.49
    assert (targets.max(axis=1) < 0.95).any()
