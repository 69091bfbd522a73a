"""Compare our models with those of other packages on FER-2013's PrivateTest.

    npm ci --prefix benchmarks/other_classifiers --ignore-scripts
    python -m benchmarks.comparison
    python -m benchmarks.comparison fer2013 --without human --without face-api

Writes `benchmarks/comparison.csv` and, from it, the page `benchmarks/comparison.md`; takes about
five minutes on an idle machine. Linux only. The other packages:

- `fer` is installed into a temporary environment, with the versions of TensorFlow, NumPy and OpenCV
  that this project uses and without the dependencies that its classifier does not import.
- `@vladmandic/human` and `@vladmandic/face-api` run under node. The first command installs them, in
  the versions of `benchmarks/other_classifiers/package-lock.json`.

The images of PrivateTest are crops of faces, so no detector takes part. The results are reported
only: nothing is chosen by them. Every process runs on one core with one thread, and each candidate
in its own processes (`benchmarks/candidate.py`, `benchmarks/other_classifiers/candidate.js`):

- Accuracy, macro-F1 and lowest recall of a class: of all faces, with the 95 % intervals that
  `evaluate` computes. Accuracy also without the train–test duplicates, and on these alone.
- Milliseconds per face: from the 48×48 face to its probabilities, one face per call, of 1,000 faces
  after 100 faces of warm-up. The column "relative to fer" divides the median by that of `fer`, its
  default, in the same run; it depends less on the machine.
- Peak memory: the kernel's record (VmHWM) of a process that imported, loaded and classified 100
  faces, one by one.
- Import: median of five fresh interpreters after one that is not counted, without the start of the
  interpreter itself.

`--timed 0` leaves out times and import, for a machine on which other programs run.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.candidate import WARM_UP
from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import as_written, write_results
from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from stages.artifacts import Artifacts
from stages.dataset.faces import Faces
from stages.dataset.fer2013 import EMOTIONS
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table
from stages.evaluation.metrics import bootstrap_intervals, classification_metrics

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
NODE_FOLDER = Path("benchmarks", "other_classifiers")
NODE_NAMES = {"human": "@vladmandic/human", "face-api": "@vladmandic/face-api"}
"""Packages that run under node: our short name, and the name in npm."""
IMPORTS = {
    "recognizer": "from recognizer.classifier import Classifier",
    "fer": "from fer.fer import FER",
    "human": f"require('./{NODE_FOLDER}/node_modules/@vladmandic/human/dist/human.node-wasm.js')",
    "face-api": (
        f"require('./{NODE_FOLDER}/node_modules/@vladmandic/face-api/dist/face-api.node-wasm.js')"
    ),
}
"""The import whose time is measured, by package."""
TIMED_BY_PYTHON = """
import time; start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""
TIMED_BY_NODE = """
const start = performance.now()
{statement}
console.log((performance.now() - start) / 1000)
"""


@dataclass(frozen=True)
class Candidate:
    """A network and the package that runs it."""

    name: str
    version: str
    package: str
    measure: tuple[str | Path, ...]
    """Command that measures the network, followed by faces, result and `--timed`."""
    time_import: tuple[str | Path, ...]
    """Command that prints the seconds of the package's import."""


@dataclass(frozen=True)
class Row:
    """One line of the CSV file."""

    name: str
    version: str
    file_mb: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    accuracy_deduplicated: float
    accuracy_duplicates: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    min_recall: float
    peak_mib: float
    median_ms: float | None = None
    p95_ms: float | None = None
    import_seconds: float | None = None
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
        version = classifier.version[:12]
        found.append(
            python_candidate(dataset, version, Path(sys.executable), "recognizer", path.resolve())
        )
    return found


def python_candidate(
    name: str, version: str, python: Path, package: str, model: str | Path
) -> Candidate:
    """A network that the given Python runs; `model` is a file, or its name in the package."""
    timed_import = TIMED_BY_PYTHON.format(statement=IMPORTS[package])
    measure = (python, "-m", "benchmarks.candidate", package, model)
    return Candidate(name, version, package, measure, (python, "-c", timed_import))


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
        python_candidate(f"`fer`, {what}", FER, python, "fer", model)
        for what, model in FER_NETWORKS.items()
    ]


