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
    regression = LogisticRegression(max_iter=2000)
    regression.fit(vote_features(votes, training), training.labels)
    with written_atomically(VOTES) as temporary:
        probabilities = regression.predict_proba(vote_features(votes, training))
        with temporary.open("wb") as file:
            np.savez_compressed(
                file, row=training.row, probabilities=probabilities.astype(np.float16)
            )
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    predicted = regression.predict(vote_features(votes, public))
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


def vote_features(votes: list[Votes], faces: Faces) -> np.ndarray:
    """Shares of the ten kinds of votes on each face, and their square roots.

    Returns
    -------
    float64 [N, 20], 0 … 1.

    Raises
    ------
    UserError
        A row has no votes, or those of another split.
    """
    of_faces = [votes[row - FIRST_ROW] for row in faces.row if row - FIRST_ROW < len(votes)]
    if [SPLITS[split] for split in faces.split] != [vote.usage for vote in of_faces]:
        raise UserError("FERPLUS_CSV: its rows are not those of FER-2013; get the whole file again")
    counts = np.array([vote.counts for vote in of_faces], np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.hstack([shares, np.sqrt(shares)])


if __name__ == "__main__":
    main()
