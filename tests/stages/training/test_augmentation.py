"""The random changes of training: their bounds, their seeds, and nothing lost or doubled."""

import cv2
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.onnx_graph import conversion
from stages.parameters import TrainAugmentation
from stages.training.augmentation import augment, batch_count, batches, resize

NOTHING = TrainAugmentation(**dict.fromkeys(TrainAugmentation.model_fields, 0))
EVERYTHING = TrainAugmentation(
    flip=0.5,
    rotation=15,
    shift=4,
    scale=0.2,
    brightness=0.2,
    contrast=0.3,
    erasing=0.5,
    mixup=0.4,
    downscale=0.5,
    noise=0.5,
)
NOISE = np.random.default_rng(0).integers(0, 256, (20, 48, 48), dtype=np.uint8)
SMOOTH = np.stack(
    [cv2.resize(face[:6, :6], (48, 48), interpolation=cv2.INTER_CUBIC) for face in NOISE]
)
SIZES = (16, 32, 40, 48, 64, 96)

strengths = st.builds(
    TrainAugmentation,
    flip=st.floats(0, 1),
    rotation=st.floats(0, 45),
    shift=st.floats(0, 24, exclude_max=True),
    scale=st.floats(0, 1, exclude_max=True),
    brightness=st.floats(0, 1),
    contrast=st.floats(0, 1, exclude_max=True),
    erasing=st.floats(0, 1),
    mixup=st.just(0),
    downscale=st.floats(0, 1),
    noise=st.floats(0, 1),
)


def changed(images, size=48, seed=0, **strength) -> np.ndarray:
    return augment(images, NOTHING.model_copy(update=strength), size, np.random.default_rng(seed))


def spots(count: int, x: float, y: float) -> np.ndarray:
    """Black images with one soft bright spot, so many pixels right of and below the centre."""
    rows, columns = np.mgrid[:48, :48] - 23.5
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    return np.repeat(spot.round().astype(np.uint8)[None], count, axis=0)


