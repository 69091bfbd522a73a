"""What the votes of FER+ on the training faces say of their labels in FER-2013."""

import io

import numpy as np

from stages.errors import UserError
from stages.parameters import VoteLabels
from stages.teachers import VOTES, read_votes


def read_vote_labels(declared: VoteLabels, rows: np.ndarray) -> np.ndarray:
    """Read the probabilities of FER-2013's labels by the votes on faces of Training.

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
    with np.load(io.BytesIO(read_votes(declared))) as arrays:
        known, probabilities = arrays["row"], arrays["probabilities"].astype(np.float32)
    order = np.argsort(known)
    places = order[np.searchsorted(known, rows, sorter=order).clip(max=len(known) - 1)]
    if (known[places] != rows).any():
        raise UserError(
            f"{VOTES}: it has no votes on row {rows[known[places] != rows][0]}; it is for FER-2013"
            " alone: set train.distillation.teachers_on_views.votes to null"
        )
    return probabilities[places] / probabilities[places].sum(axis=1, keepdims=True)
