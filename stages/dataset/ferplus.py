"""FER+: ten people's votes on each face of FER-2013, and what Barsoum et al. make of them.

Barsoum et al., Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution, 2016. `fer2013new.csv` of Microsoft's FERPlus (MIT licence) has one row for each row
of FER-2013's CSV, in the same order.
"""

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recognizer.regular_file import read_regular_file
from stages.dataset import fer2013
from stages.dataset.fer_csv import shortened
from stages.errors import UserError

EMOTIONS = (*fer2013.EMOTIONS, "contempt")
"""Names of the labels 0 … 7."""

COLUMNS = (
    *("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt"),
    *("unknown", "NF"),
)
"""Columns of the file: those of EMOTIONS, `unknown`, and `NF` for `not a face`."""

URL = (
    "https://raw.githubusercontent.com/microsoft/FERPlus/"
    "8ad5426c7b69e86e78afccb42c5f516850f52a28/fer2013new.csv"
)
SHA256 = "9206e20d62f56475939f516847d61753e4860caeac9718b560129541b776fc2c"

REJECTED = ("unknown", "not_a_face", "no_majority")
"""Labels of the rows that FER+ leaves out; validate puts them into quarantine."""


MAX_BYTES = 100_000_000
"""The most bytes of the file; FER+'s has 2 million."""


@dataclass(frozen=True)
class Votes:
    """The votes on one face."""

    usage: str
    """Training, PublicTest or PrivateTest."""
    counts: tuple[int, ...]
    """Votes for each of COLUMNS."""


def read_votes(path: Path | None) -> list[Votes]:
    """Read fer2013new.csv, or download it where no path is given.

    Raises
    ------
    UserError
        The file is missing or is not FER+'s, or the download fails or has another digest.
    """
    if path is None:
        content, place = _downloaded(), URL
    else:
        place = str(path.absolute())
        try:
            content = read_regular_file(path, MAX_BYTES)
        except OSError as error:
            raise UserError(
                f"{place}: {error.strerror}; expected FER+'s fer2013new.csv; correct FERPLUS_CSV"
                " or fetch.ferplus.votes"
            ) from None
    try:
        return _parsed(content.decode("utf-8-sig", errors="replace"), place)
    except csv.Error as error:
        raise UserError(f"{place}: no CSV ({error}); expected FER+'s fer2013new.csv") from None


def _parsed(text: str, place: str) -> list[Votes]:
    table = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in ("Usage", *COLUMNS) if name not in (table.fieldnames or ())]
    if missing:
        raise UserError(
            f"{place}, line 1: no column '{missing[0]}'; expected FER+'s fer2013new.csv with the"
            f" columns Usage, {', '.join(COLUMNS)}"
        )
    votes = []
    for row in table:
        counts = [row[name] for name in COLUMNS]
        if not all(re.fullmatch(r"\d{1,4}", count or "") for count in counts):
            raise UserError(
                f"{place}, line {table.line_num}: expected ten numbers of votes, found"
                f" {shortened(','.join(map(str, counts)))}; get the whole file again"
            )
        votes.append(Votes(row["Usage"], tuple(map(int, counts))))
    return votes


def _downloaded() -> bytes:
    import requests

    remedy = "or set the environment variable FERPLUS_CSV to a local fer2013new.csv"
    try:
        answer = requests.get(URL, timeout=60)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise UserError(
            f"{URL}: the download of FER+'s votes failed ({type(error).__name__}); run again,"
            f" {remedy}"
        ) from error
    digest = hashlib.sha256(answer.content).hexdigest()
    if digest != SHA256:
        raise UserError(
            f"{URL}: the download has the SHA-256 {digest}, expected {SHA256}; run again, {remedy}"
        )
    return answer.content


def majority(counts: tuple[int, ...]) -> str:
    """The emotion with more than half of the votes, or one of REJECTED.

    Emotions with a single vote do not count (outliers). As `majority` of the authors' code, which
    also measures on these labels.
    """
    kept = _without_outliers(counts)
    most = max(kept)
    if 2 * most <= sum(kept):
        return "no_majority"
    return (*EMOTIONS, *REJECTED)[kept.index(most)]


def distribution(counts: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """The emotion with the most votes, or one of REJECTED, and the votes that count.

    The most frequent emotions count until they have three quarters of the votes, at most three of
    them. A row leaves where `unknown` or `NF` has the most votes, where four emotions tie, or where
    the counted emotions have at most half of the votes. As `crossentropy` of the authors' code.

    Returns
    -------
    label : str
    votes : ints [8], one per emotion; the network's target is their share.
    """
    kept = _without_outliers(counts)
    total, chosen, places = sum(kept), [0] * len(kept), 0
    for level in sorted(set(kept) - {0}, reverse=True):
        if 4 * sum(chosen) >= 3 * total or places >= 3:
            break
        tied = [place for place, count in enumerate(kept) if count == level]
        emotions = [place for place in tied if place < len(EMOTIONS)]
        if len(emotions) < len(tied):
            # `unknown` or `NF` ends the list; it counts only where it stands alone at its head.
            if not sum(chosen) and not emotions:
                return (*EMOTIONS, *REJECTED)[tied[0]], ()
            for place in emotions:
                chosen[place] = level
            places += len(emotions)
            break
        for place in tied:
            chosen[place] = level
        places += len(tied)
    if 2 * sum(chosen) <= total or places > 3:
        return "no_majority", ()
    votes = tuple(chosen[: len(EMOTIONS)])
    return EMOTIONS[votes.index(max(votes))], votes


def _without_outliers(counts: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(count if count > 1 else 0 for count in counts)


def label_and_votes(
    votes: Votes, targets: Literal["majority", "votes"]
) -> tuple[str, tuple[int, ...]]:
    """Label and counted votes of a face, by what Training is trained to.

    Both test splits have the majority's labels in either case.
    """
    label, counted = distribution(votes.counts)
    if targets == "majority" or votes.usage != "Training":
        label = majority(votes.counts)
    return label, counted
