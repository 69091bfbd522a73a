"""The reader of FER+'s votes learns from Training alone, and writes what train reads."""

import hashlib
import json

import numpy as np
import pytest

from experiments.vote_reader import write_vote_reader
from stages.dataset.faces import Faces
from stages.dataset.ferplus import Votes
from stages.errors import UserError
from stages.parameters import VoteLabels
from stages.teachers import VOTES
from stages.training.vote_labels import read_vote_labels
from tests.experiments.test_teacher import write_repository


def votes_on(faces: Faces) -> list[Votes]:
    """Eight of ten votes for the label; of PublicTest's faces all for another."""
    votes = []
    for split, label in zip(faces.split, faces.labels, strict=True):
        counts = [0] * 10
        counts[label if split == 0 else (label + 1) % 7] = 8
        counts[9] = 2
        votes.append(Votes(("Training", "PublicTest", "PrivateTest")[split], tuple(counts)))
    return votes


@pytest.fixture
def faces(tmp_path, monkeypatch) -> Faces:
    write_repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    return Faces.read(tmp_path / "data/tiny/faces.npz")


def test_the_votes_on_training_faces_give_their_labels(faces):
    write_vote_reader(votes_on(faces))
    metrics = json.loads(VOTES.with_suffix(".json").read_text())
    digest = hashlib.sha256(VOTES.read_bytes()).hexdigest()
    assert metrics["sha256"] == digest
    # The votes on PublicTest all name another emotion, and nothing was learned from them.
    assert metrics["accuracy"] == 0
    training = faces.of_split("Training")
    declared = VoteLabels(share=1, sha256=digest[:12])
    probabilities = read_vote_labels(declared, training.row[::-1])
    assert np.array_equal(probabilities.argmax(axis=1), training.labels[::-1])
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    first = VOTES.read_bytes()
    write_vote_reader(votes_on(faces))
    assert VOTES.read_bytes() == first
    with pytest.raises(UserError, match="no votes on row 2; it is for FER-2013 alone"):
        read_vote_labels(declared, faces.of_split("PublicTest").row)


def test_votes_of_other_rows_are_refused(faces):
    votes = votes_on(faces)
    for others in (votes[::-1], votes[:-1]):
        with pytest.raises(UserError, match="their rows are not those of FER-2013"):
            write_vote_reader(others)
    assert not VOTES.exists()
