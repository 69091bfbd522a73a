"""The balance stage: counts, provenance, repeatability and the pictures it draws."""

import hashlib
import json
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config

from stages.balance import main
from stages.dataset import contact_sheet as sheet
from stages.dataset.balance_report import balance_metrics
from stages.dataset.balancing import STRATEGIES, balance, counts_per_emotion
from stages.dataset.contact_sheet import contact_sheet
from stages.dataset.face_augmentation import augmented_images
from stages.dataset.faces import EMOTIONS
from stages.errors import UserError
from stages.parameters import Balance, BalanceAugmentation, load_parameters

# albumentations only warns about an argument it does not know, and then ignores it.
pytestmark = pytest.mark.filterwarnings("error")

PARAMETERS = Path(__file__).parents[2] / "params.yaml"
STRENGTHS = load_parameters("sample", PARAMETERS).balance.augmentation
NOTHING = BalanceAugmentation(**dict.fromkeys(BalanceAugmentation.model_fields, 0))

every_emotion = st.lists(st.integers(1, 12), min_size=7, max_size=7).flatmap(
    lambda counts: st.permutations(np.repeat(np.arange(7), counts).tolist())
)
targets = st.floats(0.05, 1)


def how(strategy: str, target: float = 0.5, seed: int = 0, strengths=STRENGTHS) -> Balance:
    return Balance(strategy=strategy, target=target, seed=seed, augmentation=strengths)


