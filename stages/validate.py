"""raw.csv → faces.npz: read every pixel, keep what is sound, say what is wrong with the rest.

`python -m stages.validate DATASET` writes data/D/faces.npz, data/D/quarantine.csv,
data/D/validation.html and metrics/D/validation.json. When the dataset as a whole is
unsound it writes the last three, so that a person can look, and fails.
"""

import logging

import numpy as np
import pandas as pd

from stages.artifacts import Artifacts, write_arrays, write_metrics, written_atomically
from stages.command_line import run
from stages.dataset.fer_csv import EMOTIONS, LABELS, PIXELS, SPLITS, read_faces, shortened
from stages.errors import UserError
from stages.parameters import Parameters

logger = logging.getLogger(__name__)

TRAINING, *TESTS = SPLITS

CHECKS = ("fields", "label", "usage", "pixel_value", "pixel_count", "flat", "copy_of_test_image")
"""What a row may fail, in the order of judging; quarantine.csv names the first."""


# ---------------------------------------------------------------- the core


def judge(rows: pd.DataFrame, images: np.ndarray, min_std: float) -> pd.DataFrame:
    """Decide about every row: keep it, or name the first check that it fails.

    Parameters
    ----------
    rows, images : N rows as `stages.dataset.fer_csv.read_faces` returns them.
    min_std : an image whose standard deviation (grey levels) is below this is flat.

    Returns
    -------
    DataFrame : `rows` with four more columns
        pixels : float, equal for equal images; NaN for a malformed row or a flat image.
        copy_of : float, for a Training row the line of the first kept test row with the
            same pixels, otherwise NaN.
        check : one of `CHECKS`, null for a row to keep.
        observed : text, what was found instead, null likewise.
    """
    rows = rows.assign(check=None, observed=None)
    _reject(rows, "fields", rows["line_problem"].notna(), rows["line_problem"])
    _reject(rows, "label", ~rows["emotion"].isin(LABELS), rows["emotion"])
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


def _reject(rows: pd.DataFrame, check: str, fails: pd.Series, observed: pd.Series) -> None:
    """Mark, in place, the rows that fail this check and none before."""
    fails = fails & rows["check"].isna()
    rows.loc[fails, "check"] = check
    rows.loc[fails, "observed"] = [
        (shortened(value) or "(empty)") if isinstance(value, str) else f"{value:.10g}"
        for value in observed[fails]
    ]


def _number_images(images: np.ndarray, considered: np.ndarray) -> np.ndarray:
    """Equal numbers for equal images, NaN for those not considered."""
    numbers = np.full(len(images), np.nan)
    # One element of 2304 bytes for each image compares faster than a row of an array.
    pixels = images[considered].reshape(-1, PIXELS).view(np.dtype((np.void, PIXELS))).ravel()
    numbers[considered] = np.unique(pixels, return_inverse=True)[1]
    return numbers


def _in_training_too(rows: pd.DataFrame) -> pd.Series:
    """True for test rows whose exact pixels stand in a sound Training row as well."""
    training_pixels = rows.loc[rows["Usage"] == TRAINING, "pixels"].dropna()
    return rows["Usage"].isin(TESTS) & rows["pixels"].isin(training_pixels)


