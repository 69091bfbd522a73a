"""Validate raw.csv and write its valid faces: `python -m stages.validate DATASET`.

Reads data/D/raw.csv; writes data/D/faces.npz, data/D/quarantine.csv (every rejected row with the
reason), data/D/validation.html and metrics/D/validation.json. If an expectation fails, the stage
writes all of them but faces.npz, and fails.
"""

from stages.command_line import check_parameters, run

if __name__ == "__main__":
    check_parameters()  # before the following imports, which take seconds

import logging
from typing import Any

from recognizer.atomic_file import written_atomically
from recognizer.csv_cells import text_cell
from stages.artifacts import Artifacts, write_metrics
from stages.dataset.fer_csv import read_faces
from stages.dataset.labels import declared_emotions, in_order
from stages.dataset.row_checks import CHECKS, check_rows, count_rows, kept_faces
from stages.errors import UserError
from stages.parameters import Parameters

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
    logger.info("%s: read %d rows", raw, len(rows))
    emotions = declared_emotions(parameters.fetch) or in_order(rows["emotion"].dropna())
    rows = check_rows(rows, images, emotions, parameters.validate_.min_std)
    rejected = rows[rows["check"].notna()]
    with written_atomically(quarantine) as temporary:
        cells = rejected.assign(observed=rejected["observed"].map(text_cell))
        cells.to_csv(temporary, columns=["row", "check", "observed"], index=False)
    by_check = rejected["check"].value_counts()
    reasons = ", ".join(f"{by_check[check]} {check}" for check in CHECKS if check in by_check)
    logger.info("%s: %d rows (%s)", quarantine, len(rejected), reasons or "none rejected")

    # Great Expectations takes seconds to import.
    from stages.dataset.expectations import validate_expectations
    from stages.dataset.validation_report import validation_report

    counts = count_rows(rows, emotions)
    outcomes = validate_expectations(
        rows, emotions, parameters.validate_, parameters.fetch.rows, dataset
    )
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
        # A split without rows has no class shares; another expectation reports it.
        found = ", ".join(
            f"{outcome.check} ({outcome.observed:.4g}{' rows' * (outcome.level == 'row')}"
            f"{needed(outcome.check)})"
            for outcome in failed
            if outcome.observed is not None
        )
        raise UserError(
            f"{raw}: failed expectations, with what was found: {found}; the rejected rows are in "
            f"{quarantine}, what was expected in {report}; correct the dataset or change "
            f"validate in params/{dataset}.yaml"
        )
    kept_faces(rows, images, emotions).write(faces)
    logger.info("%s: %d faces", faces, len(rows) - len(rejected))


def needed(check: str) -> str:
    """How many faces an emotion needs, for the error of a check that counts them."""
    from stages.dataset.expectations import MIN_FACES

    kind, _, place = check.partition(".")
    return f" of at least {MIN_FACES[place.partition('.')[0]]}" if kind == "class_faces" else ""


if __name__ == "__main__":
    run(main, "Check every row of raw.csv and write faces.npz.")
