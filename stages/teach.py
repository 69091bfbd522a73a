"""Ask the teachers what they see in the training faces: `python -m stages.teach DATASET`.

Trains the networks of the section `teach` of params.yaml, one after the other, and keeps each in
models/D/teachers, in the precision that is served. Reads train.npz and faces.npz; writes taught.npz
and teach.json. Where `train` learns from no teachers, taught.npz is empty. A run that was killed
goes on at its last finished epoch.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score

from stages.artifacts import Artifacts, write_arrays, write_metrics, written_atomically
from stages.conversion import convert, served_model, to_precision
from stages.fer_csv import EMOTIONS, SPLITS
from stages.logits import predict_logits
from stages.parameters import Export, FromTeachers, Parameters, Train
from stages.shell import run
from stages.train import make_repeatable, read_arrays, train_resumably

log = logging.getLogger(__name__)

PARAMETERS = "parameters"
"""Metadata key in a teacher's file: how many it had before it was converted."""


def what_they_say(teachers: Sequence[onnx.ModelProto], images: np.ndarray) -> np.ndarray:
    """What teachers say of faces and their mirror images, on average.

    Parameters
    ----------
    teachers : sequence of onnx.ModelProto
        `faces` uint8 [N, 48, 48] to `logits` float32 [N, 7]; there may be none.
    images : uint8 [N, 48, 48]

    Returns
    -------
    float32 [N, 7], rows sum to 1; [0, 7] without teachers.
    """
    if not teachers:
        return np.empty((0, len(EMOTIONS)), np.float32)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    said = [
        softmax(predict_logits(teacher, faces), axis=1)
        for teacher in teachers
        for faces in (images, mirrored)
    ]
    return np.mean(said, axis=0)


def recipe_digest(
    recipe: Train, export: Export, arrays: tuple[np.ndarray, ...], before: Sequence[str] = ()
) -> str:
    """SHA-256 of what makes a teacher: how it is trained and kept, the faces, and its teachers.

    Of those `before` it come the names of their files. The code is not in it. A teacher costs
    hours, and a change of the code that matters to it is rare: whoever makes one removes
    models/D/teachers, and the next run trains all anew.
    """
    digest = hashlib.sha256(recipe.model_dump_json().encode())
    digest.update(export.model_dump_json(exclude={"recall_floor", "committee"}).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    if isinstance(recipe.distillation, FromTeachers):
        digest.update(" ".join(before).encode())
    return digest.hexdigest()


def main(dataset: str, settings: Parameters) -> None:
    """Train the teachers that are not there yet, and write the mean of what all say."""
    make_repeatable()
    files = Artifacts(dataset)
    arrays = read_arrays(files)
    folder = files.models / "teachers"
    names, teachers = [], []
    for number, recipe in enumerate(settings.teach, 1):
        digest = recipe_digest(recipe, settings.export, arrays, names)
        path = folder / f"{number}-{digest[:12]}.onnx"
        log.info("teacher %d of %d: %s", number, len(settings.teach), path)
        if not path.exists():
            taught = _lesson(recipe, teachers, arrays[0])
            _train(recipe, settings.export, arrays, taught, files, path)
        names.append(path.name)
        teachers.append(onnx.load(path))
    with written_atomically(folder / "README.md") as temporary:
        temporary.write_text(README)
    for path in folder.iterdir():
        if path.name not in {"README.md", *names}:
            path.unlink()

    taught = _lesson(settings.train, teachers, arrays[0])
    with written_atomically(files.data / "taught.npz") as temporary:
        write_arrays(temporary, probabilities=taught)
    write_metrics(files.metrics / "teach.json", _figures(teachers, *arrays[2:]))


README = """\
# The teachers

Networks that `train` learns from or that are served beside its own, as the section `teach` of
`params.yaml` lists them. A file is called NUMBER-DIGEST.onnx, after its place there and how and on
which faces it was trained: faces in, logits out, not calibrated. `python -m stages.teach` keeps
what is here and trains what is missing; remove a file to train it anew.
"""


def _lesson(recipe: Train, teachers: list[onnx.ModelProto], images: np.ndarray) -> np.ndarray:
    """What a network is taught besides the labels; nothing where it learns from no teachers."""
    learns = isinstance(recipe.distillation, FromTeachers)
    return what_they_say(teachers if learns else [], images)


def _train(recipe: Train, export: Export, arrays, taught, files: Artifacts, path: Path) -> None:
    resume = files.models / f".{path.stem}.resume.npz"
    network, _ = train_resumably(arrays, recipe, resume, taught if len(taught) else None)
    with np.load(files.data / "faces.npz") as faces:
        training = faces["images"][faces["split"] == SPLITS.index("Training")]
    converted = convert(served_model(network, recipe.resolutions[-1].size))
    teacher = to_precision(converted, export, training)
    onnx.helper.set_model_props(teacher, {PARAMETERS: str(network.count_params())})
    with written_atomically(path) as temporary:
        onnx.save(teacher, temporary)
    resume.unlink()


def _figures(teachers: list[onnx.ModelProto], images, labels) -> dict[str, dict]:
    """What each is worth on PublicTest, and all together."""
    figures = {
        f"teacher {number}": {
            "parameters": _parameters(teacher),
            **_worth(labels, what_they_say([teacher], images)),
        }
        for number, teacher in enumerate(teachers, 1)
    }
    if teachers:
        figures["together"] = _worth(labels, what_they_say(teachers, images))
    return figures


def _parameters(teacher: onnx.ModelProto) -> int:
    return next(int(entry.value) for entry in teacher.metadata_props if entry.key == PARAMETERS)


def _worth(labels: np.ndarray, said: np.ndarray) -> dict[str, float]:
    predicted = said.argmax(axis=1)
    return {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
    }


if __name__ == "__main__":
    run(main, "Train the teachers and write their soft labels.")
