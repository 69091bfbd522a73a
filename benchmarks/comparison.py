"""Compare our models with the package `fer` on FER-2013's PrivateTest.

    python -m benchmarks.comparison
    python -m benchmarks.comparison fer2013

Writes `benchmarks/comparison.csv` and, from it, the page `benchmarks/comparison.md`; takes two to
three minutes on an idle machine. Linux only. `fer` is installed into a temporary environment, with
the versions of TensorFlow, NumPy and OpenCV that this project uses and without the dependencies
that its classifier does not import (`--without-fer` leaves `fer` out).

The images of PrivateTest are crops of faces, so no detector takes part. The results are reported
only: nothing is chosen by them. Every process runs on one core with one thread, and each candidate
in its own processes (`benchmarks/candidate.py`):

- Accuracy, macro-F1 and lowest recall of a class: of all faces, with the 95 % intervals that
  `evaluate` computes.
- Milliseconds per face: from the 48×48 face to its probabilities, one face per call, of 1,000 faces
  after 100 faces of warm-up. The column "relative to fer" divides the median by that of `fer`, its
  default, in the same run; it depends less on the machine.
- Peak memory: the kernel's record (VmHWM) of a process that imported, loaded and classified 100
  faces, one by one.
- Import: median of five fresh interpreters after one that is not counted, without the start of
  Python itself.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, recall_score

from benchmarks.candidate import WARM_UP
from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import write_results
from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from stages.artifacts import Artifacts
from stages.dataset.faces import Faces
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table
from stages.evaluation.metrics import bootstrap_intervals

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).with_suffix(".csv")
FACES = Path("data", "fer2013", "faces.npz")
FER = "25.10.3"
FER_NEEDS = ("tensorflow", "opencv-python-headless", "requests", "pillow")
FER_NETWORKS = {
    "its default, quantised TFLite": "emotion_model_quantized.tflite",
    "its Keras network": "emotion_model.hdf5",
}
FER_DEFAULT = f"`fer`, {next(iter(FER_NETWORKS))}"
IMPORTS = {
    "recognizer": "from recognizer.classifier import Classifier",
    "fer": "from fer.fer import FER",
}
"""The import whose time is measured, by package."""


@dataclass(frozen=True)
class Candidate:
    """A network and the package that runs it; `model` is a file, or its name in the package."""

    name: str
    version: str
    python: Path
    package: str
    model: str


@dataclass(frozen=True)
class Row:
    """One line of the CSV file."""

    name: str
    version: str
    file_mb: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    min_recall: float
    median_ms: float
    p95_ms: float
    peak_mib: float
    import_seconds: float
    times_fer: float | None = None


# ---------------------------------------------------------------- the candidates


def our_models(datasets: list[str]) -> list[Candidate]:
    """Check the models of the named datasets before anything is measured."""
    found = []
    for dataset in datasets:
        path = Artifacts(dataset).models / "model.onnx"
        if not path.exists():
            sys.exit(
                f"error: {path}: not found; `dvc repro` makes it where params.yaml lists {dataset}"
                " among its datasets, or name only datasets that have a model"
            )
        try:
            classifier = Classifier(path)
        except ModelError as error:
            sys.exit(f"error: {error}")
        if missing := set(EMOTIONS) - set(classifier.labels):
            sys.exit(
                f"error: {path}: it does not know {', '.join(sorted(missing))}; only a model of"
                f" FER-2013's {len(EMOTIONS)} emotions can be compared here"
            )
        python = Path(sys.executable)
        version = classifier.version[:12]
        found.append(Candidate(dataset, version, python, "recognizer", str(path.resolve())))
    return found


def install_fer(folder: Path) -> list[Candidate]:
    """Make an environment with `fer`; return both of its networks."""
    uv, python = Path(sys.prefix, "bin", "uv"), folder / "bin" / "python"
    if not uv.exists():
        sys.exit(f"error: {uv}: not found; install requirements/development.txt")
    install = [uv, "pip", "install", "-q", "--python", python]
    locked = ROOT / "requirements" / "development.txt"
    try:
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        subprocess.run([*install, "--constraints", locked, *FER_NEEDS], check=True)
        # fer imports pkg_resources, which later versions of setuptools no longer have.
        subprocess.run([*install, "--no-deps", f"fer=={FER}", "setuptools==80.9.0"], check=True)
    except subprocess.CalledProcessError:
        sys.exit("error: the environment of fer cannot be made: see above; does the network work?")
    return [
        Candidate(f"`fer`, {what}", FER, python, "fer", model)
        for what, model in FER_NETWORKS.items()
    ]


def private_test() -> tuple[np.ndarray, np.ndarray]:
    """PrivateTest as validation kept it: images uint8 [N, 48, 48] and labels uint8 [N]."""
    try:
        private = Faces.read(FACES).of_split("PrivateTest")
    except UserError as error:
        sys.exit(f"error: {error}")
    return private.images, private.labels


# ---------------------------------------------------------------- measuring


def run_on_one_core(candidate: Candidate, *command: str | Path) -> str:
    """Run the candidate's Python on one core; return what it prints."""
    core = max(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "--cpu-list", str(core), candidate.python, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"error: {candidate.name} fails\n{done.stderr}")
    return done.stdout


