"""Checks of single rows of raw.csv: which are valid, and what is wrong with the others."""

from typing import Any

import numpy as np
import pandas as pd

from stages.dataset.faces import SPLITS, Faces
from stages.dataset.fer_csv import CORRECTED, DRAWN, PIXELS, VOTES, shortened

TRAINING, *TESTS = SPLITS

CHECKS = (
    *("fields", "label", "votes", "usage", "pixel_value", "pixel_count", "flat"),
    "copy_of_test_image",
)
"""Checks of a row, in this order; quarantine.csv names the first one that fails. `votes` is for
files that have the column."""


def check_rows(
    rows: pd.DataFrame, images: np.ndarray, emotions: tuple[str, ...], min_std: float
) -> pd.DataFrame:
    """Name the first check that each row fails, if any.

    Parameters
    ----------
    rows, images : N rows as `stages.dataset.fer_csv.read_faces` returns them.
    emotions : names of the labels 0 … C - 1; a row has the number or the name.
    min_std : an image with a standard deviation (grey levels) below this is flat.

    Returns
    -------
    DataFrame : `rows` with more columns
        label : float, index into `emotions`; NaN for what is none.
        pixels : float, equal for equal images; NaN for a malformed row or a flat image.
        copy_of : float, for a Training row the line of the first kept test row with the
            same pixels, otherwise NaN.
        check : one of `CHECKS`, null for a valid row.
        observed : text, what was found, null for a valid row.
    """
    label = rows["emotion"].map(labels_by_text(emotions)).astype(float)
    rows = rows.assign(label=label, check=None, observed=None)
    _reject(rows, "fields", rows["line_problem"].notna(), rows["line_problem"])
    _reject(rows, "label", label.isna(), rows["emotion"])
    if VOTES in rows:
        valid = rows[VOTES].map(lambda text: _is_votes(text, len(emotions)), na_action="ignore")
        _reject(rows, "votes", ~valid.eq(True), rows[VOTES])
    _reject(rows, "usage", ~rows["Usage"].isin(SPLITS), rows["Usage"])
    _reject(rows, "pixel_value", rows["wrong_pixel"].notna(), rows["wrong_pixel"])
    _reject(rows, "pixel_count", rows["pixel_count"] != PIXELS, rows["pixel_count"])
    _reject(rows, "flat", rows["std"] < min_std, rows["std"])
    rows["pixels"] = _number_images(images, rows["check"].isna().to_numpy())

    kept_tests = rows[rows["check"].isna() & rows["Usage"].isin(TESTS)]
    first_line = kept_tests.groupby("pixels")["row"].min()
    rows["copy_of"] = rows["pixels"].map(first_line).where(rows["Usage"] == TRAINING)
    _reject(rows, "copy_of_test_image", rows["copy_of"].notna(), rows["copy_of"])
    return rows


def labels_by_text(emotions: tuple[str, ...]) -> dict[str, int]:
    """The label that each text in the column `emotion` stands for: its number or its name."""
    numbers = {str(label): label for label in range(len(emotions))}
    return numbers | {name: label for label, name in enumerate(emotions)}


def _is_votes(text: str, classes: int) -> bool:
    counts = text.split(" ")
    return (
        len(counts) == classes
        and all(count.isdecimal() and len(count) < 10 and int(count) < 256 for count in counts)
        and any(int(count) for count in counts)
    )


def _reject(rows: pd.DataFrame, check: str, fails: pd.Series, observed: pd.Series) -> None:
    """Mark, in place, the rows that fail this check and no earlier one."""
    fails = fails & rows["check"].isna()
    rows.loc[fails, "check"] = check
    rows.loc[fails, "observed"] = [
        (shortened(value) or "(empty)") if isinstance(value, str) else f"{value:.10g}"
        for value in observed[fails]
    ]


