"""Detect, crop and classify in a row; on the command line, too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognizer.faces import HaarDetector, WholeImage, crop
from recognizer.recognizer import Recognizer
from tests.model_fixture import LABELS
from tests.portrait_fixture import portrait

ROOT = Path(__file__).parents[2]


def test_a_48_pixel_face_reaches_the_model_unchanged(classifier):
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    (face,) = Recognizer(classifier, WholeImage()).recognize(image)
    expected = classifier.predict(image[None])[0]
    np.testing.assert_allclose(list(face.probabilities.values()), expected, atol=1e-6)
    assert list(face.probabilities) == list(LABELS)
    assert face.emotion == LABELS[expected.argmax()]


def test_each_face_is_classified_from_its_own_crop(classifier):
    scene = np.hstack([portrait(seed=0), portrait(size=160, seed=1)])
    detector = HaarDetector()
    faces = Recognizer(classifier, detector).recognize(scene)
    assert len(faces) >= 2
    for face in faces:
        alone = classifier.predict(crop(scene, face.box, detector.frame)[None])[0]
        np.testing.assert_allclose(list(face.probabilities.values()), alone, atol=1e-6)
    assert faces[0].probabilities != faces[1].probabilities


def test_no_face_is_an_empty_list(classifier):
    flat = np.full((200, 300), 100, np.uint8)
    assert Recognizer(classifier, HaarDetector()).recognize(flat) == []


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9)), np.zeros((0, 9), np.uint8)]
)
def test_other_arrays_are_refused(classifier, image):
    with pytest.raises(ValueError, match=r"image: expected uint8 \[H, W\], got"):
        Recognizer(classifier, WholeImage()).recognize(image)


# ---------------------------------------------------------------- python -m recognizer


@pytest.fixture
def photos(tmp_path):
    cv2.imwrite(str(tmp_path / "face.jpg"), portrait())
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((100, 150), 90, np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "grey.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def recognize(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "recognizer", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_a_table_for_people(photos, model_path):
    done = recognize(photos, "face.jpg", "grey.png", "--model", model_path)
    assert done.stderr == ""
    assert done.returncode == 0
    first, face, probabilities, second = done.stdout.splitlines()
    assert first == "face.jpg (640×480): 1 face"
    assert face.split()[0] in LABELS
    assert [word for word in probabilities.split() if word.isalpha()] == list(LABELS)
    assert second == "grey.png (150×100): no face"


def test_json_lines_for_programs_and_unreadable_files_on_stderr(photos, model_path, classifier):
    names = ["notes.txt", "face.jpg", "absent.jpg", "cut.png", "grey.png"]
    done = recognize(photos, *names, "--faces", "whole", "--json", "--model", model_path)
    assert done.returncode == 1
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["path"] for answer in answers] == ["face.jpg", "grey.png"]
    answer = answers[1]
    assert answer["image"] == {"width": 150, "height": 100}
    assert answer["model"] == {"version": classifier.version, "dataset": "tiny"}
    (face,) = answer["faces"]
    assert face["box"] == {"x": 0, "y": 0, "width": 150, "height": 100}
    assert face["confidence"] == 1
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert max(face["probabilities"], key=face["probabilities"].get) == face["emotion"]
    problems = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in problems] == ["notes.txt", "absent.jpg", "cut.png"]
    assert "Traceback" not in done.stderr


def test_a_missing_model_is_one_line(photos):
    done = recognize(photos, "face.jpg")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: models/fer2013/model.onnx: cannot be read: No such file or directory\n"
    )
