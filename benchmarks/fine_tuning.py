"""Measure what fine-tuning is worth: small sets of FER+ faces, from scratch and fine-tuned.

    python -m benchmarks.fine_tuning fer2013
    python -m benchmarks.fine_tuning fer2013 --init model.keras --faces 100 --seeds 0 --epochs 1

Draws faces from FER+'s Training split, balances them and trains on them by `params/own.yaml`, and
measures the network of the last epoch on PublicTest. PrivateTest is not read. Fine-tuning starts
from the trainable weights of the dataset that is named, or from the file `--init`.

Each finished run is a row of `benchmarks/fine_tuning.csv`; a command that was stopped goes on with
the runs that are missing. The page `benchmarks/fine_tuning.md` has the rows of these weights and of
this number of epochs. Both need data/ferplus/faces.npz, which `dvc repro` makes for that dataset.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.metrics import accuracy_score, f1_score

from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import write_results
from stages import parameters
from stages.artifacts import Artifacts
from stages.balancing.strategies import balance
from stages.dataset.faces import Faces
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table
from stages.parameters import Parameters, load_parameters, read_yaml
from stages.training import trainer
from stages.training.data import prepare_training_data
from stages.training.initial_weights import read_initial_weights

RESULT = Path(__file__).with_suffix(".csv")
FACES = (100, 300, 1000, 3000)
SEEDS = (0, 1, 2)
WAYS = {
    "scratch": "from scratch, small network",
    "scratch_same_network": "from scratch, same network",
    "fine_tuned": "fine-tuned",
}
METRICS = ("accuracy", "macro_f1")
LEAST = 2
"""Faces of each emotion in every drawn set."""
VALIDATION = 100
"""Faces of PublicTest that each epoch is validated on; they choose nothing."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """What fine-tuning starts from."""

    dataset: str
    init: str
    """The file, or the dataset, as `train.init.weights.from`."""
    sha256: str
    """First digits of the file's SHA-256."""


@dataclass(frozen=True)
class Row:
    """One training and its results."""

    way: str
    faces: int
    seed: int
    epochs: int
    weights: str
    """First digits of the SHA-256 of the file that fine-tuning starts from."""
    accuracy: float
    """On PublicTest, of the last epoch, as the next one."""
    macro_f1: float
    cpu_minutes: float
    model: str
    code: str
    machine: str


