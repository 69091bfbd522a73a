"""Measure one candidate of `benchmarks/comparison.py` in this process.

    python -m benchmarks.candidate recognizer models/fer2013/model.onnx faces.npy result.json

Runs with the Python of the candidate's environment, which has NumPy, OpenCV and the candidate. The
order matters: import, load, classify 100 faces one by one, and only then read the peak of the
memory; then time faces one by one; then classify all faces in batches.

The JSON file has `labels`, C names; `file_bytes`, of the network; `peak_bytes`, of the memory;
`seconds` of each timed face; `probabilities`, N lists of C numbers.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

WARM_UP = 100
"""Faces that are classified before the peak of the memory is read and the timing starts."""

BATCH = 64
"""Faces per call where calls are not timed."""

Classify = Callable[[np.ndarray], np.ndarray]
"""Faces uint8 [N, 48, 48] to probabilities [N, C]."""


def load_recognizer(model: str) -> tuple[list[str], Path, Classify]:
    """Load a model.onnx of this project; return its labels, its file and its classifier."""
    from recognizer.classifier import Classifier

    classifier = Classifier(Path(model), threads=1)
    return list(classifier.labels), Path(model), classifier.predict


def load_fer(model: str) -> tuple[list[str], Path, Classify]:
    """Load one of the two networks of the package `fer`, by the name of its file.

    A face is resized and scaled as `FER.detect_emotions` does with a crop, and goes to the same
    classifier. The detector, its grey border around photos and the rounding of the scores to two
    digits are left out.
    """
    import fer.fer
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    recognizer = fer.fer.FER(use_tflite=model.endswith(".tflite"))

    def classify(faces: np.ndarray) -> np.ndarray:
        resized = np.array([cv2.resize(face, (64, 64)) for face in faces], np.float32)
        return np.asarray(recognizer._classify_emotions((resized / 255 - 0.5) * 2))

    labels = recognizer._get_labels()
    file = Path(fer.fer.__file__).with_name("data") / model
    return [labels[index] for index in range(len(labels))], file, classify


LOADERS = {"recognizer": load_recognizer, "fer": load_fer}


def peak_bytes() -> int:
    """Largest resident memory of this process since its start."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def main() -> None:
    """Measure, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", choices=LOADERS)
    parser.add_argument("model", help="a file, or the name of one in the package")
    parser.add_argument("faces", type=Path, help="uint8 [N, 48, 48] in a .npy file")
    parser.add_argument("result", type=Path, help="the JSON file to write")
    parser.add_argument("--timed", type=int, default=1000, help="faces that are timed")
    arguments = parser.parse_args()

    # mmap_mode reads faces from the disk as they are used; unread ones take no memory.
    faces = np.load(arguments.faces, mmap_mode="r")
    labels, file, classify = LOADERS[arguments.package](arguments.model)
    for index in range(WARM_UP):
        classify(faces[index : index + 1])
    peak = peak_bytes()

    seconds = []
    for index in range(WARM_UP, WARM_UP + arguments.timed):
        face = np.array(faces[index : index + 1])
        start = time.perf_counter()
        classify(face)
        seconds.append(time.perf_counter() - start)
    batches = range(0, len(faces), BATCH)
    probabilities = np.concatenate([classify(faces[start : start + BATCH]) for start in batches])
    result = {
        "labels": labels,
        "file_bytes": file.stat().st_size,
        "peak_bytes": peak,
        "seconds": seconds,
        "probabilities": probabilities.tolist(),
    }
    arguments.result.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
