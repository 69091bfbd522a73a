"""Teachers: files of experiments/teachers that parameters name by their SHA-256.

A file that was trained again is an error until its new SHA-256 is in the parameters: a changed
parameter, for which `dvc repro` trains the student again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

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


def read_votes(declared: VoteLabels) -> bytes:
    """Read the file of FER+'s votes and compare its SHA-256 with the declared digits.

    Raises
    ------
    UserError
        The file cannot be read or has another SHA-256.
    """
    return _read_declared(VOTES, declared.sha256)


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


def read_pretraining(parameters: Parameters) -> str | None:
    """What the weights that `train.init` names have learned from, besides their own dataset.

    Returns
    -------
    str or None
        `pretrained_on` of the JSON file beside a file of experiments/teachers.
    """
    init = parameters.train.init
    if init is None or not init.source.endswith(".keras"):
        return None
    path = Path(init.source).with_suffix(".json")
    described = json.loads(path.read_text()) if path.parent == VOTES.parent else {}
    pretrained_on: str | None = described.get("pretrained_on")
    return pretrained_on


def read_teacher_metrics(parameters: Parameters) -> dict[str, dict[str, Any]]:
    """Metrics of each teacher that a dataset's parameters name, by the path of its file.

    Returns
    -------
    dict
        `parameters` (their number), `accuracy` and `macro_f1` on PublicTest, perhaps
        `pretrained_on`.

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
