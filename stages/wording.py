"""Parts of the sentences in log lines and errors."""

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 3
"""Most names that a sentence lists."""


def numbered(count: int, noun: str) -> str:
    """A number and what it counts, as `1 image` or `2 images`; `noun` is in the singular."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def first_of(names: Sequence[str]) -> str:
    """The first names, and how many more there are, as `a, b, c and 2 more`."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def joined(names: Sequence[str]) -> str:
    """All names, as `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def nearest(name: str, candidates: Iterable[str], ratio: float) -> str | None:
    """The candidate that is most similar to a name, in upper or lower case.

    Parameters
    ----------
    name : str
    candidates : iterable of str
    ratio : float
        Least similarity, as difflib measures it: 1 for the same name. Above 0.7, one is likely a
        misspelling of the other.
    """
    by_key = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(name.lower(), by_key, n=1, cutoff=ratio)
    return by_key[near[0]] if near else None
