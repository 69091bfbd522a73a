"""YuNet by onnxruntime, beside OpenCV's own detector with the same file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.detectors.yunet import MODEL
from recognizer.detectors.yunet_network import MIN_SIDE, PADDED_SIDE, YuNetNetwork

PHOTO = cv2.imread(str(Path(__file__).parents[3] / "docs/astronaut.jpg"))
CROWD = np.vstack([np.hstack([PHOTO, PHOTO[:, ::-1]])] * 2)


@pytest.fixture(scope="module")
def network():
    return YuNetNetwork(MODEL.read_bytes(), 0.2, 0.3)


def opencv_rows(image):
    height, width = image.shape[:2]
    below, beside = max(0, PADDED_SIDE - height), max(0, PADDED_SIDE - width)
    image = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    detector = cv2.FaceDetectorYN.create(str(MODEL), "", image.shape[1::-1], 0.2, 0.3)
    rows = detector.detect(image)[1]
    if rows is None:
        return np.empty((0, 15), np.float32)
    return rows[(rows[:, 2:4] >= MIN_SIDE).all(axis=1)]


@pytest.mark.parametrize(
    ("image", "size", "faces"),
    [
        (PHOTO, (512, 512), 1),
        (PHOTO, (640, 417), 1),
        (CROWD, (640, 640), 4),
        (CROWD, (1000, 961), 4),
        (PHOTO, (129, 127), 1),
        (PHOTO, (50, 60), None),
        (PHOTO, (1, 1), 0),
    ],
)
def test_the_rows_are_those_of_opencv(network, image, size, faces):
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    expected, rows = opencv_rows(scaled), network.detect(scaled)
    assert rows.dtype == np.float32
    assert rows == pytest.approx(expected, abs=1e-3, rel=1e-4)
    assert faces is None or len(rows) == faces


def test_noise_has_the_rows_of_opencv(network):
    """Below the confidence of a face, and without any."""
    for seed in range(5):
        noise = np.random.default_rng(seed).integers(0, 256, (200, 300, 3), np.uint8)
        assert network.detect(noise) == pytest.approx(opencv_rows(noise), abs=1e-3, rel=1e-4)


def test_threads_share_a_network(network):
    sizes = [(400 + 13 * k, 380 + 7 * k) for k in range(12)]
    images = [cv2.resize(PHOTO, size) for size in sizes]
    alone = [network.detect(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        for one, other in zip(alone, threads.map(network.detect, images), strict=True):
            assert np.array_equal(one, other)
