"""Images in folders: layouts, labels, squares and faces as in serving, and errors."""

import zipfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.classifier import Classifier
from recognizer.detectors.registry import build_detector
from recognizer.image import decode
from recognizer.recognizer import Recognizer
from stages.dataset import sources
from stages.dataset.image_folder import IMAGE_SUFFIXES
from stages.dataset.sample_faces import render_sample
from stages.errors import UserError
from stages.parameters import Draw, FolderSource
from tests.model_fixture import write_tiny_model

ROOT = Path(__file__).parents[3]
ASTRONAUT = ROOT / "docs/astronaut.jpg"
FACES = render_sample((120, 0, 0), seed=3)[1]

ALL_SPLITS = [f"{split}/{name}" for split in ("train", "val", "test") for name in ("a", "b")]


def write(root: Path, *places: str, count: int = 8) -> None:
    """Write rendered faces into folders."""
    for number, place in enumerate(places):
        (root / place).mkdir(parents=True)
        for index in range(count):
            face = FACES[(number * count + index) % len(FACES)]
            cv2.imwrite(str(root / place / f"{index:03}.png"), face)


def read(root: Path, **settings) -> list[list[str]]:
    """The rows, without the header."""
    source = FolderSource(source="folder", path=root, **settings)
    header, *lines = [line.decode() for line in sources.folder(source)]
    assert header.startswith("emotion,pixels,Usage")
    return [line.split(",") for line in lines]


def counts(rows: list[list[str]]) -> Counter:
    return Counter((row[0], row[2]) for row in rows)


def pixels_of(row: list[str]) -> np.ndarray:
    return np.array(row[1].split(), dtype=np.uint8).reshape(48, 48)


# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize("validation", ["val", "valid", "Validation", "PublicTest"])
def test_three_splits_are_taken_as_they_are(tmp_path, validation):
    places = [f"{split}/{name}" for split in ("train", validation, "test") for name in ("a", "b")]
    write(tmp_path, *places)
    rows = read(tmp_path)
    assert counts(rows) == {
        (name, split): 8
        for name in ("a", "b")
        for split in ("Training", "PublicTest", "PrivateTest")
    }
    assert {len(row) for row in rows} == {3}


def test_of_train_and_test_the_validation_is_drawn(tmp_path, caplog):
    caplog.set_level("INFO")
    write(tmp_path, "train/a", "train/b", "test/a", "test/b", count=20)
    rows = read(tmp_path, draw=Draw(validation=0.1))
    assert counts(rows) == {
        (name, split): number
        for name in ("a", "b")
        for split, number in (("Training", 18), ("PublicTest", 2), ("PrivateTest", 20))
    }
    # The column `drawn`.
    assert {(row[2], row[3]) for row in rows} == {
        *{("Training", "0"), ("PublicTest", "1"), ("PrivateTest", "0")}
    }
    assert "the source has no PublicTest: drew 4 of 40 images of Training" in caplog.text
    assert "PrivateTest" not in caplog.text


@pytest.mark.parametrize("above", ["", "faces"])
def test_of_one_folder_all_splits_are_drawn(tmp_path, above):
    write(tmp_path / above, "a", "b", count=20)
    assert counts(read(tmp_path, draw=Draw(validation=0.1, test=0.2))) == {
        (name, split): number
        for name in ("a", "b")
        for split, number in (("Training", 14), ("PublicTest", 2), ("PrivateTest", 4))
    }


def test_nobody_is_in_two_splits(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(40):
            path = tmp_path / name / f"S{index % 10:02}_{index}.png"
            cv2.imwrite(str(path), FACES[index])
    rows = read(tmp_path, draw=Draw(person=r"/(S\d+)_"))
    by_pixels = {face.tobytes(): f"S{index % 10:02}" for index, face in enumerate(FACES[:40])}
    sides = {(by_pixels[pixels_of(row).tobytes()], row[2]) for row in rows}
    assert len(sides) == 10
    assert {split for _, split in sides} == {"Training", "PublicTest", "PrivateTest"}
    with pytest.raises(UserError, match=r"`draw\.person`: 'P' finds nobody in 80 of 80 paths"):
        read(tmp_path, draw=Draw(person="P"))


def test_the_home_folder_is_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "faces", "a", "b")
    assert len(read(Path("~/faces"))) == 16


