"""What FER+'s votes on a face say of its FER-2013 label: `python -m experiments.vote_reader`.

A multinomial logistic regression from the shares of ten people's votes (Barsoum et al., 2016, MIT
licence) to FER-2013's label, fitted on Training. Writes experiments/teachers/ferplus_votes.npz, the
probabilities of Training's rows, and ferplus_votes.json, its metrics on PublicTest. The votes on
other splits are used for these metrics alone. FERPLUS_CSV names a local copy of the votes.
"""

import hashlib
import logging
import os
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from experiments.settings import load_experiments
from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts, write_metrics
from stages.dataset.faces import SPLITS, Faces
from stages.dataset.ferplus import Votes, read_votes
from stages.errors import UserError
from stages.teachers import VOTES

FIRST_ROW = 2
"""Number of the first row in `Faces.row`: line 1 of the CSV names the columns."""

log = logging.getLogger(__name__)


def main() -> None:
    """Fit the regression, write Training's probabilities and the metrics on PublicTest."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        local = os.environ.get("FERPLUS_CSV")
        write_vote_reader(read_votes(local and Path(local)))
    except UserError as error:
        sys.exit(f"error: {error}")


def write_vote_reader(votes: list[Votes]) -> None:
    """Write ferplus_votes.npz and ferplus_votes.json into experiments/teachers.

    Raises
    ------
    UserError
        A file of the dataset is missing, or the votes are of other rows.
    """
    faces = Faces.read(Artifacts(load_experiments().dataset).data / "faces.npz")
    training, public = faces.of_split("Training"), faces.of_split("PublicTest")
    counts = vote_counts(votes, training)
    regression = fit_vote_reader(counts, training.labels)
    with written_atomically(VOTES) as temporary:
        probabilities = regression.predict_proba(vote_features(counts))
        with temporary.open("wb") as file:
            np.savez_compressed(
                file, row=training.row, probabilities=probabilities.astype(np.float16)
            )
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    predicted = regression.predict(vote_features(vote_counts(votes, public)))
    write_metrics(
        VOTES.with_suffix(".json"),
        {
            "parameters": regression.coef_.size + regression.intercept_.size,
            "sha256": digest,
            "accuracy": accuracy_score(public.labels, predicted),
            "macro_f1": f1_score(public.labels, predicted, average="macro"),
        },
    )
    log.info("votes of FER+: SHA-256 %s", digest[:12])


def vote_counts(votes: list[Votes], faces: Faces) -> np.ndarray:
    """Numbers of votes on each face.

    Returns
    -------
    float64 [N, 10]
        In the order of `ferplus.COLUMNS`: first for the seven emotions of FER-2013.

    Raises
    ------
    UserError
        A row has no votes, or those of another split.
    """
    of_faces = [votes[row - FIRST_ROW] for row in faces.row if row - FIRST_ROW < len(votes)]
    if [SPLITS[split] for split in faces.split] != [vote.usage for vote in of_faces]:
        raise UserError(
            "the votes of FER+: their rows are not those of FER-2013; get the whole file again"
        )
    return np.array([vote.counts for vote in of_faces], np.float64)


def fit_vote_reader(counts: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """Fit the regression from `vote_features` to labels, uint8 [N]."""
    return LogisticRegression(max_iter=2000).fit(vote_features(counts), labels)


def vote_features(counts: np.ndarray) -> np.ndarray:
    """Shares of the votes, and their square roots: float64 [N, 20], 0 … 1."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.hstack([shares, np.sqrt(shares)])


if __name__ == "__main__":
    main()