def faces(labels, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth random images with rows that are neither in order nor without gaps."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (len(labels), 6, 6), dtype=np.uint8)
    images = np.array([cv2.resize(image, (48, 48)) for image in coarse], dtype=np.uint8)
    row = rng.choice(10 * len(labels), len(labels), replace=False).astype(np.int32)
    return images.reshape(-1, 48, 48), np.array(labels, dtype=np.uint8), row


def counts(labels: np.ndarray) -> np.ndarray:
    return np.bincount(labels, minlength=7)


# ---------------------------------------------------------------- strategies


@given(every_emotion)
def test_none_changes_nothing(labels):
    images, labels, row = faces(labels)
    result = balance(images, labels, row, how("none", 1.0))
    assert np.array_equal(result.images, images)
    assert np.array_equal(result.labels, labels)
    assert np.array_equal(result.row, row)
    assert not result.augmented.any()


@given(every_emotion, targets, st.integers(0, 5))
def test_oversample_adds_no_more_exact_copies_than_the_target_needs(labels, target, seed):
    images, labels, row = faces(labels)
    result = balance(images, labels, row, how("oversample", target, seed))
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
def test_undersample_cuts_only_what_exceeds_the_target(labels, target, seed):
    images, labels, row = faces(labels)
    result = balance(images, labels, row, how("undersample", target, seed))
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
    images, labels, row = faces(labels)
    result = balance(images, labels, row, how("augment", target, seed))
    copies = balance(images, labels, row, how("oversample", target, seed))
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
    images, labels, row = faces(np.repeat(np.arange(7), [3, 30, 30, 30, 30, 30, 30]))
    first = balance(images, labels, row, how("undersample", 1.0, seed=1))
    again = balance(images, labels, row, how("undersample", 1.0, seed=1))
    other = balance(images, labels, row, how("undersample", 1.0, seed=2))
    assert np.array_equal(first.row, again.row)
    assert not np.array_equal(first.row, other.row)


def test_the_seed_decides_which_originals_are_used_once_more():
    images, labels, row = faces(np.repeat(np.arange(7), [20, 30, 30, 30, 30, 30, 30]))
    drawn = [
        set(balance(images, labels, row, how("oversample", 1.0, seed)).row[len(row) :].tolist())
        for seed in range(3)
    ]
    assert all(len(rows) == 10 for rows in drawn)
    assert drawn[0] != drawn[1] != drawn[2]


@pytest.mark.parametrize("strategy", ["oversample", "undersample", "augment"])
def test_an_emotion_without_faces_is_named(strategy):
    with pytest.raises(UserError, match=r"no face of disgust, sad in Training.*strategy to none"):
        balance(*faces([0, 2, 3, 5, 6]), how(strategy))


def test_params_yaml_knows_exactly_the_strategies_that_exist():
    assert set(get_args(Balance.model_fields["strategy"].annotation)) == set(STRATEGIES)


# ---------------------------------------------------------------- augmented images


@pytest.mark.parametrize(
    ("backend", "workers", "chunk_size"),
    [("threading", 1, 1), ("threading", 4, 7), ("loky", 2, 13), ("loky", 4, 10), ("loky", 2, 100)],
)
def test_bytes_do_not_depend_on_workers_or_chunks(backend, workers, chunk_size):
    images, _, row = faces([0] * 40)
    copy = np.arange(40) % 3
    expected = augmented_images(images, row, copy, 5, STRENGTHS)
    with parallel_config(backend=backend, n_jobs=workers):
        result = augmented_images(images, row, copy, 5, STRENGTHS, chunk_size)
    assert np.array_equal(result, expected)


def test_seed_row_and_copy_each_change_the_image():
    images = np.repeat(faces([0])[0], 4, axis=0)
    zero, row, copy = np.zeros(4, int), np.array([8, 8, 9, 9]), np.array([1, 2, 1, 2])
    one_seed = augmented_images(images, row, copy, 0, STRENGTHS)
    other_seed = augmented_images(images, row, copy, 1, STRENGTHS)
    assert len(np.unique(np.concatenate([one_seed, other_seed]), axis=0)) == 8
    same = augmented_images(images, zero, zero, 0, STRENGTHS)
    assert len(np.unique(same, axis=0)) == 1


def test_other_emotions_do_not_change_an_emotions_new_images():
    images, labels, row = faces(np.repeat(np.arange(7), [4, 9, 9, 40, 9, 9, 9]))
    fewer = (labels < 4) | (np.arange(len(labels)) % 3 == 0)
    everything = balance(images, labels, row, how("augment", 0.5))
    part = balance(images[fewer], labels[fewer], row[fewer], how("augment", 0.5))
    angry = [result.augmented & (result.labels == 0) for result in (everything, part)]
    assert np.array_equal(everything.images[angry[0]], part.images[angry[1]])
    assert angry[0].sum() == 16


def test_no_strength_at_all_returns_the_original():
    images, _, row = faces([0] * 5)
    assert np.array_equal(augmented_images(images, row, row, 0, NOTHING), images)


def test_moved_faces_have_no_empty_corners():
    grey = np.full((50, 48, 48), 200, dtype=np.uint8)
    strengths = NOTHING.model_copy(update={"rotation": 45.0, "shift": 0.5, "scale": 0.5})
    assert (augmented_images(grey, np.arange(50), np.ones(50, int), 0, strengths) == 200).all()


@pytest.mark.parametrize(
    ("strength", "value"),
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
def test_every_strength_has_an_effect(strength, value):
    images, _, row = faces([0] * 8)
    strengths = NOTHING.model_copy(update={strength: value})
    made = augmented_images(images, row, np.ones(8, int), 0, strengths)
    assert (made != images).any(axis=(1, 2)).all()
    if strength == "flip":
        assert np.array_equal(made, images[:, :, ::-1])
    if strength == "erasing":
        assert ((made != images).mean(axis=(1, 2)) <= 0.12).all()
    if strength == "noise":
        assert np.abs(made.astype(float) - images).mean() < 6


def test_transforms_are_drawn_independently():
    # One seed for every transform would erase only faces that are flipped too.
    image = np.zeros((1, 48, 48), dtype=np.uint8)
    image[:, :, 24:] = 255
    strengths = NOTHING.model_copy(update={"flip": 0.5, "erasing": 0.5})
    made = augmented_images(
        np.repeat(image, 400, axis=0), np.arange(400), np.ones(400, int), 0, strengths
    )
    flipped = made[:, :, :24].mean(axis=(1, 2)) > made[:, :, 24:].mean(axis=(1, 2))
    erased = np.array([not np.isin(face, (0, 255)).all() for face in made])
    for wanted in (flipped & erased, flipped & ~erased, ~flipped & erased, ~flipped & ~erased):
        assert 0.15 < wanted.mean() < 0.35


# ---------------------------------------------------------------- figures and files


def test_metrics_count_what_changed():
    before = counts_per_emotion(np.repeat(np.arange(7), [4, 1, 4, 8, 4, 4, 4]))
    after = counts_per_emotion(np.repeat(np.arange(7), [4, 4, 4, 6, 4, 4, 4]))
    metrics = balance_metrics(before, after)
    assert metrics["before"]["disgust"] == 1
    assert metrics["after"]["happy"] == 6
    assert (metrics["added"], metrics["removed"]) == (3, 2)
    assert metrics["ratio_before"] == 1 / 8
    assert metrics["ratio_after"] == 4 / 6


def drawn(strategy: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A contact sheet's picture (RGB) and the images of its training set."""
    images, labels, row = faces(np.repeat(np.arange(7), [8, 2, 20, 20, 20, 20, 20]))
    result = balance(images, labels, row, how(strategy, 0.4))
    contact_sheet(result.images, result.labels, result.row, result.augmented).savefig(path)
    return cv2.imread(str(path))[:, :, ::-1], result.images


def cells(picture: np.ndarray, colour: str) -> float:
    """How many faces are framed in this colour."""
    rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    frame = sheet.CELL**2 - (sheet.CELL - 2 * sheet.FRAME) ** 2
    return (picture[sheet.TITLE :] == rgb).all(axis=2).sum() / frame


def face_in(picture: np.ndarray, left: int, top: int) -> np.ndarray:
    """The face drawn in the cell at this place, as uint8 [48, 48]."""
    left, top = left + sheet.FRAME, top + sheet.FRAME
    size = sheet.SCALE * 48
    return picture[top : top + size : sheet.SCALE, left : left + size : sheet.SCALE, 0]


def test_contact_sheet_shows_originals_beside_their_copies(tmp_path):
    picture, images = drawn("augment", tmp_path / "sheet.png")
    # Disgust alone got copies, three for each of two originals; the others have 8 and 20.
    assert cells(picture, sheet.BLUE) == 8 + 2 + 5 * 10
    assert cells(picture, sheet.ORANGE) == 6
    first_line = sheet.TITLE + sheet.HEADING
    second_line = first_line + sheet.CELL + sheet.HEADING
    assert np.array_equal(face_in(picture, sheet.MARGIN, first_line), images[0] & 0xFC)
    assert np.array_equal(face_in(picture, sheet.MARGIN, second_line), images[8] & 0xFC)
    shown = face_in(picture, sheet.MARGIN + sheet.CELL, second_line)
    assert any(np.array_equal(shown, image & 0xFC) for image in images[110:])


@pytest.mark.parametrize("strategy", ["none", "undersample"])
def test_contact_sheet_of_originals_alone_says_so(strategy, tmp_path):
    picture, _ = drawn(strategy, tmp_path / "sheet.png")
    assert cells(picture, sheet.ORANGE) == 0
    assert cells(picture, sheet.BLUE) > 2 + 6 * 4
    assert not (picture[: sheet.TITLE] == 255).all()


def test_contact_sheet_leaves_room_for_an_emotion_without_faces():
    images, labels, row = faces([0, 2, 3])
    figure = contact_sheet(images, labels, row, np.zeros(3, bool))
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "Originals only: no copies were made"
    assert "0 originals, none added" in texts


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the faces.npz of a dataset named tiny."""
    monkeypatch.chdir(tmp_path)
    images, labels, row = faces(np.tile(np.repeat(np.arange(7), [6, 2, 6, 12, 6, 6, 6]), 3))
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
        assert counts(train["labels"]).tolist() == [6, 6, 6, 12, 6, 6, 6]
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


def test_stage_names_what_is_missing(workplace):
    parameters = load_parameters("sample", PARAMETERS)
    with pytest.raises(UserError, match=r"data/other/faces.npz: not found; run `dvc repro`"):
        main("other", parameters)
    with np.load("data/tiny/faces.npz") as given:
        arrays = dict(given)
    np.savez("data/tiny/faces.npz", **{**arrays, "split": np.full_like(arrays["split"], 2)})
    with pytest.raises(UserError, match=r"faces.npz: no face of split Training"):
        main("tiny", parameters)
    assert not Path("data/tiny/train.npz").exists()