def test_a_zip_file_is_read_like_the_folder_in_it(tmp_path):
    write(tmp_path / "faces", "train/a", "train/b", "test/a", "test/b")
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted((tmp_path / "faces").rglob("*.png")):
            packed.write(path, path.relative_to(tmp_path))
    assert read(archive) == read(tmp_path / "faces")


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".tif", ".JPG", ".jpeg", ".gif"])
def test_formats(tmp_path, suffix):
    write(tmp_path, "a", "b")
    for path in tmp_path.rglob("*.png"):
        cv2.imwrite(str(path.with_suffix(suffix)), cv2.imread(str(path)))
        path.unlink()
    assert suffix.lower() in IMAGE_SUFFIXES
    assert len(read(tmp_path)) == 16


def test_the_first_frame_of_a_gif_is_read(tmp_path):
    write(tmp_path, *ALL_SPLITS)
    animation = cv2.Animation()
    animation.frames = [np.full((48, 48, 3), level, np.uint8) for level in (60, 200)]
    animation.durations = [100, 100]
    assert cv2.imwriteanimation(str(tmp_path / "train/a/two.gif"), animation)
    rows = [row for row in read(tmp_path) if row[0] == "a" and row[2] == "Training"]
    assert len(rows) == 9
    assert abs(pixels_of(rows[-1]).mean() - 60) < 10  # a GIF's colours are dithered


# ---------------------------------------------------------------- files that are not read


def images(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), FACES[0])


def test_ignored_files_are_named_and_counted(tmp_path, caplog):
    write(tmp_path, *ALL_SPLITS)
    for name in ("d.txt", "c.txt", "train/b.txt", "a.txt", "train/a/e.txt"):
        (tmp_path / name).write_text("note")
    images(tmp_path, "x.png")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("hidden")
    assert len(read(tmp_path)) == 48
    assert caplog.messages == [
        f"{tmp_path}: ignored: 1 image lies directly in this folder: x.png; expected "
        "SPLIT/EMOTION/NAME: move each into the folder of its emotion, such as test/happy",
        f"{tmp_path}: ignored 5 files that are no images: a.txt, c.txt, d.txt and 2 more",
    ]


def test_ignored_images_beside_emotions_without_splits(tmp_path, caplog):
    write(tmp_path / "faces", "a", "b")
    images(tmp_path, "x.png")
    images(tmp_path / "faces", "y.png", "z.png")
    assert len(read(tmp_path)) == 16
    assert caplog.messages == [
        f"{tmp_path}: ignored: 1 image lies directly in this folder: x.png; expected "
        "EMOTION/NAME: move each into the folder of its emotion, such as happy",
        f"{tmp_path}/faces: ignored: 2 images lie directly in this folder: y.png, z.png; expected "
        "EMOTION/NAME: move each into the folder of its emotion, such as happy",
    ]


def test_images_in_no_emotions_folder_are_an_error_that_counts_them(tmp_path):
    images(tmp_path, *(f"{number}.png" for number in range(5)))
    with pytest.raises(UserError) as raised:
        read(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: 5 images lie directly in this folder: 0.png, 1.png, 2.png and 2 more; "
        "expected EMOTION/NAME: move each into the folder of its emotion, such as happy"
    )
    images(tmp_path / "train", "x.png")
    with pytest.raises(UserError, match=r"6 images lie in no emotion's folder: .*SPLIT/EMOTION/"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["b", "Surprise"])
def test_an_emotions_folder_beside_the_splits_is_an_error(tmp_path, name):
    write(tmp_path, *ALL_SPLITS)
    write(tmp_path, name, count=1)
    with pytest.raises(UserError) as raised:
        read(tmp_path)
    assert (
        f"{tmp_path}/{name}: this emotion's folder lies beside the splits test, train and val"
        in (str(raised.value))
    )


def test_another_folder_beside_the_splits_is_ignored(tmp_path, caplog):
    write(tmp_path, *ALL_SPLITS)
    write(tmp_path, "unlabelled", count=2)
    assert len(read(tmp_path)) == 48
    assert "2 images lie in no emotion's folder: unlabelled/000.png, unlabelled/001.png;" in (
        caplog.text
    )


# ---------------------------------------------------------------- labels


def test_names_of_public_datasets_and_own_ones(tmp_path):
    write(tmp_path, "train/Anger", "train/Bored", "test/angry", "test/bored")
    assert {row[0] for row in read(tmp_path)} == {"angry", "bored"}


def test_labels_join_and_leave_out(tmp_path, caplog):
    caplog.set_level("INFO")
    write(tmp_path, "fear", "sad", "happy", "contempt")
    labels = {"fear": "negative", "sad": "negative", "happy": "positive", "contempt": None}
    rows = read(tmp_path, labels=labels)
    assert Counter(row[0] for row in rows) == {"negative": 16, "positive": 8}
    assert "left out by `labels`: 8 of contempt" in caplog.text
    assert "labels: 'negative' and 'positive' are new emotions" in caplog.text
    assert "no label or folder" not in caplog.text


