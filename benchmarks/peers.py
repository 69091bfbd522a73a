"""Compare our models with the package `fer` on FER-2013's PrivateTest.

    python -m benchmarks.peers
    python -m benchmarks.peers fer2013

Writes `benchmarks/peers.csv` and, from it, the page `benchmarks/peers.md`; takes two to three
minutes on an idle machine. Linux only. `fer` gets an environment of its own that is made for the
run, with the versions of TensorFlow, NumPy and OpenCV that this project uses (`--without-fer`
leaves it out). It stands there without what its classifier never imports: its dependencies bring
builds of PyTorch for GPUs.

PrivateTest is opened to report, as `evaluate` does; nothing is chosen by what is found here. Its
images are cut-out faces, so no detector takes part. Every process runs on one core and one thread,
and every contender in processes of its own (`benchmarks/contender.py`):

- Accuracy, macro-F1 and the lowest recall of a class: of all faces, with the 95 % intervals that
  `evaluate` computes.
- Milliseconds per face: from the 48×48 face to its probabilities, one face a call, of 1,000 faces
  after 100 others. Machines differ and so does one machine from hour to hour, so beside them stands
  how many times as long as `fer` by default takes in the same run.
- Peak memory: the kernel's record (VmHWM) of a process that imported, loaded and classified 100
  faces, one by one.
- Import: median of five fresh interpreters, after one that is not counted; the start of Python
  itself is left out.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, recall_score
from tabulate import tabulate

from benchmarks.contender import WARM_UP
from benchmarks.stages import describe_machine
from recognizer.atomic_file import written_atomically
from recognizer.classifier import Classifier
from recognizer.errors import ModelError
from stages.artifacts import Artifacts
from stages.dataset.faces import EMOTIONS, SPLITS
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
"""What a user writes first, by package."""


@dataclass(frozen=True)
class Contender:
    """A network and what runs it; `model` is a file, or the name of one in the package."""

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


# ---------------------------------------------------------------- who is compared


def our_models(names: list[str]) -> list[Contender]:
    """Check the models of the named datasets before anything is measured."""
    found = []
    for name in names:
        path = Artifacts(name).models / "model.onnx"
        if not path.exists():
            sys.exit(
                f"error: {path}: not found; `dvc repro` makes it where params.yaml lists {name}"
                " among its datasets, or name only the models that there are"
            )
        try:
            classifier = Classifier(path)
        except ModelError as error:
            sys.exit(f"error: {error}")
        if set(classifier.labels) != set(EMOTIONS):
            sys.exit(
                f"error: {path}: its labels are {', '.join(classifier.labels)}; only a model of"
                f" FER-2013's {len(EMOTIONS)} emotions can be compared here"
            )
        python = Path(sys.executable)
        version = classifier.version[:12]
        found.append(Contender(name, version, python, "recognizer", str(path.resolve())))
    return found


def install_fer(folder: Path) -> list[Contender]:
    """Make an environment with `fer`; returns both of its networks."""
    uv, python = Path(sys.prefix, "bin", "uv"), folder / "bin" / "python"
    if not uv.exists():
        sys.exit(f"error: {uv}: not found; install requirements/development.txt")
    install = [uv, "pip", "install", "-q", "--python", python]
    locked = ROOT / "requirements" / "development.txt"
    try:
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        subprocess.run([*install, "--constraints", locked, *FER_NEEDS], check=True)
        # fer imports pkg_resources, which later versions of setuptools have no more.
        subprocess.run([*install, "--no-deps", f"fer=={FER}", "setuptools==80.9.0"], check=True)
    except subprocess.CalledProcessError:
        sys.exit("error: the environment of fer cannot be made: see above; does the network work?")
    return [
        Contender(f"`fer`, {what}", FER, python, "fer", model)
        for what, model in FER_NETWORKS.items()
    ]


def private_test() -> tuple[np.ndarray, np.ndarray]:
    """PrivateTest as validation kept it: images uint8 [N, 48, 48] and labels uint8 [N]."""
    if not FACES.exists():
        sys.exit(f"error: {FACES}: not found; `dvc repro` or `dvc pull` brings it")
    with np.load(FACES) as arrays:
        private = arrays["split"] == SPLITS.index("PrivateTest")
        return arrays["images"][private], arrays["labels"][private]


# ---------------------------------------------------------------- measuring


def run_alone(contender: Contender, *command: str | Path) -> str:
    """Run the contender's Python on one core; returns what it prints."""
    core = max(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "--cpu-list", str(core), contender.python, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"error: {contender.name} fails\n{done.stderr}")
    return done.stdout


