"""Compare the int8 model files with float32 on processors with fewer features.

    python -m benchmarks.processors
    python -m benchmarks.processors fer2013 --rounds 3

Writes `benchmarks/processors.csv` and, from it, the page `benchmarks/processors.md`; takes about
ten minutes on an idle machine. Needs Linux, gcc, objdump, and a processor with the flag
`avx512_vnni` in /proc/cpuinfo. The processors of `PROCESSORS` are this one, with some features
hidden from onnxruntime (`benchmarks/hidden_features.py`). The files of each dataset:

- int8: `models/D/model.onnx`.
- float32: `models/D/float32.onnx`, which `dvc repro` or `dvc pull` makes.
- A control: `model.onnx` with weights of eight bits in place of seven. Without VNNI, the sum of two
  products overflows 16 bits. Its answers show that the hidden features change the instructions.

Every measurement is a process of its own (`benchmarks/candidate.py`), on one core with one thread:

- Times: of images of noise, one per call. A round measures int8 and float32 one after the other on
  each processor, so that other work on the machine slows both.
- Answers: of all faces of the dataset's PublicTest, in batches. Without `data/D/faces.npz`, there
  is a warning, and the page has dashes in their place.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.candidate import WARM_UP
from benchmarks.hidden_features import (
    DOT_PRODUCTS,
    FEATURES,
    NEEDED,
    ROOT,
    build,
    environment,
    seen,
)
from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import as_written, write_results
from recognizer.classifier import SIZE, Classifier
from recognizer.errors import ModelError
from stages.artifacts import Artifacts
from stages.dataset.faces import Faces
from stages.errors import UserError
from stages.evaluation.markdown_table import markdown_table

RESULT = Path(__file__).with_suffix(".csv")
PROCESSORS: dict[str, tuple[str, ...]] = {
    "all features": (),
    "AVX-512 without VNNI": tuple(DOT_PRODUCTS),
    "AVX2": tuple(FEATURES),
}
"""The hidden features of each processor; the first is the reference of the answers."""
REFERENCE = next(iter(PROCESSORS))
TIMED_FILES = ("int8", "float32")
CONTROL = "int8, weights of eight bits"
PublicTests = dict[str, Faces | None]
"""By dataset; None where its faces are not there."""


@dataclass(frozen=True)
class Row:
    """One line of the CSV file: a file on a processor."""

    dataset: str
    processor: str
    file: str
    median_ms: float | None = None
    relative: float | None = None
    """Time of int8, divided by that of float32 in the same round: the median of the rounds."""
    relative_low: float | None = None
    relative_high: float | None = None
    accuracy: float | None = None
    same_emotion: float | None = None
    largest_difference: float | None = None


# ---------------------------------------------------------------- the files


def model_files(dataset: str, folder: Path) -> dict[str, Path]:
    """Check the files of a dataset, and write the control into a folder."""
    paths = [Artifacts(dataset).models / name for name in ("model.onnx", "float32.onnx")]
    for path in paths:
        if not path.exists():
            sys.exit(f"error: {path}: not found; `dvc repro` or `dvc pull` makes it")
    try:
        int8, float32 = (Classifier(path).metadata for path in paths)
    except ModelError as error:
        sys.exit(f"error: {error}")
    if int8.parameters_digest != float32.parameters_digest:
        sys.exit(f"error: {paths[1]}: not of the training of model.onnx; run `dvc repro`")
    control = folder / f"{dataset}.onnx"
    try:
        onnx.save(with_weights_of_eight_bits(onnx.load(paths[0])), control)
    except ValueError as error:
        sys.exit(f"error: {paths[0]}: {error}")
    return dict(zip(TIMED_FILES, map(Path.resolve, paths), strict=True)) | {CONTROL: control}


def with_weights_of_eight_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """Double the integers of weights and biases, and halve their scales, in place.

    The network computes the same, but for the largest weights: 2 · 64 becomes 127.
    """
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    weights, scales = set(), set()
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in arrays:
            weights.add(node.input[0])
            scales.add(node.input[1])
    if not weights:
        raise ValueError("its weights are not quantized; only an int8 model can be compared")
    for name in weights | scales:
        array = numpy_helper.to_array(arrays[name])
        if name in scales:
            changed = array / 2
        else:
            limit = np.iinfo(array.dtype).max
            changed = np.clip(2 * array.astype(np.int64), -limit, limit)
        arrays[name].CopyFrom(numpy_helper.from_array(changed.astype(array.dtype), name))
    return model


def public_test(dataset: str) -> Faces | None:
    """PublicTest of a dataset, or None after a line on stderr."""
    try:
        return Faces.read(Artifacts(dataset).data / "faces.npz").of_split("PublicTest")
    except UserError as error:
        print(f"warning: {error}; the answers of {dataset} are left out", file=sys.stderr)
        return None


# ---------------------------------------------------------------- measuring


class Processors:
    """Runs model files in processes on one core, with features hidden.

    `folder` is temporary: for the library, the faces and the results.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._library = build(folder)
        self._core = str(max(os.sched_getaffinity(0)))
        everything = seen(self._library, ())
        if NEEDED not in everything:
            sys.exit(f"error: onnxruntime does not see {NEEDED}: the features cannot be hidden")
        for name, hidden in PROCESSORS.items():
            if seen(self._library, hidden) != everything - set(hidden):
                sys.exit(f"error: {name}: the features cannot be hidden on this machine")

    def run(self, processor: str, file: Path, faces: np.ndarray, timed: int) -> dict[str, Any]:
        """Classify faces; time those after the first 100. Returns the result of the candidate."""
        images, result = self._folder / "faces.npy", self._folder / "result.json"
        np.save(images, faces)
        module = ("-m", "benchmarks.candidate", "recognizer")
        command = (sys.executable, *module, file, images, result, f"--timed={timed}")
        done = subprocess.run(
            ["taskset", "--cpu-list", self._core, *command],
            cwd=ROOT,
            env=environment(self._library, PROCESSORS[processor]),
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            sys.exit(f"error: {file} on {processor}: ended with {done.returncode}\n{done.stderr}")
        found: dict[str, Any] = json.loads(result.read_text())
        return found

    def milliseconds(self, processor: str, file: Path, timed: int) -> float:
        """Median time of an image of noise."""
        shape = (WARM_UP + timed, SIZE, SIZE)
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        seconds: list[float] = self.run(processor, file, noise, timed)["seconds"]
        return 1000 * median(seconds)

    def answers(self, processor: str, file: Path, faces: Faces) -> np.ndarray:
        """Probabilities [N, C] of the faces, in the order of their emotions."""
        found = self.run(processor, file, faces.images, 0)
        order = [found["labels"].index(emotion) for emotion in faces.emotions]
        return np.array(found["probabilities"])[:, order]


def compare(
    files: dict[str, dict[str, Path]],
    faces: PublicTests,
    rounds: int,
    timed: int,
    processors: Processors,
) -> list[Row]:
    """Measure the files of each dataset on each processor."""
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for index in range(rounds):
        print(f"times, round {index + 1} of {rounds} …", file=sys.stderr)
        for dataset, processor, file in product(files, PROCESSORS, TIMED_FILES):
            taken = processors.milliseconds(processor, files[dataset][file], timed)
            times[dataset, processor, file].append(taken)
    rows = []
    for dataset, paths in files.items():
        answers = measure_answers(paths, faces[dataset], processors)
        for processor, file in product(PROCESSORS, paths):
            found = {name: times.get((dataset, processor, name), []) for name in TIMED_FILES}
            columns = timing(found, file) | answers.get((processor, file), {})
            rows.append(Row(dataset, processor, file, **columns))
    return rows


def measure_answers(
    paths: dict[str, Path], faces: Faces | None, processors: Processors
) -> dict[tuple[str, str], dict[str, float]]:
    """The columns of the answers, by processor and file; none without faces."""
    if faces is None:
        return {}
    found = {}
    for file, path in paths.items():
        print(f"answers of {path} …", file=sys.stderr)
        answers = {name: processors.answers(name, path, faces) for name in PROCESSORS}
        for processor, probabilities in answers.items():
            reference = answers[REFERENCE]
            found[processor, file] = agreement(probabilities, reference, faces.labels)
    return found


def timing(times: dict[str, list[float]], file: str) -> dict[str, float]:
    """The columns of the times, from the milliseconds of each round; none for the control."""
    if not times.get(file):
        return {}
    columns = {"median_ms": median(times[file])}
    if file == "int8":
        ratios = [one / other for one, other in zip(times[file], times["float32"], strict=True)]
        columns["relative"] = median(ratios)
        columns |= {"relative_low": min(ratios), "relative_high": max(ratios)}
    return columns


def agreement(
    probabilities: np.ndarray, reference: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """The columns of the answers, float [N, C]; `labels` are the right ones."""
    emotions = probabilities.argmax(axis=1)
    return {
        "accuracy": float((emotions == labels).mean()),
        "same_emotion": float((emotions == reference.argmax(axis=1)).mean()),
        "largest_difference": float(np.abs(probabilities - reference).max()),
    }


# ---------------------------------------------------------------- the page


def table(rows: list[Row]) -> str:
    """Format one line per file and processor; a dash stands for what was not measured."""
    headers = (
        *("model", "processor", "file", "ms a face", "relative to float32 (rounds)"),
        *("accuracy", "same emotion", "largest difference"),
    )
    cells = [
        (
            *(row.dataset, row.processor, row.file),
            formatted("{:.2f}", row.median_ms),
            formatted("{:.2f} ({:.2f}–{:.2f})", row.relative, row.relative_low, row.relative_high),
            formatted("{:.4f}", row.accuracy),
            formatted("{:.4f}", row.same_emotion),
            formatted("{:.1g}", row.largest_difference),
        )
        for row in rows
    ]
    return markdown_table(headers, cells, text_columns=3)


def formatted(template: str, *values: float | None) -> str:
    """The values in a template, or a dash where one is missing."""
    return "–" if None in values else template.format(*values)


def summary(rows: list[Row]) -> str:
    """Say where int8 is slower than float32, and how far its answers differ."""
    relative = {row: row.relative for row in rows if row.relative is not None}
    slower = [f"{row.dataset}, {row.processor}" for row, ratio in relative.items() if ratio > 1]
    parts = [
        f"int8 takes {min(relative.values()):.2f} to {max(relative.values()):.2f} of the time of"
        f" float32. Where it is slower: {'; '.join(slower) or 'nowhere'}.",
        "",
    ]
    for file in (*TIMED_FILES, CONTROL):
        found = [row for row in rows if row.file == file and row.largest_difference is not None]
        if found:
            difference = max(row.largest_difference or 0 for row in found)
            same = min(row.same_emotion or 0 for row in found)
            parts.append(f"- {file}: {difference_in_words(difference, same)}")
    return "\n".join(parts).strip()


def difference_in_words(largest: float, same: float) -> str:
    """How far the answers are from those with all features; `same` is a share of the faces."""
    if largest == 0:
        return "all answers are those with all features, to the last digit."
    share = "all faces" if same == 1 else f"{100 * same:.2f} % of the faces or more"
    return (
        f"a probability differs by at most {largest:.1g} from that with all features; the emotion"
        f" is the same for {share}."
    )


def page(rows: list[Row], rounds: int, timed: int, sources: dict[str, Provenance]) -> str:
    """Format the first block, the results and what the columns mean."""
    parts = [
        opening("int8 on processors with fewer features", sources.items()),
        f"Made by `python -m benchmarks.processors {' '.join(sources)}`, on one core and with one"
        " thread.",
        summary(rows),
        table(rows),
        PROCESSORS_OF_THE_PAGE,
        f"`ms a face` is the median of {timed} images, one per call, and of {rounds} rounds."
        " `relative to float32` divides by the time of float32 in the same round: the median of"
        " the rounds, and the lowest and the highest. Accuracy is on the dataset's PublicTest."
        " `same emotion` and `largest difference`, of a probability, compare with the answers of"
        " the same file with all features.",
        CONTROL_OF_THE_PAGE,
    ]
    return "\n\n".join(parts) + "\n"


PROCESSORS_OF_THE_PAGE = """\
All rows are measured on the processor above. Some of its features are hidden from onnxruntime, so \
that it takes the instructions of older processors. Clock and caches remain those of this \
processor: expect the ratio of an older one to be similar, not its milliseconds.

- all features: nothing is hidden.
- AVX-512 without VNNI: as Intel's servers of 2017 (Skylake). VNNI, AVX-VNNI and AMX are hidden.
- AVX2: as AMD's Zen 1 to 3, and Intel's from 2013 (Haswell) on that have neither AVX-512 nor \
AVX-VNNI. All later instructions are hidden as well."""

CONTROL_OF_THE_PAGE = """\
Without VNNI, the products of two weights and two activations are added in 16 bits, whose largest \
number is 32,767. An activation has eight bits, and a weight of our files seven: the sum is at \
most 2 · 255 · 64 = 32,640. The control is the same file with weights of eight bits, whose sums \
can overflow: each weight is doubled and its scale halved. It shows what an overflow changes."""


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "datasets",
        nargs="*",
        metavar="DATASET",
        default=["fer2013", "fer2013-small", "ferplus"],
        help="compare the files in models/DATASET (default: fer2013 fer2013-small ferplus)",
    )
    parser.add_argument("--rounds", type=int, default=10, help="rounds of the times")
    parser.add_argument("--timed", type=int, default=200, help="images of each time")
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file")
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.timed) < 1:
        sys.exit("error: --rounds and --timed: expected 1 or more")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {dataset: model_files(dataset, folder) for dataset in arguments.datasets}
        faces = {dataset: public_test(dataset) for dataset in arguments.datasets}
        sources = {dataset: here(dataset) for dataset in arguments.datasets}
        processors = Processors(folder)
        rows = compare(files, faces, arguments.rounds, arguments.timed, processors)
    rows = [as_written(row) for row in rows]
    text = page(rows, arguments.rounds, arguments.timed, sources)
    write_results(arguments.result, rows, text)
    print(arguments.result.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
