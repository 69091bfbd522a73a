"""The names of a dataset's labels, and their order."""

from collections.abc import Iterable

from stages.dataset import fer2013, ferplus
from stages.parameters import FerPlusSource, Fetch, FolderSource, SampleSource


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


def emotions_of_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of the labels 0 … C - 1 of a dataset that has these names.

    FER-2013's seven stand in its order, others in alphabetical order.
    """
    found = set(names)
    return fer2013.EMOTIONS if found == set(fer2013.EMOTIONS) else tuple(sorted(found))