def import_seconds(candidate: Candidate) -> float:
    """Median of five imports in fresh interpreters, after one that fills caches."""
    statement = IMPORTS[candidate.package]
    code = (
        f"import time; start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    )
    times = [float(run_on_one_core(candidate, "-c", code).split()[-1]) for _ in range(6)]
    return median(times[1:])


def measure(
    candidate: Candidate, faces: Path, timed: int, folder: Path
) -> tuple[np.ndarray, dict[str, float]]:
    """Run a candidate on all faces.

    Returns
    -------
    float [N, 7]
        Its probabilities of `EMOTIONS`, in that order, whose sum is 1.
    dict
        `file_mb`, `median_ms`, `p95_ms`, `peak_mib`.
    """
    result = folder / "result.npz"
    arguments = [candidate.package, candidate.model, faces, result, f"--timed={timed}"]
    run_on_one_core(candidate, "-m", "benchmarks.candidate", *arguments)
    with np.load(result) as found:
        order = [found["labels"].tolist().index(emotion) for emotion in EMOTIONS]
        probabilities = found["probabilities"][:, order]
        return probabilities / probabilities.sum(axis=1, keepdims=True), {
            "file_mb": found["file_bytes"] / 1e6,
            "median_ms": 1000 * float(np.median(found["seconds"])),
            "p95_ms": 1000 * float(np.percentile(found["seconds"], 95)),
            "peak_mib": found["peak_bytes"] / 2**20,
        }


def quality(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-F1 and the lowest recall, the first two with their 95 % intervals."""
    predicted = probabilities.argmax(axis=1)
    metrics = {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro"),
        "min_recall": recall_score(labels, predicted, average=None).min(),
    }
    intervals = bootstrap_intervals(labels, probabilities, EMOTIONS, resamples=1000, seed=0)
    for name in ("accuracy", "macro_f1"):
        metrics[f"{name}_low"], metrics[f"{name}_high"] = intervals[name]
    return metrics


def compare(
    candidates: list[Candidate], images: np.ndarray, labels: np.ndarray, timed: int, folder: Path
) -> list[Row]:
    """Measure one candidate after the other."""
    faces = folder / "faces.npy"
    np.save(faces, images)
    imports = {}
    rows = []
    for candidate in candidates:
        print(f"{candidate.name} …", file=sys.stderr)
        if candidate.package not in imports:
            imports[candidate.package] = import_seconds(candidate)
        probabilities, costs = measure(candidate, faces, timed, folder)
        rows.append(
            Row(
                candidate.name,
                candidate.version,
                import_seconds=imports[candidate.package],
                **costs,
                **quality(labels, probabilities),
            )
        )
    return relative_to_fer(rows)


def relative_to_fer(rows: list[Row]) -> list[Row]:
    """Set `times_fer` of each row if `fer`, its default, is among the rows."""
    for fer in rows:
        if fer.name == FER_DEFAULT:
            return [replace(row, times_fer=row.median_ms / fer.median_ms) for row in rows]
    return rows


# ---------------------------------------------------------------- the page


def table(rows: list[Row]) -> str:
    """Format one line per model."""
    headers = (
        *("model", "version", "accuracy (95 %)", "macro-F1 (95 %)", "lowest recall"),
        *("ms a face", "p95 ms", "relative to fer", "peak MiB", "import s", "file MB"),
    )
    cells = [
        (
            row.name,
            f"`{row.version}`",
            f"{row.accuracy:.4f} ({row.accuracy_low:.3f}–{row.accuracy_high:.3f})",
            f"{row.macro_f1:.4f} ({row.macro_f1_low:.3f}–{row.macro_f1_high:.3f})",
            f"{row.min_recall:.3f}",
            f"{row.median_ms:.2f}",
            f"{row.p95_ms:.2f}",
            "–" if row.times_fer is None else f"{row.times_fer:.2f}",
            f"{row.peak_mib:.0f}",
            f"{row.import_seconds:.2f}",
            f"{row.file_mb:.2f}",
        )
        for row in rows
    ]
    return markdown_table(headers, cells, text_columns=2)


def page(rows: list[Row], timed: int, sources: dict[str, Provenance]) -> str:
    """Format the first block, the table and what its columns mean."""
    parts = [
        opening("Comparison with the package fer", sources.items()),
        f"Made by `python -m benchmarks.comparison {' '.join(sources)}`, on one core and with one"
        " thread. On FER-2013's PrivateTest, whose images are crops of faces: no detector takes"
        " part. Nothing was chosen by these results.",
        table(rows),
        f"`ms a face` is the median and `p95 ms` the 95th percentile of {timed:,} faces, one per"
        " call; `relative to fer` divides the median by that of `fer`, its default. Peak memory is"
        f" that of a process that imports, loads and classifies {WARM_UP} faces.",
        "All are measured on FER-2013's labels, also a model that was trained on others, as"
        " `ferplus` on the votes of FER+: its further emotions are left out.",
        "The faces go directly to the classifier of `fer`, without its detector and without the"
        " rounding of its scores. Its probabilities are matched with our labels by name.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure all candidates and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "datasets",
        nargs="*",
        metavar="DATASET",
        default=["fer2013", "fer2013-small", "ferplus"],
        help="compare models/DATASET/model.onnx (default: fer2013 fer2013-small ferplus)",
    )
    parser.add_argument("--without-fer", action="store_true")
    parser.add_argument("--timed", type=int, default=1000, help="faces that are timed")
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file")
    arguments = parser.parse_args()
    images, labels = private_test()
    if not 1 <= arguments.timed <= len(images) - WARM_UP:
        sys.exit(f"error: --timed {arguments.timed}: expected 1 … {len(images) - WARM_UP}")
    candidates = our_models(arguments.datasets)
    sources = {dataset: here(dataset) for dataset in arguments.datasets}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not arguments.without_fer:
            candidates += install_fer(folder / "fer")
        rows = compare(candidates, images, labels, arguments.timed, folder)
    write_results(arguments.result, rows, page(rows, arguments.timed, sources))
    print(arguments.result.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
