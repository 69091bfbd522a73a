"""Teachers: networks of experiments/teachers that parameters name by file and SHA-256.

A file that was trained again is an error until its new SHA-256 is in the parameters: a changed
parameter, for which `dvc repro` trains the student again.
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from recognizer.regular_file import MAX_MODEL_BYTES, read_regular_file
from stages.errors import UserError
from stages.parameters import (
    Parameters,
    Teacher,
    TeacherDistillation,
    ViewDistillation,
    VoteLabels,
)

VOTES = Path("experiments/teachers/ferplus_votes.npz")


def read_teacher(teacher: Teacher) -> bytes:
    """Read a teacher's ONNX file and compare its SHA-256 with the declared digits.

    Raises
    ------
    UserError
        The file cannot be read or has another SHA-256.
    """
    return _read_declared(teacher.file, teacher.sha256)


def read_vote_labels(declared: VoteLabels, rows: np.ndarray) -> np.ndarray:
    """Read the probabilities of FER-2013's labels by the votes of FER+ on faces of Training.

    Parameters
    ----------
    declared : VoteLabels
    rows : int [N]
        The faces' rows of raw.csv.

    Returns
    -------
    float32 [N, 7], rows sum to 1.

    Raises
    ------
    UserError
        The file cannot be read, has another SHA-256, or lacks a row.
    """
    with np.load(io.BytesIO(_read_declared(VOTES, declared.sha256))) as arrays:
        known, probabilities = arrays["row"], arrays["probabilities"].astype(np.float32)
    order = np.argsort(known)
    places = order[np.searchsorted(known, rows, sorter=order).clip(max=len(known) - 1)]
    if (known[places] != rows).any():
        raise UserError(
            f"{VOTES}: it has no votes on row {rows[known[places] != rows][0]}; it is for FER-2013"
            " alone: set train.distillation.teachers_on_views.votes to null"
        )
    return probabilities[places] / probabilities[places].sum(axis=1, keepdims=True)


def _read_declared(file: Path, sha256: str) -> bytes:
    try:
        content = read_regular_file(file, MAX_MODEL_BYTES)
    except OSError as error:
        raise UserError(
            f"{file}: {error.strerror}; restore it, or correct train.distillation"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(sha256):
        raise UserError(
            f"{file}: its SHA-256 begins with {found[: len(sha256)]}, the parameters expect"
            f" {sha256}; restore the file or declare the new digest"
        )
    return content


def read_teacher_metrics(parameters: Parameters) -> dict[str, dict[str, float]]:
    """Metrics of each teacher that a dataset's parameters name, by the path of its file.

    Returns
    -------
    dict
        `parameters` (their number), `accuracy` and `macro_f1` on PublicTest.

    Raises
    ------
    UserError
        The JSON file beside a teacher's file is missing.
    """
    match parameters.train.distillation:
        case TeacherDistillation(teachers=teachers):
            files = {teacher.file for teacher in teachers}
        case ViewDistillation(teachers=teachers, votes=votes):
            files = {teacher.file for teacher in teachers} | ({VOTES} if votes else set())
        case _:
            files = set()
    metrics = {}
    for file in sorted(files):
        path = file.with_suffix(".json")
        if not path.exists():
            raise UserError(f"{path}: not found; expected the metrics of {file.name}")
        metrics[str(file)] = json.loads(path.read_text())
    return metrics
