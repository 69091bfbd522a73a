"""Ask ten other people: compare FER-2013's labels and the model with the votes of FER+.

    python -m benchmarks.ferplus fer2013new.csv

The file is FER+'s (Barsoum et al., Training Deep Networks for Facial Expression Recognition
with Crowd-Sourced Label Distribution, 2016; the repository FERPlus of Microsoft on GitHub): one
row per row of FER-2013's CSV, in its order, with the votes of ten people on the same images.
Nothing is trained with them but the linear reader below, and PrivateTest stays closed.

Writes `benchmarks/ferplus.md`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from tabulate import tabulate

from recognizer.atomic_file import written_atomically
from recognizer.classifier import Classifier
from stages.artifacts import Artifacts
from stages.dataset.faces import EMOTIONS, SPLITS

PAGE = Path(__file__).with_name("ferplus.md")

COLUMNS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""FER+'s names of the seven emotions, in FER-2013's order."""

OTHERS = ("contempt", "unknown", "NF")
"""What else could be voted for; NF is `not a face`."""


def read_votes(path: Path, faces: dict[str, np.ndarray]) -> np.ndarray:
    """Read the votes of the faces that validation kept.

    Returns
    -------
    float64 [N, 10]
        Votes for the seven emotions and the three others.
    """
    votes = pd.read_csv(path)
    expected = {*COLUMNS, *OTHERS, "Usage"}
    if missing := expected - set(votes.columns):
        sys.exit(f"error: {path}: no column {', '.join(sorted(missing))}; is this FER+'s file?")
    # Row 2 of the CSV is the first after the header.
    index = faces["row"] - 2
    if index.max() >= len(votes):
        sys.exit(f"error: {path}: {len(votes):,} rows, but FER-2013 has more; take the whole file")
    usage = votes["Usage"].to_numpy()[index]
    if (usage != np.array(SPLITS)[faces["split"]]).any():
        sys.exit(f"error: {path}: its rows are not those of raw.csv: the splits differ")
    return votes[[*COLUMNS, *OTHERS]].to_numpy(float)[index]


def agreement(faces: dict[str, np.ndarray], votes: np.ndarray, classifier: Classifier) -> str:
    """Compare labels, votes and model on PublicTest, as Markdown."""
    labels, training = faces["labels"], faces["split"] == SPLITS.index("Training")
    public = faces["split"] == SPLITS.index("PublicTest")
    shares = votes / votes.sum(axis=1, keepdims=True).clip(1)
    # What the best reader of ten votes would say of the label.
    reader = LogisticRegression(max_iter=2000).fit(shares[training], labels[training])
    read = reader.predict(shares[public])
    majority = votes[public, : len(EMOTIONS)].argmax(axis=1)
    said = classifier.predict(faces["images"][public]).argmax(axis=1)
    truth = labels[public]
    without = votes[public, truth] == 0
    rows = [
        ["the emotion most voted for is the label", _percent(majority == truth)],
        ["the label got not a single vote", _percent(without)],
        ["the model is right by the label", _percent(said == truth)],
        ["the model says the emotion most voted for", _percent(said == majority)],
        ["… where the label is another", _percent((said == majority)[majority != truth])],
        ["a linear reader of all ten votes finds the label", _percent(read == truth)],
    ]
    figures = tabulate(rows, headers=["of PublicTest's faces", ""], tablefmt="github")
    by_class = tabulate(
        [
            [
                emotion,
                _percent((majority == truth)[truth == k]),
                _percent((read == truth)[truth == k]),
                _percent((said == truth)[truth == k]),
            ]
            for k, emotion in enumerate(EMOTIONS)
        ],
        headers=["label", "most voted for", "linear reader", "the model"],
        tablefmt="github",
    )
    macro = {
        name: f1_score(truth, guesses, average="macro")
        for name, guesses in (("the reader of votes", read), ("the model", said))
    }
    return "\n\n".join(
        [
            figures,
            "How often each finds the label, by label:",
            by_class,
            f"Macro-F1 against the labels: {macro['the reader of votes']:.3f} for the reader of "
            f"votes, {macro['the model']:.3f} for the model. The reader knows what ten people said "
            f"of the very image; with accuracy {accuracy_score(truth, read):.3f} it shows how much "
            "of the label is in the picture at all. What a model gains beyond it, it gains by "
            "learning how FER-2013 was labelled, not by seeing more.",
        ]
    )


def _percent(hits: np.ndarray) -> str:
    return f"{100 * hits.mean():.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("votes", type=Path, help="FER+'s fer2013new.csv")
    path = parser.parse_args().votes
    if not path.exists():
        sys.exit(f"error: {path}: not found; fer2013new.csv is in Microsoft's FERPlus repository")
    files = Artifacts("fer2013")
    with np.load(files.data / "faces.npz") as arrays:
        faces = dict(arrays)
    classifier = Classifier(files.models / "model.onnx", threads=2)
    text = agreement(faces, read_votes(path, faces), classifier)
    with written_atomically(PAGE) as temporary:
        temporary.write_text(
            "# What ten other people say of FER-2013's labels\n\nMade by `python -m "
            "benchmarks.ferplus fer2013new.csv` with the votes of FER+; `benchmarks/ferplus.py` "
            f"says how. Model version `{classifier.version[:12]}`.\n\n{text}\n"
        )


if __name__ == "__main__":
    main()