def test_a_misspelled_key_of_labels_is_an_error(tmp_path):
    write(tmp_path, "happy", "sad", "contempt")
    with pytest.raises(UserError, match=r"key 'contemt', which is .*; nearest: 'contempt'; corr"):
        read(tmp_path, labels={"contemt": None})


def test_the_log_counts_the_emotions(tmp_path, caplog):
    caplog.set_level("INFO")
    write(tmp_path, "joy", "smilling", "sad")
    read(tmp_path)
    assert "emotions: happy 8, sad 8, smilling 8" in caplog.text


@pytest.mark.parametrize("wrong", ["train/Hapy", "test/Hapy"])
def test_a_misspelled_folder_in_one_split_is_to_become_the_emotion(tmp_path, wrong):
    write(tmp_path, "train/happy", "train/sad", "test/happy", "test/sad", wrong)
    with pytest.raises(UserError, match=r"are the same, add `labels: {hapy: happy}`"):
        read(tmp_path)


def test_labels_that_leave_out_everything(tmp_path):
    write(tmp_path, "happy", "sad")
    with pytest.raises(UserError, match="`labels` leaves out every emotion, 16 images in all"):
        read(tmp_path, labels={"happy": None, "sad": None})


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (
            ["train/a", "train/hapy", "test/a", "test/happy"],
            r"no image of happy, but of hapy: .*`labels: \{hapy: happy\}`",
        ),
        (["trian/a", "trian/b", "test/a"], r"unknown split 'trian' \(nearest: 'train'\)"),
        (["a"], "1 emotion, a; expected 2 … 20"),
        ([f"emotion {letter}" for letter in "abcdefghijklmnopqrstu"], "21 emotions"),
        (["1", "2"], r"the folder '1' is no name of an emotion.*`labels: \{1: NAME\}`"),
    ],
)
def test_an_unhappy_folder_is_an_error(tmp_path, places, message):
    write(tmp_path, *places, count=4)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


# ---------------------------------------------------------------- as in serving


@pytest.fixture
def crops_of_serving(tmp_path, monkeypatch):
    """A function: the crop that a recognizer with this detector classifies first."""
    write_tiny_model(tmp_path / "tiny.onnx")
    classifier = Classifier(tmp_path / "tiny.onnx")
    seen = []
    predict = classifier.predict
    monkeypatch.setattr(classifier, "predict", lambda faces: seen.append(faces) or predict(faces))

    def crop(path: Path, detector: str) -> np.ndarray:
        Recognizer(classifier, build_detector(detector)).recognize(decode(path.read_bytes()))
        return seen[-1][0]

    return crop


def read_beside_others(photo: Path, root: Path, **settings) -> np.ndarray:
    """The pixels of a photo's row, from a folder of it and others."""
    write(root, *ALL_SPLITS, count=1)
    (root / f"train/a/photo{photo.suffix}").write_bytes(photo.read_bytes())
    _, row = (row for row in read(root, **settings) if row[0] == "a" and row[2] == "Training")
    return pixels_of(row)


@pytest.mark.parametrize("shape", [(300, 600), (600, 300), (100, 48)])
def test_a_circle_stays_a_circle_in_a_photo_that_is_no_square(tmp_path, crops_of_serving, shape):
    photo = np.full((*shape, 3), 40, np.uint8)
    cv2.circle(photo, (shape[1] // 2, shape[0] // 2), min(shape) // 4, (220, 220, 220), -1)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    face = read_beside_others(tmp_path / "photo.png", tmp_path / "faces")
    np.testing.assert_array_equal(face, crops_of_serving(tmp_path / "photo.png", "whole"))
    rows, columns = (np.ptp(np.flatnonzero((face > 130).any(axis=axis))) for axis in (1, 0))
    assert abs(int(rows) - int(columns)) <= 1


def test_the_largest_face_of_a_photo_is_cropped_as_in_serving(tmp_path, crops_of_serving):
    face = read_beside_others(ASTRONAUT, tmp_path / "faces", faces="detect")
    np.testing.assert_array_equal(face, crops_of_serving(ASTRONAUT, "yunet"))


def test_a_photo_without_a_face_is_left_to_validate_with_the_reason(tmp_path, caplog):
    write(tmp_path, *ALL_SPLITS)
    cv2.imwrite(str(tmp_path / "train/a/wall.png"), np.full((300, 300, 3), 90, np.uint8))
    rows = read(tmp_path, faces="detect")
    assert ["a", "no face in train/a/wall.png", "Training"] in rows
    assert "without a face: 1 image: validate will quarantine its row" in caplog.text
