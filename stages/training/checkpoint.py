"""A training run's state on disk, so that a run killed at any moment goes on where it was."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.artifacts import written_atomically


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
        Moving average of the model's weights; empty before the first step.
    best : list of float32 arrays
        The weights of the best epoch so far; empty before the first.
    beliefs : list of one float32 array [N, C]
        What the averaged network said of the training faces when it last looked;
        empty before the first look.
    """

    history: list[dict]
    variables: list[np.ndarray]
    average: list[np.ndarray]
    best: list[np.ndarray]
    beliefs: list[np.ndarray]


_GROUPS = ("variables", "average", "best", "beliefs")


def save(path: Path, key: str, state: State) -> None:
    """Write the state in one rename; a kill leaves the previous one."""
    groups = {group: getattr(state, group) for group in _GROUPS}
    arrays = {
        f"{group}/{index}": array
        for group, members in groups.items()
        for index, array in enumerate(members)
    }
    with written_atomically(path) as temporary:
        np.savez(temporary, key=key, history=json.dumps(state.history), **arrays)


def load(path: Path, key: str) -> State | None:
    """Read a state, or None where there is none or it belongs to other data or parameters.

    Parameters
    ----------
    path : Path
    key : str
        Digest of everything the run depends on; a state saved under another is not taken up.
    """
    if not path.exists():
        return None
    with np.load(path) as saved:
        if saved["key"] != key:
            return None
        groups = {
            group: [saved[name] for name in saved.files if name.startswith(f"{group}/")]
            for group in _GROUPS
        }
        return State(history=json.loads(str(saved["history"])), **groups)
