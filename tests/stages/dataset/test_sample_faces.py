"""The rendered faces: deterministic, varied, imbalanced like FER-2013, and telling."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.detectors.registry import build_detector
from stages.dataset.sample_faces import CLASS_ROWS, render_face, render_sample

ROWS = (350, 100, 50)


@pytest.fixture(scope="module")
def sample():
    return render_sample(ROWS, seed=5)


def test_shapes_and_types(sample):
    labels, images, splits = sample
    assert labels.shape == splits.shape == (sum(ROWS),)
    assert images.shape == (sum(ROWS), 48, 48)
    assert labels.dtype == images.dtype == splits.dtype == np.uint8
    assert np.bincount(splits).tolist() == list(ROWS)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(sample):
    again = render_sample((20, 3, 2), seed=5)
    for first, second in zip(again, render_sample((20, 3, 2), seed=5), strict=True):
        np.testing.assert_array_equal(first, second)
    other = render_sample((20, 3, 2), seed=6)[1]
    assert not any((a == b).all() for a, b in zip(again[1], other, strict=True))


SAMPLE_SHA256 = "8e064a6fb97ea44a2e8249c442b863000f51654e4b82ae9df92a553e8eac5e1b"
"""Of labels, images and splits of PRINT_DIGEST, on every processor."""

PRINT_DIGEST = """
import hashlib
from stages.dataset.sample_faces import render_sample
arrays = render_sample((240, 30, 30), seed=2013)
print(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest())
"""

# The C library's sine, exponential and power have variants with and without FMA.
SSE3 = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Prescott",
    "OPENCV_CPU_DISABLE": "SSE4.1,SSE4.2,AVX,FP16,FMA3,AVX2,AVX512-SKX",
    "OPENCV_IPP": "disabled",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4",
}


# `make test-avx2` runs it with AVX2 as well.
@pytest.mark.parametrize("processor", [{}, SSE3], ids=["this", "SSE3"])
def test_the_sample_is_the_same_bytes_on_every_processor(processor):
    result = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST],
        env=os.environ | processor,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert result.stdout.strip() == SAMPLE_SHA256


class _Inexact:
    """A generator whose draws are changed by a share of up to 1e-10."""

    def __init__(self, seed):
        self.exact, self.errors = np.random.default_rng(seed), np.random.default_rng(1)

    def __getattr__(self, name):
        draw = getattr(self.exact, name)
        if name not in ("uniform", "normal", "beta"):
            return draw

        def inexact(*arguments):
            drawn = draw(*arguments)
            return drawn * (1 + 1e-10 * self.errors.uniform(-1, 1, np.shape(drawn)))

        return inexact


def test_differences_far_above_those_of_processors_change_no_byte():
    for seed in range(300):
        np.testing.assert_array_equal(
            render_face(seed % 7, np.random.default_rng(seed)),
            render_face(seed % 7, _Inexact(seed)),
        )


def test_every_split_has_the_class_shares_of_fer_2013(sample):
    labels, _, splits = sample
    for split, count in enumerate(ROWS):
        found = np.bincount(labels[splits == split], minlength=7)
        expected = np.array(CLASS_ROWS) / sum(CLASS_ROWS) * count
        assert found.sum() == count
        assert np.abs(found - expected).max() < 1


def test_classes_are_mixed_within_a_split(sample):
    labels, _, splits = sample
    assert (np.diff(labels[splits == 0].astype(int)) != 0).mean() > 0.5


def test_no_image_is_flat_or_twice_there(sample):
    images = sample[1]
    assert images.reshape(len(images), -1).std(axis=1).min() > 10
    assert len({image.tobytes() for image in images}) == len(images)


@given(st.integers(0, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_any_seed_gives_a_well_exposed_face(emotion, seed):
    face = render_face(emotion, np.random.default_rng(seed))
    assert face.shape == (48, 48)
    assert face.dtype == np.uint8
    assert face.std() > 8
    assert 30 < face[12:36, 12:36].mean() < 225


def test_a_larger_face_is_found_by_the_detector_of_photos():
    detector = build_detector("yunet")
    found = 0
    for seed in range(14):
        face = render_face(seed % 7, np.random.default_rng([1, seed]), size=160)
        around = cv2.copyMakeBorder(face, 50, 50, 50, 50, cv2.BORDER_CONSTANT, value=128)
        found += len(detector.detect(cv2.cvtColor(around, cv2.COLOR_GRAY2BGR))) == 1
    assert found >= 12


def test_a_linear_classifier_learns_the_emotions_in_part(sample):
    """Far above chance on faces it has not seen, and far from perfect: not too easy."""
    labels, images, splits = sample
    small = [cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA) for image in images]
    small = np.stack(small).reshape(len(images), -1).astype(float)
    small = (small - small.mean(1, keepdims=True)) / small.std(1, keepdims=True)
    train = splits == 0
    # Ridge regression on one-hot labels.
    normal = small[train].T @ small[train] + 30 * np.eye(small.shape[1])
    weights = np.linalg.solve(normal, small[train].T @ np.eye(7)[labels[train]])
    accuracy = ((small @ weights).argmax(1) == labels)[~train].mean()
    assert 0.45 < accuracy < 0.9
