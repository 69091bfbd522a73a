"""weights.keras is the network of model.onnx, and a training can start from it."""

import hashlib
import json
import logging
import re
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from stages.errors import UserError
from stages.training.initial_weights import read_initial_weights
from stages.training.keras_archive import save_network
from stages.training.networks import build_network
from tests.faces_fixture import write_faces
from tests.stages.test_train import IMAGES, LABELS, ROOT, in_file
from tests.stages.test_train import TINY as TRAIN
from tests.stages.training.test_initial_weights import OWN, init
from tools.trainable_weights import write_trainable_weights


def md5(path: Path) -> str:
    """As DVC computes it."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def exported(tmp_path, monkeypatch) -> keras.Model:
    """The files of a dataset `tiny` after its export, in the working directory."""
    parameters = yaml.safe_load((ROOT / "params/sample.yaml").read_text())
    parameters["train"] |= {
        "network": in_file(TRAIN["network"]),
        "resolutions": TRAIN["resolutions"],
    }
    monkeypatch.chdir(tmp_path)
    for folder in ("params", "data/tiny", "models/tiny"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "params/tiny.yaml").write_text(yaml.safe_dump(parameters))
    write_faces(tmp_path / "data/tiny/faces.npz", IMAGES, LABELS, np.ones(len(LABELS), np.uint8))
    network = build_network(OWN, 32, 7)
    save_network(network, tmp_path / "models/tiny/model.keras")
    (tmp_path / "models/tiny/model.onnx").write_bytes(b"onnx")
    files = [
        {"path": f"models/tiny/{name}", "md5": md5(path)}
        for name in ("model.keras", "model.onnx")
        for path in [tmp_path / "models/tiny" / name]
    ]
    lock = {"stages": {"export@tiny": {"deps": files[:1], "outs": files[1:]}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
    return network


def test_the_weights_are_of_the_exported_network(exported, tmp_path, caplog):
    caplog.set_level(logging.INFO, "tools")
    write_trainable_weights("tiny")
    assert "models/tiny/weights.keras: 0.0" in caplog.text
    # An untrained network may predict two emotions as almost equally likely.
    assert re.search(r"on PublicTest \d of 64 predictions differ from model.keras", caplog.text)
    initial = read_initial_weights(init("tiny"))
    assert initial.file.name == "weights.keras"
    for before, after in zip(exported.get_weights()[:-2], initial.arrays, strict=True):
        assert after == pytest.approx(before, rel=1e-3, abs=1e-6)
    with zipfile.ZipFile(initial.file) as archive:
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["dataset"] == "tiny"
    assert metadata["labels"][3] == "happy"
    assert metadata["model"] == hashlib.sha256(b"onnx").hexdigest()


@pytest.mark.parametrize("name", ["model.keras", "model.onnx"])
def test_files_that_dvc_did_not_record_together_are_an_error(exported, tmp_path, name):
    (tmp_path / "models/tiny" / name).write_bytes(b"another")
    with pytest.raises(UserError, match=f"models/tiny/{name}: not the file of stage export@tiny"):
        write_trainable_weights("tiny")
    (tmp_path / "models/tiny" / name).unlink()
    with pytest.raises(UserError, match=f"models/tiny/{name}: not found; run `dvc repro`"):
        write_trainable_weights("tiny")
    assert not (tmp_path / "models/tiny/weights.keras").exists()
