"""Teachers: networks of experiments/teachers that parameters name by file and SHA-256.

A file that was trained again is an error until its new SHA-256 is in the parameters: a changed
parameter, for which `dvc repro` trains the student again.
"""

import hashlib
import json

from recognizer.regular_file import MAX_MODEL_BYTES, read_regular_file
from stages.errors import UserError
from stages.parameters import Parameters, Teacher, TeacherDistillation, ViewDistillation


def read_teacher(teacher: Teacher) -> bytes:
    """Read a teacher's ONNX file and compare its SHA-256 with the declared digits.

    Raises
    ------
    UserError
        The file cannot be read or has another SHA-256.
    """
    try:
        content = read_regular_file(teacher.file, MAX_MODEL_BYTES)
    except OSError as error:
        raise UserError(
            f"{teacher.file}: {error.strerror}; restore it, or correct"
            " train.distillation.teachers or export.ensemble"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(teacher.sha256):
        raise UserError(
            f"{teacher.file}: its SHA-256 begins with {found[: len(teacher.sha256)]}, the"
            f" parameters expect {teacher.sha256}; restore the file or declare the new digest"
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
        NAME.json beside NAME.onnx is missing.
    """
    teachers = list(parameters.export.ensemble)
    if isinstance(parameters.train.distillation, TeacherDistillation | ViewDistillation):
        teachers += parameters.train.distillation.teachers
    metrics = {}
    for file in sorted({teacher.file for teacher in teachers}):
        path = file.with_suffix(".json")
        if not path.exists():
            raise UserError(f"{path}: not found; expected the metrics of {file.name}")
        metrics[str(file)] = json.loads(path.read_text())
    return metrics
