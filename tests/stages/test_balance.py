"""The balance stage: faces.npz to train.npz, its metrics and pictures."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.balance import main
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from stages.parameters import load_parameters
from tests.faces_fixture import random_faces

PARAMETERS = Path(__file__).parents[2] / "params"


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the faces.npz of a dataset named tiny."""
    monkeypatch.chdir(tmp_path)
    images, labels, row = random_faces(np.tile(np.repeat(np.arange(7), [6, 2, 6, 12, 6, 6, 6]), 3))
    split = np.repeat(np.arange(3, dtype=np.uint8), len(labels) // 3)
    Path("data/tiny").mkdir(parents=True)
    np.savez(
        "data/tiny/faces.npz",
        images=images,
        labels=labels,
        split=split,
        row=row,
        copy_in_training=np.zeros(len(labels), bool),
    )
    return tmp_path


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_stage_writes_the_same_bytes_every_time(workplace):
    parameters = load_parameters("sample", PARAMETERS)
    main("tiny", parameters)
    first = digests(workplace)
    main("tiny", parameters)
    assert digests(workplace) == first
    assert set(first) == {
        "data/tiny/faces.npz",
        "data/tiny/train.npz",
        "metrics/tiny/balance.json",
        "metrics/tiny/plots/balance.png",
        "metrics/tiny/plots/contact_sheet.png",
    }


def test_stage_balances_the_training_split_alone(workplace):
    main("tiny", load_parameters("sample", PARAMETERS))
    with np.load("data/tiny/faces.npz") as given, np.load("data/tiny/train.npz") as train:
        assert np.array_equal(train["images"][:44], given["images"][:44])
        assert set(train["row"].tolist()) == set(given["row"][:44].tolist())
        assert np.bincount(train["labels"]).tolist() == [6, 6, 6, 12, 6, 6, 6]
        assert train["augmented"].tolist() == [False] * 44 + [True] * 4
        dtypes = {name: str(train[name].dtype) for name in train.files}
    assert dtypes == {"images": "uint8", "labels": "uint8", "row": "int32", "augmented": "bool"}
    metrics = json.loads(Path("metrics/tiny/balance.json").read_text())
    assert metrics["after"] == dict(zip(EMOTIONS, [6, 6, 6, 12, 6, 6, 6], strict=True))
    assert (metrics["added"], metrics["removed"]) == (4, 0)
    assert (metrics["ratio_before"], metrics["ratio_after"]) == (0.1667, 0.5)
    for name in ("balance", "contact_sheet"):
        path = Path("metrics/tiny/plots", f"{name}.png")
        assert path.stat().st_size <= 300_000
        picture = cv2.imread(str(path))
        assert picture.shape[0] > 400
        assert picture.shape[1] > 800
        assert picture.std() > 10


def test_missing_faces_are_an_error_that_names_the_file(workplace):
    parameters = load_parameters("sample", PARAMETERS)
    with pytest.raises(UserError, match=r"data/other/faces.npz: not found; run `dvc repro`"):
        main("other", parameters)
    with np.load("data/tiny/faces.npz") as given:
        arrays = dict(given)
    np.savez("data/tiny/faces.npz", **{**arrays, "split": np.full_like(arrays["split"], 2)})
    with pytest.raises(UserError, match=r"faces.npz: no face of split Training"):
        main("tiny", parameters)
    assert not Path("data/tiny/train.npz").exists()
