"""Validate raw.csv and write its valid faces: `python -m stages.validate DATASET`.

Reads data/D/raw.csv; writes data/D/faces.npz, data/D/quarantine.csv (every rejected row with the
reason), data/D/validation.html and metrics/D/validation.json. If an expectation fails, the stage
writes all of them but faces.npz, and fails.
"""

from stages.command_line import check_parameters, run

if __name__ == "__main__":
    check_parameters()  # before the following imports, which take seconds

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from recognizer.atomic_file import written_atomically
from recognizer.csv_cells import text_cell
from stages.artifacts import Artifacts, write_metrics
from stages.dataset.faces import SPLITS
from stages.dataset.fer_csv import DRAWN, read_faces, shortened
from stages.dataset.labels import declared_emotions, in_order
from stages.dataset.row_checks import CHECKS, check_rows, count_rows, kept_faces
from stages.errors import UserError
from stages.parameters import Parameters
from stages.wording import first_of, joined, numbered

if TYPE_CHECKING:
    from stages.dataset.expectations import Outcome

logger = logging.getLogger(__name__)


def main(dataset: str, parameters: Parameters) -> None:
    """Validate one dataset.

    Raises
    ------
    UserError
        raw.csv does not have the expected format, or an expectation fails.
    """
    paths = Artifacts(dataset)
    raw, faces = paths.data / "raw.csv", paths.data / "faces.npz"
    quarantine, report = paths.data / "quarantine.csv", paths.data / "validation.html"
    rows, images = read_faces(raw)
    logger.info("%s: read %s", raw, numbered(len(rows), "row"))
    emotions = declared_emotions(parameters.fetch) or in_order(rows["emotion"].dropna())
    rows = check_rows(rows, images, emotions, parameters.validate_.min_std)
    rejected = rows[rows["check"].notna()]
    with written_atomically(quarantine) as temporary:
        cells = rejected.assign(observed=rejected["observed"].map(text_cell))
        cells.to_csv(temporary, columns=["row", "check", "observed"], index=False)
    by_check = rejected["check"].value_counts()
    reasons = ", ".join(f"{by_check[check]} {check}" for check in CHECKS if check in by_check)
    logger.info(
        "%s: %s (%s)", quarantine, numbered(len(rejected), "row"), reasons or "none rejected"
    )

    # Great Expectations takes seconds to import.
    from stages.dataset.expectations import validate_expectations
    from stages.dataset.validation_report import validation_report

    counts = count_rows(rows, emotions)
    # A source with drawn splits has other numbers in them; fetch has compared their sum.
    declared = None if DRAWN in rows else parameters.fetch.rows
    outcomes = validate_expectations(rows, emotions, parameters.validate_, declared, dataset)
    page = validation_report(dataset, counts, outcomes, rejected[["row", "check", "observed"]])
    with written_atomically(report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    expectations: dict[str, dict[str, Any]] = {"row": {}, "dataset": {}, "note": {}}
    for outcome in outcomes:
        expectations[outcome.level][outcome.check] = {
            "success": outcome.success,
            "observed": outcome.observed,
        }
    write_metrics(paths.metrics / "validation.json", {**counts, "expectations": expectations})

    failed = [outcome for outcome in outcomes if outcome.level != "note" and not outcome.success]
    if failed:
        # faces.npz of an earlier run does not belong to this raw.csv.
        faces.unlink(missing_ok=True)
        remedy = f"correct the dataset or change validate in params/{dataset}.yaml"
        if not set(SPLITS) <= set(rows["Usage"]):
            remedy = (
                "each split needs rows: add them, or remove the column Usage from the CSV to have "
                "the splits drawn"
            )
        where = f"what was expected is in {report}"
        if len(rejected):
            where = f"the rejected rows are in {quarantine}, {where}"
        raise UserError(f"{raw}: {'; '.join(problems(failed, rows))}; {where}; {remedy}")
    kept_faces(rows, images, emotions).write(faces)
    logger.info("%s: %s", faces, numbered(len(rows) - len(rejected), "face"))


def problems(failed: Sequence["Outcome"], rows: pd.DataFrame) -> list[str]:
    """The sentences of an error on failed expectations of checked rows."""
    has_rows = [split for split in SPLITS if (rows["Usage"] == split).any()]
    kept = set(rows.loc[rows["check"].isna(), "Usage"])
    empty = {
        "row": [split for split in SPLITS if split not in has_rows],
        "valid row": [split for split in has_rows if split not in kept],
    }
    sentences = [
        f"{joined(splits)} {'has' if len(splits) == 1 else 'have'} no {what}"
        for what, splits in empty.items()
        if splits
    ]
    without = {split for splits in empty.values() for split in splits}
    # All that depends on a split's rows fails where it has none.
    others = [outcome for outcome in failed if place_of(outcome.check) not in without]
    if others:
        found = ", ".join(f"{outcome.check} ({found_by(outcome, rows)})" for outcome in others)
        sentences.append(f"failed expectations, with what was found: {found}")
    return sentences


def place_of(check: str) -> str:
    """The split that an expectation is about; empty for one about all rows."""
    return check.partition(".")[2].partition(".")[0]


def found_by(outcome: "Outcome", rows: pd.DataFrame) -> str:
    """What was found, and what was needed where the error can say so in a few words."""
    from stages.dataset.expectations import MIN_FACES

    if isinstance(outcome.observed, int) and outcome.level == "row":
        return f"{numbered(outcome.observed, 'row')}{rejected_texts(outcome.check, rows)}"
    is_number_of_faces = outcome.check.startswith("class_faces.")
    least = f" of at least {MIN_FACES[place_of(outcome.check)]}" if is_number_of_faces else ""
    return f"{outcome.observed:.4g}{least}"


def rejected_texts(check: str, rows: pd.DataFrame) -> str:
    """The different texts in the column of labels or of splits that are none, the first three."""
    if check not in ("label", "usage"):
        return ""
    texts = rows.loc[rows["check"] == check, "observed"].unique()
    return f": {first_of([shortened(text, 30) for text in texts])}" if len(texts) else ""


if __name__ == "__main__":
    run(main, "Check every row of raw.csv and write faces.npz.")
