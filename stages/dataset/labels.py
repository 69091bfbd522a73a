"""The names of a dataset's labels: their order, and the spellings that stand for them."""

import difflib
import re
from collections.abc import Iterable

from stages.dataset import fer2013, ferplus
from stages.errors import UserError
from stages.parameters import FerPlusSource, Fetch, FolderSource, NamedLabels, SampleSource

SPELLINGS = fer2013.SPELLINGS | {"contempt": ("contemptuous", "co")}
"""Other spellings of an emotion, in lower case."""

STANDARD = {
    spelling: emotion for emotion, others in SPELLINGS.items() for spelling in (emotion, *others)
}
"""The emotion that a spelling in lower case stands for."""


def declared_emotions(source: Fetch) -> tuple[str, ...] | None:
    """Names of the labels 0 … C - 1 as the parameters declare them; None where the images do."""
    match source:
        case SampleSource():
            return fer2013.EMOTIONS
        case FerPlusSource():
            return ferplus.EMOTIONS
        case FolderSource(emotions=None):
            return None
    return tuple(source.emotions) if source.emotions else fer2013.EMOTIONS


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of the labels 0 … C - 1 where none are declared.

    FER-2013's seven, or their numbers, stand in its order, others in alphabetical order.
    """
    found = set(names)
    are_fer2013 = found == set(fer2013.EMOTIONS) or all(name.isdecimal() for name in found)
    return fer2013.EMOTIONS if are_fer2013 else tuple(sorted(found))


class Spellings:
    """The emotion that each spelling in a source stands for.

    Parameters
    ----------
    source : NamedLabels
        Its `labels` come first, then the names themselves, then `STANDARD`.
    emotions : tuple of str or None
        Names of the dataset's labels; None where the source's own spellings become the names.
    """

    def __init__(self, source: NamedLabels, emotions: tuple[str, ...] | None):
        self._section = f"fetch.{source.source}"
        self._labels = {spelling.lower(): name for spelling, name in source.labels.items()}
        self._emotions = emotions
        self._names = {name.lower(): name for name in emotions or ()}
        for name in source.labels.values():
            if emotions is not None and name is not None and name not in emotions:
                raise UserError(
                    f"{self._section}.labels: '{name}' is none of the dataset's emotions "
                    f"{', '.join(emotions)}{_nearest(name, emotions)}; correct it, or name all in "
                    f"{self._section}.emotions"
                )

    def emotion(self, spelling: str, place: object) -> str | None:
        """The emotion's name; None for a spelling that `labels` leaves out.

        Parameters
        ----------
        spelling : str
            In upper or lower case.
        place : object
            Where it stands, for the error.

        Raises
        ------
        UserError
            The spelling stands for none of the dataset's emotions.
        """
        key = spelling.strip().lower()
        if key in self._labels:
            return self._labels[key]
        if self._emotions is None:
            return STANDARD.get(key, key)
        if key in self._names:
            return self._names[key]
        same = [name for name in self._emotions if STANDARD.get(name.lower()) == STANDARD.get(key)]
        if key in STANDARD and len(same) == 1:
            return same[0]
        near = difflib.get_close_matches(key, self._names, n=1, cutoff=0.4)
        name = self._names[near[0]] if near else self._emotions[0]
        written = spelling if re.fullmatch(r"[\w -]+", spelling) else f"'{spelling}'"
        raise UserError(
            f"{place}: unknown emotion '{spelling}'{_nearest(key, self._names)}; the dataset has "
            f"{', '.join(self._emotions)}; add a line to {self._section} in the parameter file: "
            f"`labels: {{{written}: {name}}}`, or with null in place of {name} to leave these "
            "images out"
        )


def _nearest(name: str, candidates: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), candidates, n=1, cutoff=0.4)
    return f" (nearest: '{near[0]}')" if near else ""
