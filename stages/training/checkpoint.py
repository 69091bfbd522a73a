"""A training run's state on disk, from which a killed run resumes."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recognizer.atomic_file import written_atomically


@dataclass
class State:
    """Everything that the next epoch depends on.

    Attributes
    ----------
    history : list of dict
        One row per finished epoch.
    variables : list of arrays
        The model's and the optimizer's variables, the generators of dropout among them.
    average : list of float32 arrays
        The EMA of the model's weights; empty before the first step.
    best : list of float32 arrays
        The weights of the best epoch so far; empty before the first.
    own_soft_labels : list of one float32 array [N, C]
        Probabilities of the training faces, as the EMA model last predicted them; empty before
        the first prediction.
    view_soft_labels : list of float16 arrays [N, C]
        The teachers' probabilities of the views so far; empty where the settings use no views.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    variables: list[np.ndarray] = field(default_factory=list)
    average: list[np.ndarray] = field(default_factory=list)
    best: list[np.ndarray] = field(default_factory=list)
    own_soft_labels: list[np.ndarray] = field(default_factory=list)
    view_soft_labels: list[np.ndarray] = field(default_factory=list)


_GROUPS = ("variables", "average", "best", "own_soft_labels", "view_soft_labels")


def save(path: Path, fingerprint: str, state: State) -> None:
    """Write the state atomically: after a kill, the file holds this state or the previous one."""
    groups = {group: getattr(state, group) for group in _GROUPS}
    arrays = {
        f"{group}/{index}": array
        for group, members in groups.items()
        for index, array in enumerate(members)
    }
    with written_atomically(path) as temporary:
        np.savez(temporary, fingerprint=fingerprint, history=json.dumps(state.history), **arrays)


def load(path: Path, fingerprint: str) -> State | None:
    """Read a state; None if there is none, or if it has another fingerprint.

    Parameters
    ----------
    path : Path
    fingerprint : str
        Digest of everything that the run depends on.
    """
    if not path.exists():
        return None
    with np.load(path) as saved:
        if saved["fingerprint"] != fingerprint:
            return None
        groups = {
            group: [saved[name] for name in saved.files if name.startswith(f"{group}/")]
            for group in _GROUPS
        }
        return State(history=json.loads(str(saved["history"])), **groups)