def node_models(packages: list[str]) -> list[Candidate]:
    """Check that the packages are installed in their locked versions; return their networks."""
    if not packages:
        return []
    leave_out = f"leave out: {' '.join(f'--without {package}' for package in packages)}"
    node = shutil.which("node")
    if node is None:
        sys.exit(f"error: node: not found; install Node.js 20 or later, or {leave_out}")
    locked = json.loads((ROOT / NODE_FOLDER / "package-lock.json").read_text())["packages"]
    found = []
    for package in packages:
        folder = f"node_modules/{NODE_NAMES[package]}"
        version = locked[folder]["version"]
        description = ROOT / NODE_FOLDER / folder / "package.json"
        if not description.exists() or json.loads(description.read_text())["version"] != version:
            sys.exit(
                f"error: {NODE_FOLDER / folder}: version {version} is not installed; run"
                f" `npm ci --prefix {NODE_FOLDER} --ignore-scripts`, or {leave_out}"
            )
        measure = (node, NODE_FOLDER / "candidate.js", package)
        timed_import = TIMED_BY_NODE.format(statement=IMPORTS[package])
        name = f"`{NODE_NAMES[package]}`"
        found.append(Candidate(name, version, package, measure, (node, "-e", timed_import)))
    return found


def private_test() -> Faces:
    """PrivateTest as validation kept it."""
    try:
        return Faces.read(FACES).of_split("PrivateTest")
    except UserError as error:
        sys.exit(f"error: {error}")


# ---------------------------------------------------------------- measuring


def run_on_one_core(candidate: Candidate, *command: str | Path) -> str:
    """Run a command of the candidate on one core; return what it prints."""
    core = max(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "--cpu-list", str(core), *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"error: {candidate.name} fails\n{done.stderr}")
    return done.stdout


def import_seconds(candidate: Candidate) -> float:
    """Median of five imports in fresh interpreters, after one that fills caches."""
    times = [
        float(run_on_one_core(candidate, *candidate.time_import).split()[-1]) for _ in range(6)
    ]
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
        `file_mb`, `peak_mib` and, if faces were timed, `median_ms`, `p95_ms`.
    """
    result = folder / "result.json"
    run_on_one_core(candidate, *candidate.measure, faces, result, f"--timed={timed}")
    found = json.loads(result.read_text())
    order = [found["labels"].index(emotion) for emotion in EMOTIONS]
    probabilities = np.array(found["probabilities"])[:, order]
    costs = {"file_mb": found["file_bytes"] / 1e6, "peak_mib": found["peak_bytes"] / 2**20}
    if timed:
        costs["median_ms"] = 1000 * float(np.median(found["seconds"]))
        costs["p95_ms"] = 1000 * float(np.percentile(found["seconds"], 95))
    return probabilities / probabilities.sum(axis=1, keepdims=True), costs


def quality(
    labels: np.ndarray, duplicated: np.ndarray, probabilities: np.ndarray
) -> dict[str, float]:
    """Accuracy, macro-F1 and the lowest recall, the first two with their 95 % intervals.

    `duplicated`, bool [N], marks the train–test duplicates: `accuracy_deduplicated` leaves them
    out, `accuracy_duplicates` is of them alone.
    """
    found = classification_metrics(labels, probabilities, duplicated, EMOTIONS)
    names = ("accuracy", "accuracy_deduplicated", "macro_f1", "min_recall")
    metrics = {name: found[name] for name in names}
    correct = probabilities.argmax(axis=1) == labels
    metrics["accuracy_duplicates"] = correct[duplicated].mean()
    intervals = bootstrap_intervals(labels, probabilities, EMOTIONS, resamples=1000, seed=0)
    for name in ("accuracy", "macro_f1"):
        metrics[f"{name}_low"], metrics[f"{name}_high"] = intervals[name]
    return metrics


def compare(candidates: list[Candidate], private: Faces, timed: int, folder: Path) -> list[Row]:
    """Measure one candidate after the other; times only if faces are timed."""
    faces = folder / "faces.npy"
    np.save(faces, private.images)
    imports: dict[str, float] = {}
    rows = []
    for candidate in candidates:
        print(f"{candidate.name} …", file=sys.stderr)
        if timed and candidate.package not in imports:
            imports[candidate.package] = import_seconds(candidate)
        probabilities, costs = measure(candidate, faces, timed, folder)
        rows.append(
            Row(
                candidate.name,
                candidate.version,
                import_seconds=imports.get(candidate.package),
                **costs,
                **quality(private.labels, private.copy_in_training, probabilities),
            )
        )
    return relative_to_fer(rows) if timed else rows


def relative_to_fer(rows: list[Row]) -> list[Row]:
    """Set `times_fer` of each row if `fer`, its default, is among the rows."""
    for fer in rows:
        if fer.name == FER_DEFAULT:
            return [replace(row, times_fer=row.median_ms / fer.median_ms) for row in rows]
    return rows


# ---------------------------------------------------------------- the page

OTHER_PACKAGES = """\
The probabilities of the other packages are matched with our labels by name. Each gets the face \
without its detector:

