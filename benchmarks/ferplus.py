"""Compare FER-2013's labels and the released model with the votes of FER+.

    python -m benchmarks.ferplus fer2013new.csv

The file is that of FER+ (Barsoum et al., Training Deep Networks for Facial Expression Recognition
with Crowd-Sourced Label Distribution, 2016; the repository FERPlus of Microsoft on GitHub): one row
per row of FER-2013's CSV, in the same order, with the votes of ten people on the image.

A logistic regression from the votes to FER-2013's labels, fitted on Training, estimates how well
the labels can be predicted from what ten people see. PrivateTest is not opened.

Writes `benchmarks/ferplus.md`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from benchmarks.provenance import here, opening
from experiments.vote_reader import fit_vote_reader, vote_counts, vote_features
from recognizer.atomic_file import written_atomically
from recognizer.classifier import Classifier
from stages.artifacts import Artifacts
from stages.dataset import ferplus
from stages.dataset.faces import SPLITS, Faces
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table

PAGE = Path(__file__).with_suffix(".md")


def agreement_table(
    labels: np.ndarray, votes: np.ndarray, from_votes: np.ndarray, predicted: np.ndarray
) -> str:
    """Format how often labels, votes and the model agree; all arrays are of PublicTest."""
    majority = votes[:, : len(EMOTIONS)].argmax(axis=1)
    rows = [
        ["the label has the most votes", majority == labels],
        ["the label has no vote", votes[np.arange(len(labels)), labels] == 0],
        ["the model predicts the label", predicted == labels],
        ["the model predicts the emotion with the most votes", predicted == majority],
        ["… where the label is another one", (predicted == majority)[majority != labels]],
        ["the regression on all ten votes predicts the label", from_votes == labels],
    ]
    cells = [[what, f"{share.mean():.1%}"] for what, share in rows]
    return markdown_table(["", "faces of PublicTest"], cells)


def recall_table(
    labels: np.ndarray, votes: np.ndarray, from_votes: np.ndarray, predicted: np.ndarray
) -> str:
    """Format the recall of each label; all arrays are of PublicTest."""
    majority = votes[:, : len(EMOTIONS)].argmax(axis=1)
    predictions = majority, from_votes, predicted
    cells = [
        [emotion, *(f"{(found == labels)[labels == k].mean():.1%}" for found in predictions)]
        for k, emotion in enumerate(EMOTIONS)
    ]
    return markdown_table(["recall of", "most votes", "regression on votes", "model"], cells)


def page(
    labels: np.ndarray, votes: np.ndarray, from_votes: np.ndarray, predicted: np.ndarray
) -> str:
    """Format the results; all arrays are of PublicTest."""
    arrays = labels, votes, from_votes, predicted
    regression, model = (f1_score(labels, found, average="macro") for found in arrays[2:])
    parts = [
        opening("Votes of FER+ on FER-2013's labels", [("fer2013", here("fer2013"))]),
        "Made by `python -m benchmarks.ferplus fer2013new.csv` from the votes of FER+, ten people"
        " per image.",
        agreement_table(*arrays),
        recall_table(*arrays),
        f"Macro-F1 against the labels: {regression:.3f} for the regression, {model:.3f} for the"
        " model. The regression has the votes of ten people on the same image as its input, and an"
        f" accuracy of {accuracy_score(labels, from_votes):.3f}. A model with a higher accuracy has"
        " also learnt how FER-2013 was labelled: its accuracy on FER-2013 overstates how often"
        " people would agree with it.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Compare, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("votes", type=Path, help="FER+'s fer2013new.csv")
    path = parser.parse_args().votes
    files = Artifacts("fer2013")
    try:
        faces = Faces.read(files.data / "faces.npz")
        votes = vote_counts(ferplus.read_votes(path), faces)
    except UserError as error:
        sys.exit(f"error: {error}")
    public = faces.split == SPLITS.index("PublicTest")
    training = faces.split == SPLITS.index("Training")
    regression = fit_vote_reader(votes[training], faces.labels[training])
    from_votes = regression.predict(vote_features(votes[public]))
    classifier = Classifier(files.models / "model.onnx")
    predicted = classifier.predict(faces.images[public]).argmax(axis=1)
    text = page(faces.labels[public], votes[public], from_votes, predicted)
    with written_atomically(PAGE) as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    main()