def import_seconds(contender: Contender) -> float:
    """Median of five imports in fresh interpreters, after one that compiles and fills caches."""
    statement = IMPORTS[contender.package]
    code = (
        f"import time; start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    )
    times = [float(run_alone(contender, "-c", code).split()[-1]) for _ in range(6)]
    return median(times[1:])


def measure(
    contender: Contender, faces: Path, timed: int, folder: Path
) -> tuple[np.ndarray, dict[str, float]]:
    """Run a contender on all faces.

    Returns
    -------
    float [N, 7]
        Its probabilities, in the order of `EMOTIONS`.
    dict
        `file_mb`, `median_ms`, `p95_ms`, `peak_mib`.
    """
    result = folder / "result.npz"
    arguments = [contender.package, contender.model, faces, result, f"--timed={timed}"]
    run_alone(contender, "-m", "benchmarks.contender", *arguments)
    with np.load(result) as found:
        order = [found["labels"].tolist().index(emotion) for emotion in EMOTIONS]
        return found["probabilities"][:, order], {
            "file_mb": found["file_bytes"] / 1e6,
            "median_ms": 1000 * float(np.median(found["seconds"])),
            "p95_ms": 1000 * float(np.percentile(found["seconds"], 95)),
            "peak_mib": found["peak_bytes"] / 2**20,
        }


def judge(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-F1 and the lowest recall, the first two with their 95 % intervals."""
    predicted = probabilities.argmax(axis=1)
    figures = {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro"),
        "min_recall": recall_score(labels, predicted, average=None).min(),
    }
    intervals = bootstrap_intervals(labels, probabilities, EMOTIONS, resamples=1000, seed=0)
    for name in ("accuracy", "macro_f1"):
        figures[f"{name}_low"], figures[f"{name}_high"] = intervals[name]
    return figures


def compare(
    contenders: list[Contender], images: np.ndarray, labels: np.ndarray, timed: int, folder: Path
) -> list[Row]:
    """Measure one contender after the other."""
    faces = folder / "faces.npy"
    np.save(faces, images)
    imports = {}
    rows = []
    for contender in contenders:
        print(f"{contender.name} …", file=sys.stderr)
        if contender.package not in imports:
            imports[contender.package] = import_seconds(contender)
        probabilities, costs = measure(contender, faces, timed, folder)
        rows.append(
            Row(
                contender.name,
                contender.version,
                import_seconds=imports[contender.package],
                **costs,
                **judge(labels, probabilities),
            )
        )
    return beside_fer(rows)


def beside_fer(rows: list[Row]) -> list[Row]:
    """Tell each row how many times as long it takes as `fer` by default, if that takes part."""
    for fer in rows:
        if fer.name == FER_DEFAULT:
            return [replace(row, times_fer=row.median_ms / fer.median_ms) for row in rows]
    return rows


# ---------------------------------------------------------------- the page


def page(rows: list[Row], timed: int, names: list[str]) -> str:
    """The rows as a table, and how to read it."""
    headers = (
        *("model", "version", "accuracy (95 %)", "macro-F1 (95 %)", "lowest recall"),
        *("ms a face", "p95 ms", "times fer", "peak MiB", "import s", "file MB"),
    )
    table = tabulate(
        [
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
        ],
        headers,
        tablefmt="github",
        disable_numparse=True,
        colalign=["left", "left", *["right"] * (len(headers) - 2)],
    )
    parts = [
        "# Beside the peers",
        f"Made by `python -m benchmarks.peers {' '.join(names)}`; `benchmarks/peers.py` says how"
        " each figure is measured.",
        f"Machine: {describe_machine()}. Everything on one core and one thread.",
        "On FER-2013's PrivateTest, whose images are cut-out faces: no detector takes part."
        " This is a report. Nothing was chosen by these figures.",
        table,
        f"`ms a face` is the median and `p95 ms` the 95th percentile of {timed:,} faces, one a"
        " call; `times fer` is the median over that of `fer`, its default. Peak memory is that of a"
        f" process that imports, loads and classifies {WARM_UP} faces.",
        "`fer` gets its faces where its own code asks its classifier, which saves it the detector"
        " and the rounding of the scores that its users wait for. Its probabilities are brought"
        " into our order of the emotions by their names.",
    ]
    return "\n\n".join(parts) + "\n"


def write(rows: list[Row], timed: int, names: list[str], result: Path) -> None:
    """Write the CSV file and the page beside it."""
    with written_atomically(result) as temporary, temporary.open("w", newline="") as file:
        columns = [field.name for field in fields(Row)]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row)
            for name, value in values.items():
                if isinstance(value, float):
                    values[name] = f"{value:.4g}"
            writer.writerow(values)
    with written_atomically(result.with_suffix(".md")) as temporary:
        temporary.write_text(page(rows, timed, names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names",
        nargs="*",
        metavar="DATASET",
        default=["fer2013", "fer2013-small"],
        help="whose models/DATASET/model.onnx take part (default: fer2013 fer2013-small)",
    )
    parser.add_argument("--without-fer", action="store_true")
    parser.add_argument("--timed", type=int, default=1000, help="faces that are timed")
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file")
    arguments = parser.parse_args()
    images, labels = private_test()
    if not 1 <= arguments.timed <= len(images) - WARM_UP:
        sys.exit(f"error: --timed {arguments.timed}: expected 1 … {len(images) - WARM_UP}")
    contenders = our_models(arguments.names)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not arguments.without_fer:
            contenders += install_fer(folder / "fer")
        rows = compare(contenders, images, labels, arguments.timed, folder)
    write(rows, arguments.timed, arguments.names, arguments.result)
    print(arguments.result.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
