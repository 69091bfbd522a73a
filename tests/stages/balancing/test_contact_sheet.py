"""The picture of a training set: which faces it shows, where, in which frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.balancing import contact_sheet as sheet
from stages.balancing.contact_sheet import contact_sheet
from stages.balancing.strategies import balance
from stages.dataset.faces import TrainingSet
from stages.parameters import load_parameters
from tests.faces_fixture import random_faces, training_faces

PARAMETERS = Path(__file__).parents[3] / "params"


def drawn(strategy: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A contact sheet's picture (RGB) and the images of its training set."""
    images, labels, row = random_faces(np.repeat(np.arange(7), [8, 2, 20, 20, 20, 20, 20]))
    settings = load_parameters("sample", PARAMETERS).balance
    how = settings.model_copy(update={"strategy": strategy, "target": 0.4})
    result = balance(training_faces(images, labels, row), how)
    contact_sheet(result).savefig(path)
    return cv2.imread(str(path))[:, :, ::-1], result.images


def cells(picture: np.ndarray, colour: str) -> float:
    """Number of faces with a frame of this colour."""
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
    # Disgust alone has copies, three of each of two originals; the others have 8 and 20 faces.
    assert cells(picture, sheet.BLUE) == 8 + 2 + 5 * 10
    assert cells(picture, sheet.ORANGE) == 6
    first_line = sheet.TITLE + sheet.HEADING
    second_line = first_line + sheet.CELL + sheet.HEADING
    assert np.array_equal(face_in(picture, sheet.MARGIN, first_line), images[0] & 0xFC)
    assert np.array_equal(face_in(picture, sheet.MARGIN, second_line), images[8] & 0xFC)
    shown = face_in(picture, sheet.MARGIN + sheet.CELL, second_line)
    assert any(np.array_equal(shown, image & 0xFC) for image in images[110:])


@pytest.mark.parametrize("strategy", ["none", "undersample"])
def test_title_of_a_contact_sheet_of_originals_alone(strategy, tmp_path):
    picture, _ = drawn(strategy, tmp_path / "sheet.png")
    assert cells(picture, sheet.ORANGE) == 0
    assert cells(picture, sheet.BLUE) > 2 + 6 * 4
    assert not (picture[: sheet.TITLE] == 255).all()


def test_contact_sheet_leaves_room_for_an_emotion_without_faces():
    images, labels, row = random_faces([0, 2, 3])
    figure = contact_sheet(TrainingSet(images, labels, row, np.zeros(3, bool)))
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "Originals only: no copies were made"
    assert "0 originals, none added" in texts
