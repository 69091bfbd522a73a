"""Soft labels: training targets that are partly the predictions of teachers or of the network.

Hinton et al., Distilling the Knowledge in a Neural Network, 2015; Kim et al.,
Self-Knowledge Distillation with Progressive Refinement of Targets, 2021.
"""

import numpy as np
import onnxruntime
from scipy.special import softmax
from tqdm import tqdm

from stages.errors import UserError
from stages.parameters import (
    Distillation,
    SelfDistillation,
    Teacher,
    TeacherDistillation,
    Train,
    ViewDistillation,
)
from stages.teachers import read_teacher

STEP = 64
"""Faces per prediction; more are not faster."""


def predict_soft_labels(
    distillation: Distillation | None, images: np.ndarray, classes: int
) -> np.ndarray | None:
    """Average the probabilities that teachers predict for faces and their mirror images.

    Parameters
    ----------
    distillation : Distillation or None
        A teacher is an ONNX file: `faces` uint8 [N, 48, 48] to `logits` float32 [N, C].
    images : uint8 [N, 48, 48]
    classes : int
        C.

    Returns
    -------
    float32 [N, C], rows sum to 1; None where the settings name no teachers.

    Raises
    ------
    UserError
        A file is missing, is not the declared one, or has other outputs than C logits.
    """
    if not isinstance(distillation, TeacherDistillation):
        return None
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    both = [_mean(distillation.teachers, faces, classes) for faces in (images, mirrored)]
    return np.mean(both, axis=0)


def predict_view_soft_labels(
    distillation: ViewDistillation, views: np.ndarray, classes: int
) -> np.ndarray:
    """Average the probabilities that teachers predict for views.

    Parameters
    ----------
    distillation : ViewDistillation
    views : uint8 [N, 48, 48]
    classes : int
        C.

    Returns
    -------
    float16 [N, C], rows sum to 1.

    Raises
    ------
    UserError
        A file is missing, is not the declared one, or has other outputs than C logits.
    """
    return _mean(distillation.teachers, views, classes).astype(np.float16)


def _mean(teachers: list[Teacher], faces: np.ndarray, classes: int) -> np.ndarray:
    predictions = []
    for teacher in teachers:
        session = onnxruntime.InferenceSession(read_teacher(teacher))
        output = session.get_outputs()[0].name
        if output != "logits":
            raise UserError(
                f"{teacher.file}: a teacher's output is `logits`, this file's is `{output}`; name"
                " a file that experiments/ has made"
            )
        steps = tqdm(
            range(0, len(faces), STEP), f"teacher {teacher.file.stem}", leave=False, disable=None
        )
        logits = [session.run(None, {"faces": faces[start : start + STEP]})[0] for start in steps]
        if logits[0].shape[1] != classes:
            raise UserError(
                f"{teacher.file}: this teacher predicts {logits[0].shape[1]} emotions, the dataset"
                f" has {classes}; set train.distillation.name to none or self"
            )
        predictions.append(softmax(np.concatenate(logits), axis=1))
    return np.mean(predictions, axis=0)


def training_targets(
    targets: np.ndarray,
    teachers: np.ndarray | None,
    own: np.ndarray | None,
    settings: Train,
    epoch: int,
) -> np.ndarray:
    """Blend the targets with soft labels, by `settings.distillation`.

    Parameters
    ----------
    targets : float32 [N, C]
        Of the labels or votes alone.
    teachers : float [N, C] or None
        The teachers' probabilities of the faces, or of this epoch's views; None without teachers.
    own : float32 [N, C] or None
        The EMA model's probabilities at its last prediction; None before the first.
    settings : Train
    epoch : int
        From 0 on.

    Returns
    -------
    float32 [N, C]
    """
    match settings.distillation:
        case TeacherDistillation(share=final) | ViewDistillation(share=final):
            assert teachers is not None
            share, soft = np.float32(final), teachers.astype(np.float32)
        case SelfDistillation(share=final) if own is not None:
            share, soft = np.float32(final * epoch / settings.epochs), own
        case _:
            return targets
    return (1 - share) * targets + share * soft


def predicts_own_soft_labels(settings: Train, epoch: int) -> bool:
    """Whether the EMA model predicts the training faces anew after this epoch (from 0 on)."""
    match settings.distillation:
        case SelfDistillation(every=every):
            return (epoch + 1) % every == 0
    return False