def kept_faces(rows: pd.DataFrame, images: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of faces.npz, from judged rows and their images.

    Returns
    -------
    dict of K faces in the file's order
        images : uint8 [K, 48, 48], grey levels.
        labels : uint8 [K], 0 angry … 6 neutral.
        split : uint8 [K], 0 Training, 1 PublicTest, 2 PrivateTest.
        row : int32 [K], line of raw.csv; the header is line 1.
        copy_in_training : bool [K], True for a test image whose exact pixels stood in a
            sound Training row too; that row is not among the K.
    """
    kept = rows["check"].isna()
    faces = rows[kept]
    return {
        "images": images[kept.to_numpy()],
        "labels": faces["emotion"].astype(np.uint8).to_numpy(),
        "split": faces["Usage"].map(SPLITS.index).to_numpy(dtype=np.uint8),
        "row": faces["row"].to_numpy(dtype=np.int32),
        "copy_in_training": _in_training_too(rows)[kept].to_numpy(dtype=bool),
    }


def count_rows(rows: pd.DataFrame) -> dict:
    """Judged rows in numbers: kept by split and emotion, rejected by check, duplicates."""
    kept = rows[rows["check"].isna()]
    by_emotion = {
        split: {
            emotion: int(((kept["Usage"] == split) & (kept["emotion"] == label)).sum())
            for label, emotion in zip(LABELS, EMOTIONS, strict=True)
        }
        for split in SPLITS
    }
    return {
        "rows": {"read": len(rows), "kept": len(kept), "rejected": len(rows) - len(kept)},
        "kept": {
            split: {**counts, "total": sum(counts.values())} for split, counts in by_emotion.items()
        },
        "rejected": {check: int((rows["check"] == check).sum()) for check in CHECKS},
        "duplicates": _count_duplicates(rows),
    }


def _count_duplicates(rows: pd.DataFrame) -> dict:
    """Exact duplicates among all sound images, those taken out of Training too."""
    sound = rows[rows["pixels"].notna()]
    groups = sound.groupby("pixels")
    in_training_too = sound.loc[_in_training_too(sound), "Usage"]
    return {
        "groups": int((groups.size() > 1).sum()),
        "redundant_copies": int(sound.duplicated("pixels").sum()),
        "groups_with_conflicting_labels": int((groups["emotion"].nunique() > 1).sum()),
        "redundant_copies_within": {
            split: int(sound[sound["Usage"] == split].duplicated("pixels").sum())
            for split in SPLITS
        },
        "copies_in_training": {split: int((in_training_too == split).sum()) for split in TESTS},
    }


# ---------------------------------------------------------------- the shell


def main(dataset: str, parameters: Parameters) -> None:
    """Validate one dataset.

    Raises
    ------
    UserError
        raw.csv cannot be read as the format, or an expectation about it fails.
    """
    paths = Artifacts(dataset)
    raw, faces = paths.data / "raw.csv", paths.data / "faces.npz"
    quarantine, report = paths.data / "quarantine.csv", paths.data / "validation.html"
    rows, images = read_faces(raw)
    logger.info("%s: read %d rows", raw, len(rows))
    rows = judge(rows, images, parameters.validate_.min_std)
    rejected = rows[rows["check"].notna()]
    with written_atomically(quarantine) as temporary:
        rejected.to_csv(temporary, columns=["row", "check", "observed"], index=False)
    by_check = rejected["check"].value_counts()
    reasons = ", ".join(f"{by_check[check]} {check}" for check in CHECKS if check in by_check)
    logger.info("%s: %d rows (%s)", quarantine, len(rejected), reasons or "none rejected")

    # Great Expectations takes seconds to import.
    from stages.dataset.expectations import validate_expectations
    from stages.dataset.validation_report import validation_report

    counts = count_rows(rows)
    outcomes = validate_expectations(rows, parameters.validate_, parameters.fetch.rows, dataset)
    page = validation_report(dataset, counts, outcomes, rejected[["row", "check", "observed"]])
    with written_atomically(report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    expectations = {"row": {}, "dataset": {}, "note": {}}
    for outcome in outcomes:
        expectations[outcome.level][outcome.check] = {
            "success": outcome.success,
            "observed": outcome.observed,
        }
    write_metrics(paths.metrics / "validation.json", {**counts, "expectations": expectations})

    failed = [outcome for outcome in outcomes if outcome.level != "note" and not outcome.success]
    if failed:
        # Faces of an earlier run do not belong to this raw.csv.
        faces.unlink(missing_ok=True)
        # Without rows a split has no class shares; that it has none is said already.
        found = ", ".join(
            f"{outcome.check} ({outcome.observed:.4g}{' rows' * (outcome.level == 'row')})"
            for outcome in failed
            if outcome.observed is not None
        )
        raise UserError(
            f"{raw}: failed expectations, with what was found: {found}; the rejected rows are in "
            f"{quarantine}, what was expected in {report}; mend the dataset or change "
            f"{dataset}.validate in params.yaml"
        )
    with written_atomically(faces) as temporary:
        write_arrays(temporary, **kept_faces(rows, images))
    logger.info("%s: %d faces", faces, len(rows) - len(rejected))


if __name__ == "__main__":
    run(main, "Check every row of raw.csv and write faces.npz.")
