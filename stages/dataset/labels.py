"""The names of a dataset's labels: their order, and the spellings that stand for them."""

import logging
import re
from collections.abc import Collection, Iterable

from stages.dataset import fer2013, ferplus
from stages.errors import UserError
from stages.parameters import FerPlusSource, Fetch, FolderSource, NamedLabels, SampleSource
from stages.wording import joined, nearest

logger = logging.getLogger(__name__)

PARAMETERS = "this dataset's source in its parameter file"
"""Where `labels` and `emotions` stand; the section has the name of the source, which the variable
FER2013_CSV may replace by another one."""

MISSPELLING = 0.7
"""Least similarity of a name and its misspelling; that of `contempt` and `neutral` is 0.4."""

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
        Its `labels` come first, then the names themselves, then `STANDARD`. A key of `labels`
        that is an emotion's name counts for all spellings of this emotion.
    emotions : tuple of str or None
        Names of the dataset's labels; None where the source's own spellings become the names.
    """

    def __init__(self, source: NamedLabels, emotions: tuple[str, ...] | None):
        self._written = tuple(source.labels)
        self._labels = {spelling.lower(): name for spelling, name in source.labels.items()}
        self._emotions = emotions
        self._names = {name.lower(): name for name in emotions or ()}
        for name in source.labels.values():
            if emotions is None and name is not None:
                _check_spelling(name)
            if emotions is not None and name is not None and name not in emotions:
                raise UserError(
                    f"labels: '{name}' is none of the dataset's emotions {', '.join(emotions)}"
                    f"{_hint(name, emotions)}; correct it in {PARAMETERS}, or name all in its "
                    "`emotions`"
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
        if (label := self._label_of(key)) is not None:
            return self._labels[label]
        if self._emotions is None:
            return STANDARD.get(key, key)
        if key in self._names:
            return self._names[key]
        same = [name for name in self._emotions if STANDARD.get(name.lower()) == STANDARD.get(key)]
        if key in STANDARD and len(same) == 1:
            return same[0]
        raise UserError(
            f"{place}: unknown emotion '{spelling}'{_hint(key, self._names)}; the dataset has "
            f"{', '.join(self._emotions)}; {self._remedy(spelling)}"
        )

    def is_known(self, spelling: str) -> bool:
        """Whether a spelling is one of `labels`, of the names, or of an emotion in `STANDARD`."""
        key = spelling.strip().lower()
        return key in self._labels or key in self._names or key in STANDARD

    def report_labels(self, found: Collection[str], place: object) -> None:
        """Log which `labels` stand for nothing in the source, and which emotions they create.

        Parameters
        ----------
        found : collection of str
            All spellings in the source.
        place : object
            The source.

        Raises
        ------
        UserError
            A key of `labels` that stands for nothing is similar to a spelling in the source.
        """
        label_of = {
            spelling: self._label_of(spelling.strip().lower()) for spelling in sorted(found)
        }
        unlabelled = [spelling for spelling, label in label_of.items() if label is None]
        for written in self._written:
            if written.lower() in label_of.values():
                continue
            if near := nearest(written, unlabelled, MISSPELLING):
                raise UserError(
                    f"{place}: `labels` has the key '{written}', which is no label or folder here;"
                    f" nearest: '{near}'; correct it in {PARAMETERS}, or remove it"
                )
            logger.warning(
                "%s: `labels` has the key '%s', which is no label or folder here", place, written
            )
        if self._emotions is None:
            others = {self.emotion(spelling, place) for spelling in unlabelled}
            used = {self._labels[label] for label in label_of.values() if label is not None}
            new = sorted(name for name in used - others - SPELLINGS.keys() if name is not None)
            if new:
                names = joined([f"'{name}'" for name in new])
                kind = "is a new emotion" if len(new) == 1 else "are new emotions"
                logger.info("labels: %s %s", names, kind)

    def _label_of(self, key: str) -> str | None:
        """The key of `labels` that a spelling in lower case falls under, or None."""
        if key in self._labels:
            return key
        emotion = STANDARD.get(key)
        return emotion if emotion in self._labels and key not in self._names else None

    def _remedy(self, spelling: str) -> str:
        written = spelling if re.fullmatch(r"[\w -]+", spelling) else f"'{spelling}'"
        near = nearest(spelling, self._names.values(), MISSPELLING)
        if near:
            return (
                f"add `labels: {{{written}: {near}}}` to {PARAMETERS}, or with null in place of "
                f"{near} to leave these images out"
            )
        return (
            f"add `labels: {{{written}: null}}` to {PARAMETERS} to leave these images out, or name "
            "all emotions, this one too, in its `emotions`"
        )


def _check_spelling(name: str) -> None:
    """Refuse a new emotion whose name is likely a misspelling of one in `SPELLINGS`."""
    if name.lower() not in STANDARD and (near := nearest(name, SPELLINGS, MISSPELLING)):
        raise UserError(
            f"labels: '{name}' is a new emotion; nearest: '{near}'; correct it in {PARAMETERS}, or "
            "name all emotions, this one too, in its `emotions`"
        )


def _hint(name: str, candidates: Iterable[str]) -> str:
    near = nearest(name, candidates, MISSPELLING)
    return f" (nearest: '{near}')" if near else ""