def _number_images(images: np.ndarray, considered: np.ndarray) -> np.ndarray:
    """Give equal images equal numbers, and NaN to images that are not considered."""
    numbers = np.full(len(images), np.nan)
    # np.unique is faster on elements of 2304 bytes than on rows of an array.
    pixels = images[considered].reshape(-1, PIXELS).view(np.dtype((np.void, PIXELS))).ravel()
    numbers[considered] = np.unique(pixels, return_inverse=True)[1]
    return numbers


def _duplicated_in_training(rows: pd.DataFrame) -> pd.Series:
    """True for train–test duplicates: test rows with the pixels of a valid Training row."""
    training_pixels = rows.loc[rows["Usage"] == TRAINING, "pixels"].dropna()
    return rows["Usage"].isin(TESTS) & rows["pixels"].isin(training_pixels)


def kept_faces(rows: pd.DataFrame, images: np.ndarray, emotions: tuple[str, ...]) -> Faces:
    """The faces of the checked rows that no check has rejected."""
    kept = rows["check"].isna()
    faces = rows[kept]
    return Faces(
        images=images[kept.to_numpy()],
        labels=faces["label"].to_numpy(dtype=np.uint8),
        split=faces["Usage"].map(SPLITS.index).to_numpy(dtype=np.uint8),
        row=faces["row"].to_numpy(dtype=np.int32),
        copy_in_training=_duplicated_in_training(rows)[kept].to_numpy(dtype=bool),
        emotions=emotions,
        votes=np.array([text.split(" ") for text in faces[VOTES]], dtype=np.uint8)
        if VOTES in faces
        else None,
        corrected=faces[CORRECTED].eq("1").to_numpy(bool) if CORRECTED in faces else None,
    )


def count_rows(rows: pd.DataFrame, emotions: tuple[str, ...]) -> dict[str, Any]:
    """Count checked rows: kept by split and emotion, rejected by check, duplicates."""
    kept = rows[rows["check"].isna()]
    by_emotion = {
        split: {
            emotion: int(((kept["Usage"] == split) & (kept["label"] == label)).sum())
            for label, emotion in enumerate(emotions)
        }
        for split in SPLITS
    }
    return {
        "rows": {"read": len(rows), "kept": len(kept), "rejected": len(rows) - len(kept)},
        "kept": {
            split: {**counts, "total": sum(counts.values())} for split, counts in by_emotion.items()
        },
        "rejected": {
            check: int((rows["check"] == check).sum())
            for check in CHECKS
            if check != VOTES or VOTES in rows
        },
        "duplicates": _count_duplicates(rows),
        **_count_drawn(kept),
        **_count_corrected(kept),
    }


def _count_drawn(kept: pd.DataFrame) -> dict[str, Any]:
    """Number of faces that were drawn into each split, where the source has not all splits."""
    if DRAWN not in kept:
        return {}
    drawn = kept.loc[kept[DRAWN] == "1", "Usage"].value_counts()
    return {"drawn": {split: int(drawn.get(split, 0)) for split in TESTS}}


def _count_corrected(kept: pd.DataFrame) -> dict[str, Any]:
    """Number of faces of each split whose emotion a person has corrected, where there are any."""
    if CORRECTED not in kept:
        return {}
    corrected = kept.loc[kept[CORRECTED] == "1", "Usage"].value_counts()
    return {"corrected": {split: int(corrected.get(split, 0)) for split in SPLITS}}


def _count_duplicates(rows: pd.DataFrame) -> dict[str, Any]:
    """Count exact duplicates among all valid images, those removed from Training included."""
    valid = rows[rows["pixels"].notna()]
    groups = valid.groupby("pixels")
    duplicated = valid.loc[_duplicated_in_training(valid), "Usage"]
    return {
        "groups": int((groups.size() > 1).sum()),
        "redundant_copies": int(valid.duplicated("pixels").sum()),
        "groups_with_conflicting_labels": int((groups["emotion"].nunique() > 1).sum()),
        "redundant_copies_within": {
            split: int(valid[valid["Usage"] == split].duplicated("pixels").sum())
            for split in SPLITS
        },
        "copies_in_training": {split: int((duplicated == split).sum()) for split in TESTS},
    }