def draw(faces: Faces, count: int, seed: int) -> Faces:
    """Draw faces at random, with at least LEAST of each emotion.

    The sets of a seed contain each other: the one of 300 has all faces of the one of 100.
    """
    order = np.random.default_rng(seed).permutation(len(faces.labels))
    labels = faces.labels[order]
    rank = np.zeros(len(order), int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange(np.count_nonzero(labels == label))
    rare_first = order[np.argsort(rank >= LEAST, kind="stable")]
    return faces.take(np.sort(rare_first[:count]))


def settings_of(way: str, source: Source, seed: int, epochs: int | None) -> Parameters:
    """`params/own.yaml` with the changes of a way, one of WAYS."""
    own = load_parameters("own")
    last = own.train.selection.model_copy(update={"monitor": "epoch", "patience": None})
    changes: dict[str, object] = {"seed": seed, "selection": last}
    if epochs is not None:
        changes["epochs"] = epochs
    if way != "scratch":
        changes["network"] = load_parameters(source.dataset).train.network
    if way == "fine_tuned":
        changes["init"] = initial(source.init)
    return own.model_copy(update={"train": own.train.model_copy(update=changes)})


def initial(init: str) -> parameters.InitialWeights:
    """The settings of fine-tuning that `params/own.yaml` has, for these weights."""
    document, _ = read_yaml(Path("params/own.yaml"))
    settings = document["train"]["init"]["weights"] | {"name": "weights", "from": init}
    return parameters.InitialWeights.model_validate(settings)


def train(settings: Parameters, training: Faces, public: Faces) -> tuple[float, float, float]:
    """Balance and train as the stages do.

    Returns
    -------
    accuracy, macro_f1 : float
        Of the last epoch on PublicTest, which has selected nothing.
    cpu_minutes : float
        CPU time of the training on all cores, balancing left out.
    """
    with parallel_config(n_jobs=-1):
        balanced = balance(training, settings.balance)
    # A person's own photos have labels, no votes.
    few = draw(public, VALIDATION, seed=0)
    data = prepare_training_data(replace(balanced, votes=None), few, settings.train)
    start = time.process_time()
    network, _ = trainer.train(data, settings.train)
    cpu_minutes = (time.process_time() - start) / 60
    size = settings.train.resolutions[-1].size
    predicted = trainer.predict_probabilities(network, public.images, size).argmax(axis=1)
    return (
        float(accuracy_score(public.labels, predicted)),
        float(f1_score(public.labels, predicted, average="macro", zero_division=0)),
        cpu_minutes,
    )


def measure(
    faces: Faces,
    source: Source,
    provenance: Provenance,
    counts: Sequence[int],
    seeds: Sequence[int],
    epochs: int | None,
    result: Path,
) -> None:
    """Train what `result` lacks, and write it and the page beside it after each training."""
    training, public = faces.of_split("Training"), faces.of_split("PublicTest")
    rows = read_rows(result)
    done = {(row.way, row.faces, row.seed, row.epochs, row.weights) for row in rows}
    for count in counts:
        for seed in seeds:
            for way in WAYS:
                settings = settings_of(way, source, seed, epochs)
                run = (way, count, seed, settings.train.epochs, source.sha256)
                if run in done:
                    continue
                log.info("%s, %d faces, seed %d", WAYS[way], count, seed)
                measured = train(settings, draw(training, count, seed), public)
                rows.append(Row(*run, *measured, **vars(provenance)))
                write_results(result, rows, page(rows))
                log.info("accuracy %.3f, macro-F1 %.3f, %.1f CPU minutes", *measured)
    write_results(result, rows, page(rows))


def read_rows(result: Path) -> list[Row]:
    """The rows of an earlier command, or none."""
    if not result.exists():
        return []
    return [Row(**row) for row in pd.read_csv(result, dtype={"weights": str}).to_dict("records")]


def page(rows: Sequence[Row]) -> str:
    """Format the rows with the weights and the epochs of the last one."""
    last = rows[-1]
    table = pd.DataFrame(
        [asdict(row) for row in rows if (row.weights, row.epochs) == (last.weights, last.epochs)]
    )
    lines = []
    for (count, way), runs in table.groupby(["faces", "way"], sort=False):
        cells = [
            f"{runs[key].mean():.3f}"
            + f" ({runs[key].min():.3f} – {runs[key].max():.3f})" * (len(runs) > 1)
            for key in METRICS
        ]
        lines.append(
            [f"{count:,}", WAYS[way], *cells, f"{runs['cpu_minutes'].mean():.1f}", len(runs)]
        )
    sources = table[["model", "code", "machine"]].drop_duplicates().to_dict("records")
    parts = [
        opening("Fine-tuning on small sets", [("the weights", Provenance(**s)) for s in sources]),
        "Made by `python -m benchmarks.fine_tuning`. Sets drawn from FER+'s Training faces,"
        f" at least {LEAST} of each emotion, trained by `params/own.yaml` for {last.epochs} epochs"
        " with the labels of the majority. Accuracy and macro-F1 of the last epoch on FER+'s"
        " PublicTest: mean, and smallest to largest of the seeds. PublicTest selects no epoch here;"
        " PrivateTest is not read. The small network is that of `params/own.yaml`, the same network"
        " that of the weights. CPU minutes are those of the training alone, summed over the cores.",
        markdown_table(
            ["faces", "training", "accuracy", "macro-F1", "CPU minutes", "seeds"], lines, 2
        ),
        "The weights come from a training on all of FER-2013's Training faces, the drawn ones among"
        " them, with the labels of FER-2013, the votes of FER+, or both. Other faces, for instance"
        " of another camera, differ more from those: fine-tuning may be worth less there.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure, and write the CSV file and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="whose network and weights, for instance fer2013")
    parser.add_argument("--init", help="a .keras file of that network in place of the dataset's")
    parser.add_argument("--faces", type=int, nargs="+", default=FACES, help="sizes of the sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--epochs", type=int, help="in place of those of params/own.yaml")
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file to write")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    trainer.make_repeatable()
    try:
        faces = Faces.read(Artifacts("ferplus").data / "faces.npz")
        init = arguments.init or arguments.dataset
        network = load_parameters(arguments.dataset).train
        read = read_initial_weights(network.model_copy(update={"init": initial(init)}))
        assert read is not None
        source = Source(arguments.dataset, init, read.sha256[:12])
        measure(
            faces,
            source,
            here(arguments.dataset),
            arguments.faces,
            arguments.seeds,
            arguments.epochs,
            arguments.result,
        )
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