- `fer`: the face goes directly to the classifier, without the rounding of its scores.
- `@vladmandic/human` has no function for a face that is cut out. Its own loader loads its emotion \
network; our script repeats the steps of its code from the crop to the network, and does not round \
the scores. For six pictures, the script gave the scores of `human.detect` for the crop that it \
had cut out.
- `@vladmandic/face-api`: its function `predictExpressions` gets the face.

The last two run under node on TensorFlow.js' backend `wasm`, which has one thread there: the \
fastest backend that needs no native library. An earlier measurement, made apart from this \
program, found the same accuracy and macro-F1: 0.666 and 0.662 for `human`, 0.589 and 0.535 for \
`face-api`."""


def table(rows: list[Row]) -> str:
    """Format one line per model; a dash stands for what was not measured."""
    headers = (
        *("model", "version", "accuracy (95 %)", "without duplicates", "on duplicates"),
        *("macro-F1 (95 %)", "lowest recall", "ms a face", "p95 ms", "relative to fer"),
        *("peak MiB", "import s", "file MB"),
    )
    cells = [
        (
            row.name,
            f"`{row.version}`",
            f"{row.accuracy:.4f} ({row.accuracy_low:.3f}–{row.accuracy_high:.3f})",
            f"{row.accuracy_deduplicated:.4f}",
            f"{row.accuracy_duplicates:.3f}",
            f"{row.macro_f1:.4f} ({row.macro_f1_low:.3f}–{row.macro_f1_high:.3f})",
            f"{row.min_recall:.3f}",
            *map(two_digits, (row.median_ms, row.p95_ms, row.times_fer)),
            f"{row.peak_mib:.0f}",
            two_digits(row.import_seconds),
            f"{row.file_mb:.2f}",
        )
        for row in rows
    ]
    return markdown_table(headers, cells, text_columns=2)


def two_digits(value: float | None) -> str:
    """Two decimal digits, or a dash."""
    return "–" if value is None else f"{value:.2f}"


def page(rows: list[Row], private: Faces, timed: int, sources: dict[str, Provenance]) -> str:
    """Format the first block, the table and what its columns mean."""
    duplicates = private.copy_in_training.sum()
    without = len(private.labels) - duplicates
    times = (
        f"`ms a face` is the median and `p95 ms` the 95th percentile of {timed:,} faces, one per"
        " call; `relative to fer` divides the median by that of `fer`, its default."
        if timed
        else "Times were not measured."
    )
    parts = [
        opening("Comparison with other packages", sources.items()),
        f"Made by `python -m benchmarks.comparison {' '.join(sources)}`, on one core and with one"
        " thread. On FER-2013's PrivateTest, whose images are crops of faces: no detector takes"
        " part. Nothing was chosen by these results.",
        table(rows),
        f"Accuracy `on duplicates` is of the {duplicates:,} images of PrivateTest that Training has"
        f" pixel by pixel, too; `without duplicates` is of the other {without:,}. Our models are"
        " not trained on the duplicates, but these are easier. A much larger difference of the two"
        " columns indicates that a network was trained on them.",
        f"{times} Peak memory is that of a process that imports, loads and classifies {WARM_UP}"
        " faces. A dash: not measured.",
        "All are measured on FER-2013's labels, also a model that was trained on others, as"
        " `ferplus` on the votes of FER+: its further emotions are left out.",
        OTHER_PACKAGES,
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
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=["fer", *NODE_NAMES],
        help="leave out a package; can be repeated",
    )
    parser.add_argument("--timed", type=int, default=1000, help="faces that are timed; 0: no times")
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file")
    arguments = parser.parse_args()
    private = private_test()
    most = len(private.images) - WARM_UP
    if not 0 <= arguments.timed <= most:
        sys.exit(f"error: --timed {arguments.timed}: expected 0 … {most}")
    candidates = our_models(arguments.datasets)
    under_node = node_models([name for name in NODE_NAMES if name not in arguments.without])
    sources = {dataset: here(dataset) for dataset in arguments.datasets}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "fer" not in arguments.without:
            candidates += install_fer(folder / "fer")
        rows = compare(candidates + under_node, private, arguments.timed, folder)
    rows = [as_written(row) for row in rows]
    write_results(arguments.result, rows, page(rows, private, arguments.timed, sources))
    print(arguments.result.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
