"""The network that starts as dlib's face recognition ResNet, and the reader of dlib's file."""

import hashlib
import io
import tarfile

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from experiments.ensemble import dlib_weights
from experiments.ensemble.face_resnet import (
    BLOCKS,
    CONTRAST,
    WEIGHTS,
    WIDTHS,
    face_resnet,
    start_from_dlib,
)
from experiments.ensemble.settings import FaceResNet
from stages.errors import UserError
from stages.onnx_graph.conversion import convert, served_model
from stages.onnx_graph.logits import predict_logits
from stages.training import augmentation

SMALL = np.random.default_rng(0).integers(0, 256, (8, 12, 12), dtype=np.uint8)
FACES = SMALL.repeat(4, axis=1).repeat(4, axis=2)


def built(size: int) -> keras.Model:
    return face_resnet(FaceResNet(name="face_resnet", dropout=0.5), size, 7)


def as_dlib(faces: np.ndarray) -> np.ndarray:
    """What dlib computes before its last blocks, written down once more: float32 [N, 256]."""
    with np.load(WEIGHTS) as stored:
        arrays = {name: stored[name].astype(np.float32) for name in stored.files}

    def affine(x, name: str, stride: int, padding: str):
        x = ops.conv(x, arrays[f"{name}.kernel"], strides=stride, padding=padding)
        return x * arrays[f"{name}.scale"] + arrays[f"{name}.shift"]

    variance = faces.var(axis=(1, 2, 3), keepdims=True)
    x = (faces - faces.mean(axis=(1, 2, 3), keepdims=True)) / np.sqrt(variance + 100) * CONTRAST
    x = ops.max_pool(ops.relu(affine(x, "stem", 2, "valid")), 3, 2)
    for width, blocks in zip(WIDTHS, BLOCKS, strict=True):
        for block in range(blocks):
            shortcut, stride, padding = x, 1, "same"
            if x.shape[-1] != width:
                pooled = ops.average_pool(x, 2, 2)
                shortcut = ops.concatenate([pooled, ops.zeros_like(pooled)], axis=3)
                stride, padding = 2, "valid"
                if x.shape[1] % 2 == 0:
                    x = ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
            x = ops.relu(affine(x, f"{width}.{block}.0", stride, padding))
            x = ops.relu(affine(x, f"{width}.{block}.1", 1, "same") + shortcut)
    return ops.convert_to_numpy(ops.mean(x, axis=(1, 2)))


@pytest.mark.parametrize("size", [83, 99])
def test_it_starts_as_dlibs_network(size):
    faces = augmentation.resize(FACES, size)[..., None]
    network = built(size)
    start_from_dlib(network, faces)
    pooled = keras.Model(network.input, network.layers[-3].output)(faces, training=False)
    expected = as_dlib(faces)
    assert expected.std() > 0.1
    assert ops.convert_to_numpy(pooled) == pytest.approx(expected, abs=1e-3)


def test_its_normalisation_has_the_statistics_of_the_faces():
    faces = augmentation.resize(FACES, 67)[..., None]
    network = built(67)
    start_from_dlib(network, faces)
    for name in ("stem", "64.0.0", "256.0.1"):
        values = keras.Model(network.input, network.get_layer(name).output)(faces)
        _, _, mean, variance = network.get_layer(f"{name}.normalization").get_weights()
        assert mean == pytest.approx(np.mean(values, axis=(0, 1, 2)), rel=0.01, abs=0.01)
        assert variance == pytest.approx(np.var(values, axis=(0, 1, 2)), rel=0.02, abs=0.01)


def test_onnx_computes_what_keras_computes():
    network = built(83)
    start_from_dlib(network, augmentation.resize(FACES, 83)[..., None])
    served = served_model(network, 83)
    expected = softmax(served.predict(FACES, verbose=0), axis=1)
    found = softmax(predict_logits(convert(served), FACES), axis=1)
    assert np.ptp(expected) > 0.05
    assert found == pytest.approx(expected, abs=1e-4)


# ---------------------------------------------------------------- dlib's file


def integer(value: int) -> bytes:
    digits = value.to_bytes((value.bit_length() + 7) // 8 or 1, "little")
    return bytes([len(digits)]) + digits


def layer(name: bytes, values: np.ndarray) -> bytes:
    shape = b"".join(map(integer, (values.size, 1, 1, 1)))
    return integer(len(name)) + name + integer(2) + shape + values.astype("<f4").tobytes()


KERNEL = np.arange(32 * 3 * 7 * 7, dtype=np.float32).reshape(32, 3, 7, 7)
BIAS, SCALE, SHIFT = np.random.default_rng(1).normal(size=(3, 32)).astype(np.float32)
CONTENT = b"".join(
    [
        b"\x01\x02net",
        layer(b"con_4", np.concatenate([KERNEL.ravel(), BIAS])),
        b"\x01\x00",
        layer(b"affine_", np.concatenate([SCALE, SHIFT])),
    ]
)


def test_dlibs_layers_become_keras_arrays():
    arrays = dlib_weights.as_arrays(dlib_weights.read_layers(CONTENT))
    assert set(arrays) == {"stem.kernel", "stem.scale", "stem.shift"}
    grey = KERNEL.sum(axis=1)
    assert arrays["stem.kernel"][..., 0, 5] == pytest.approx(grey[5])
    assert arrays["stem.scale"] == pytest.approx(SCALE)
    assert arrays["stem.shift"] == pytest.approx(SHIFT + SCALE * BIAS)


def sdist(path, content: bytes):
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(f"face_recognition_models-0.3.0/models/{dlib_weights.MEMBER}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


def test_another_file_is_refused(tmp_path):
    digest = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(UserError, match=f"has the digest {digest}, expected {dlib_weights.SHA256}"):
        dlib_weights.main(sdist(tmp_path / "other.tar.gz", CONTENT))
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(UserError, match="text: not an archive that holds dlib_face"):
        dlib_weights.main(tmp_path / "text")


def test_the_file_of_weights_has_what_the_reader_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(dlib_weights, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(dlib_weights, "WEIGHTS", tmp_path / "weights.npz")
    dlib_weights.main(sdist(tmp_path / "sdist.tar.gz", CONTENT))
    with np.load(tmp_path / "weights.npz") as made, np.load(WEIGHTS) as kept:
        assert set(made.files) < set(kept.files)
        for name in made.files:
            assert (made[name].dtype, made[name].shape) == (kept[name].dtype, kept[name].shape)
        assert len(kept.files) == 3 * (1 + 2 * sum(BLOCKS))
        assert all(np.isfinite(kept[name]).all() for name in kept.files)