def centres(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the spots are, in pixels right of and below the centre."""
    size = faces.shape[1]
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    mass = faces.sum(axis=(1, 2))
    return (faces * columns).sum(axis=(1, 2)) / mass, (faces * rows).sum(axis=(1, 2)) / mass


# ---------------------------------------------------------------- augment


@given(strengths, st.sampled_from(SIZES), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_grey_levels_stay_grey_levels(augmentation, size, seed):
    faces = augment(NOISE[:4], augmentation, size, np.random.default_rng(seed))
    assert faces.shape == (4, size, size)
    assert faces.dtype == np.float32
    assert np.isfinite(faces).all()
    assert faces.min() >= 0
    assert faces.max() <= 255


def test_no_strength_changes_nothing():
    assert np.array_equal(changed(NOISE), NOISE)
    assert np.array_equal(resize(NOISE, 48), NOISE)


@pytest.mark.parametrize("size", SIZES)
def test_no_strength_at_another_size_is_the_resizing_of_the_served_model(size):
    # Within what warpAffine rounds: places to 1/32 pixel, grey levels to whole ones.
    assert np.abs(changed(SMOOTH, size) - resize(SMOOTH, size)).max() <= 2


@pytest.mark.parametrize("images", [NOISE, SMOOTH])
@pytest.mark.parametrize("size", [16, 32, 40, 64, 96])
def test_resize_agrees_with_the_served_graph(images, size):
    faces = keras.Input((size, size, 1))
    network = keras.Model(faces, keras.layers.Dense(7)(keras.layers.Flatten()(faces)))
    served = conversion.served_model(network, size)
    (resizing,) = (layer for layer in served.layers if isinstance(layer, keras.layers.Resizing))
    inside = keras.Model(served.input, resizing.output).predict(images, verbose=0)
    assert inside[..., 0] == pytest.approx(resize(images, size), abs=1e-3)


@pytest.mark.parametrize("size", [32, 48])
def test_flip_mirrors(size):
    mirrored = changed(SMOOTH, size)[:, :, ::-1]
    flipped = changed(SMOOTH, size, flip=1)
    assert np.abs(flipped - mirrored).max() <= (0 if size == 48 else 2)


def test_flip_is_as_frequent_as_asked():
    x, _ = centres(changed(spots(500, 10, 0), flip=0.3))
    assert np.abs(np.abs(x) - 10).max() < 0.1
    assert 0.2 < (x < 0).mean() < 0.4


@given(st.floats(0, 45))
@settings(max_examples=20)
def test_rotation_keeps_its_bound(degrees):
    x, y = centres(changed(spots(100, 12, 0), rotation=degrees))
    angles = np.rad2deg(np.arctan2(y, x))
    assert np.abs(angles).max() <= degrees + 0.5
    assert np.hypot(x, y) == pytest.approx(np.full(100, 12), abs=0.1)
    assert angles.max() >= 0.8 * degrees - 0.5
    assert angles.min() <= -0.8 * degrees + 0.5


@given(st.floats(0, 12), st.sampled_from([32, 48]))
@settings(max_examples=20)
def test_shift_keeps_its_bound_in_pixels_of_the_face(pixels, size):
    for offset in centres(changed(spots(100, 0, 0), size, shift=pixels)):
        assert np.abs(offset).max() <= pixels * size / 48 + 0.1
        assert np.abs(offset).max() >= 0.8 * pixels * size / 48 - 0.1


@given(st.floats(0, 0.5))
@settings(max_examples=20)
def test_scale_keeps_its_bound(scale):
    x, y = centres(changed(spots(100, 8, 0), scale=scale))
    assert np.abs(y).max() < 0.1
    # The factor multiplies the visible part of the face.
    assert x.min() >= 8 / (1 + scale) - 0.1
    assert x.max() <= 8 / (1 - scale) + 0.1
    assert x.max() - x.min() >= 8 * scale - 0.2


@given(st.floats(0, 0.4))
@settings(max_examples=20)
def test_brightness_keeps_its_bound(brightness):
    grey = np.full((100, 48, 48), 127, np.uint8)
    levels = changed(grey, brightness=brightness)[:, 0, 0] - 127
    assert np.abs(levels).max() <= 255 * brightness + 1e-3
    assert np.abs(levels).max() >= 0.8 * 255 * brightness - 1e-3


@given(st.floats(0, 0.9))
@settings(max_examples=20)
def test_contrast_keeps_its_bound_and_the_mean(contrast):
    dim = np.repeat((NOISE[:1] // 4) + 96, 100, axis=0)
    faces = changed(dim, contrast=contrast)
    assert faces.mean(axis=(1, 2)) == pytest.approx(dim.mean(axis=(1, 2)), abs=0.01)
    ratios = faces.std(axis=(1, 2)) / dim.std(axis=(1, 2))
    assert np.abs(ratios - 1).max() <= contrast + 1e-3
    assert np.abs(ratios - 1).max() >= 0.8 * contrast - 1e-3


def test_downscaling_loses_detail_alone():
    def kept(images):
        faces = changed(images, downscale=1)
        assert faces.mean(axis=(1, 2)) == pytest.approx(images.mean(axis=(1, 2)), abs=1)
        return faces.std(axis=(1, 2)) / images.std(axis=(1, 2))

    assert kept(NOISE).max() < 0.8
    assert kept(NOISE).min() < 0.3
    assert kept(SMOOTH).min() > 0.9


def test_noise_differs_in_strength_from_face_to_face():
    grey = np.full((200, 48, 48), 128, np.uint8)
    deviations = changed(grey, noise=1).std(axis=(1, 2))
    assert deviations.max() < 21
    assert np.percentile(deviations, [10, 50, 90]) == pytest.approx([2, 10, 18], abs=2)


@pytest.mark.parametrize("change", ["downscale", "noise"])
def test_a_change_befalls_as_many_faces_as_asked(change):
    faces = changed(np.repeat(NOISE, 20, axis=0), **{change: 0.3})
    untouched = (faces == np.repeat(NOISE, 20, axis=0)).all(axis=(1, 2))
    # One in fifty of the chosen is made smaller by less than a pixel.
    assert 0.6 < untouched.mean() < 0.8


@given(st.sampled_from(SIZES), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_erasing_fills_one_rectangle_with_the_mean(size, seed):
    before, after = changed(NOISE, size), changed(NOISE, size, seed, erasing=1)
    for old, new in zip(before, after, strict=True):
        rows, columns = np.nonzero(old != new)
        box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (new[box] == new[box][0, 0]).all()
        assert new[box][0, 0] == pytest.approx(old.mean(), abs=0.01)
        height, width = new[box].shape
        # Half a pixel for the rounding of each side, and one for a pixel that was the mean before.
        assert (height + 1.5) * (width + 1.5) >= 0.02 * size**2
        assert (height - 0.5) * (width - 0.5) <= 0.2 * size**2
        assert (max(height, width) - 0.5) / (min(height, width) + 1.5) <= 2


def test_erasing_is_as_frequent_as_asked():
    images = np.tile(NOISE, (25, 1, 1))
    erased = (changed(images, erasing=0.3) != images).any(axis=(1, 2))
    assert 0.2 < erased.mean() < 0.4


def test_the_seed_alone_decides():
    one, again, other = (
        augment(NOISE, EVERYTHING, 40, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.array_equal(NOISE, np.random.default_rng(0).integers(0, 256, NOISE.shape, np.uint8))


def test_the_number_of_threads_does_not_matter():
    threads = cv2.getNumThreads()
    try:
        results = []
        for count in (0, 1, 4):
            cv2.setNumThreads(count)
            results.append(augment(NOISE, EVERYTHING, 40, np.random.default_rng(3)))
            results.append(resize(NOISE, 40))
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(results[0], results[2])
    assert np.array_equal(results[0], results[4])
    assert np.array_equal(results[1], results[5])


# ---------------------------------------------------------------- batches


WEIGHTS = np.array([2.0, 0.5, 1, 1, 3, 1, 0.25], np.float32)


def numbered(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images that are as grey as their row's number, and their one-hot labels."""
    images = np.repeat(np.arange(count, dtype=np.uint8), 48 * 48).reshape(count, 48, 48)
    return images, np.eye(7, dtype=np.float32)[np.arange(count) % 7]


def epoch(count: int, augmentation=NOTHING, size=16, batch_size=8, seed=(0, 0)):
    images, targets = numbered(count)
    return list(batches(images, targets, WEIGHTS, augmentation, size, batch_size, seed))


@given(st.integers(1, 256), st.integers(1, 300), st.integers(0, 2**32 - 1), st.integers(0, 100))
@settings(max_examples=30)
def test_an_epoch_has_every_row_once(count, batch_size, seed, number):
    found = epoch(count, batch_size=batch_size, seed=(seed, number))
    assert len(found) == batch_count(count, batch_size)
    sizes = [len(faces) for faces, _, _ in found]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 1.5 * batch_size or len(found) == 1
    rows = []
    for faces, targets, weights in found:
        assert faces.shape == (len(targets), 16, 16, 1)
        assert (faces.dtype, targets.dtype, weights.dtype) == (np.float32,) * 3
        row = faces[:, 0, 0, 0].astype(int)
        assert np.array_equal(targets, np.eye(7)[row % 7])
        assert np.array_equal(weights, WEIGHTS[row % 7])
        rows.extend(row)
    assert sorted(rows) == list(range(count))


def test_an_epoch_is_its_seeds_alone():
    def content(seed):
        return [
            np.concatenate(parts) for parts in zip(*epoch(60, EVERYTHING, seed=seed), strict=True)
        ]

    one, again, next_epoch, other_seed = map(content, [(7, 1), (7, 1), (7, 2), (8, 1)])
    assert all(map(np.array_equal, one, again))
    for other in (next_epoch, other_seed):
        assert not np.array_equal(one[0], other[0])
        assert not np.array_equal(one[1], other[1])


@given(st.floats(0.05, 5), st.integers(0, 1000))
@settings(max_examples=20)
def test_mixup_blends_images_and_targets_alike(alpha, seed):
    for faces, targets, weights in epoch(
        60, NOTHING.model_copy(update={"mixup": alpha}), seed=(seed,)
    ):
        assert targets.sum(axis=1) == pytest.approx(np.ones(len(targets)), abs=1e-5)
        assert targets.min() >= 0
        assert ((targets > 0).sum(axis=1) <= 2).all()
        assert weights == pytest.approx(targets @ WEIGHTS)
        levels = faces[:, 0, 0, 0]
        assert levels.min() >= 0
        assert levels.max() <= 59 + 1e-4
        # Each image and its partner share what they are blended of.
        assert levels + levels[::-1] == pytest.approx(np.round(levels + levels[::-1]), abs=1e-3)


@pytest.mark.parametrize("mixup", [0, 0.4])
def test_the_factor_of_an_image_stays_with_it(mixup):
    count = 60
    images = np.repeat(np.arange(count, dtype=np.uint8), 48 * 48).reshape(count, 48, 48)
    targets = np.eye(7, dtype=np.float32)[np.arange(count) % 7]
    settings = NOTHING.model_copy(update={"mixup": mixup})
    factors = np.arange(1, count + 1, dtype=np.float32)
    arguments = (images, targets, np.ones(7, np.float32), settings, 48, 8, (0,))
    for faces, _, weights in batches(*arguments, sample_weights=factors):
        assert weights == pytest.approx(faces[:, 0, 0, 0] + 1, abs=1e-3)
    with_ones = batches(*arguments, sample_weights=np.ones(count, np.float32))
    for one, other in zip(batches(*arguments), with_ones, strict=True):
        assert all(np.allclose(*pair) for pair in zip(one, other, strict=True))
