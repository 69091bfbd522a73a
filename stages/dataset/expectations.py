"""The Great Expectations suite that checked rows are validated with.

Importing this module takes seconds, so `stages.validate` imports it where it is needed.
"""

from dataclasses import dataclass

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from great_expectations.core import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.row_conditions import AndCondition, Column

from stages.dataset import fer2013
from stages.dataset.faces import SPLITS
from stages.dataset.fer_csv import HEADER, PIXELS
from stages.dataset.row_checks import labels_by_text
from stages.parameters import Rows, Validate
from stages.wording import numbered

TRAINING = SPLITS[0]
KEPT = Column("check").is_null()

MIN_FACES = {"Training": 10, "PublicTest": 2, "PrivateTest": 2}
"""Least number of faces of each emotion where `min_class_share` is null."""


@dataclass(frozen=True)
class Outcome:
    """The result of one expectation."""

    level: str
    """`row`: a property of every row; rows without it are in quarantine. `dataset`: a property of
    all rows together. `note`: a known weakness, which is reported and does not fail the stage."""
    check: str
    success: bool
    description: str
    observed: object
    """The value found, or the number of rows that fail; None if there was nothing to check."""


def validate_expectations(
    rows: pd.DataFrame,
    emotions: tuple[str, ...],
    limits: Validate,
    declared: Rows | None,
    dataset: str,
) -> list[Outcome]:
    """Validate checked rows with the suite.

    Parameters
    ----------
    rows : DataFrame as `stages.dataset.row_checks.check_rows` returns it.
    emotions : names of the labels 0 … C - 1.
    limits : section `validate` of the parameter file.
    declared : declared numbers of rows per split, or None.
    dataset : name of the suite.

    Returns
    -------
    One outcome for each expectation.
    """
    levels = {
        "row": row_expectations(limits, emotions),
        "dataset": dataset_expectations(limits, emotions, declared),
        "note": note_expectations(),
    }
    expectations = []
    for level, of_level in levels.items():
        for check, expectation in of_level.items():
            expectation.meta = {"level": level, "check": check}
            expectations.append(expectation)
    result = _run(gx.ExpectationSuite(dataset, expectations=expectations), _columns(rows, emotions))
    return [_outcome(item) for item in result.results]


# ---------------------------------------------------------------- the suite


def row_expectations(limits: Validate, emotions: tuple[str, ...]) -> dict[str, Expectation]:
    """Expectations of every row; one fails if more than `max_rejected` of the rows fail it."""
    mostly = 1 - limits.max_rejected
    return {
        "fields": gxe.ExpectColumnValuesToBeNull(
            column="line_problem", description="a line is three fields", mostly=mostly
        ),
        "label": gxe.ExpectColumnValuesToBeInSet(
            column="emotion",
            value_set=list(labels_by_text(emotions)),
            description=_label_rule(emotions),
            mostly=mostly,
        ),
        "usage": gxe.ExpectColumnValuesToBeInSet(
            column="Usage",
            value_set=list(SPLITS),
            description=f"Usage is one of {', '.join(SPLITS)}",
            mostly=mostly,
        ),
        "pixel_value": gxe.ExpectColumnValuesToBeNull(
            column="wrong_pixel", description="pixels are whole numbers 0 … 255", mostly=mostly
        ),
        "pixel_minimum": gxe.ExpectColumnValuesToBeBetween(
            column="minimum", min_value=0, description="no pixel is below 0", mostly=mostly
        ),
        "pixel_maximum": gxe.ExpectColumnValuesToBeBetween(
            column="maximum", max_value=255, description="no pixel is above 255", mostly=mostly
        ),
        "pixel_count": gxe.ExpectColumnValuesToBeBetween(
            column="pixel_count",
            min_value=PIXELS,
            max_value=PIXELS,
            description=f"an image has {PIXELS} pixels",
            mostly=mostly,
        ),
        "flat": gxe.ExpectColumnValuesToBeBetween(
            column="std",
            min_value=limits.min_std,
            description=f"the standard deviation is at least {limits.min_std} grey levels",
            mostly=mostly,
        ),
        "copy_of_test_image": gxe.ExpectColumnValuesToBeNull(
            column="copy_of", description="no Training image equals a test image", mostly=mostly
        ),
    }


def _label_rule(emotions: tuple[str, ...]) -> str:
    numbers = f"a whole number 0 … {len(emotions) - 1}"
    # FER-2013's files have numbers.
    names = "" if emotions == fer2013.EMOTIONS else f", or one of {', '.join(emotions)}"
    return f"emotion is {numbers}{names}"


def dataset_expectations(
    limits: Validate, emotions: tuple[str, ...], declared: Rows | None
) -> dict[str, Expectation]:
    """Expectations of all rows together, most of them after quarantine."""
    expectations: dict[str, Expectation] = {
        **{
            f"columns.{column}": gxe.ExpectColumnToExist(
                column=column, description=f"there is a column {column}"
            )
            for column in HEADER.split(",")
        },
        "rejected": gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
            column="check",
            max_value=limits.max_rejected,
            description=f"at most {limits.max_rejected} of all rows are in quarantine",
        ),
        "copies_left": gxe.ExpectColumnValuesToBeInSet(
            column="kept_in_a_test_split_too",
            value_set=[0],
            row_condition=KEPT & (Column("Usage") == TRAINING),
            description="after quarantine no Training image equals a test image",
        ),
    }
    for split in SPLITS:
        in_split = Column("Usage") == split
        if declared:
            rows = getattr(declared, split)
            expectations[f"declared_rows.{split}"] = gxe.ExpectTableRowCountToEqual(
                value=rows,
                row_condition=in_split,
                description=f"before quarantine {split} has the declared {numbered(rows, 'row')}",
            )
        if limits.min_split_rows is not None:
            least = numbered(limits.min_split_rows, "row")
            expectations[f"split_rows.{split}"] = gxe.ExpectTableRowCountToBeBetween(
                min_value=limits.min_split_rows,
                row_condition=in_split & KEPT,
                description=f"after quarantine {split} has at least {least}",
            )
        for emotion in emotions:
            expectations |= _class_expectations(split, emotion, in_split & KEPT, limits)
    return expectations


def _class_expectations(
    split: str, emotion: str, kept: AndCondition, limits: Validate
) -> dict[str, Expectation]:
    expectations: dict[str, Expectation] = {}
    column, low, high = _class_column(emotion), limits.min_class_share, limits.max_class_share
    if low is None:
        expectations[f"class_faces.{split}.{emotion}"] = gxe.ExpectColumnSumToBeBetween(
            column=column,
            min_value=MIN_FACES[split],
            row_condition=kept,
            description=f"after quarantine {split} has at least {MIN_FACES[split]} faces of "
            f"{emotion}",
        )
    if low is not None or high is not None:
        # The mean of a column of zeros and ones is the share of ones.
        expectations[f"class_share.{split}.{emotion}"] = gxe.ExpectColumnMeanToBeBetween(
            column=column,
            min_value=low,
            max_value=high,
            row_condition=kept,
            description=f"{0 if low is None else low} … {1 if high is None else high} "
            f"of {split}'s rows after quarantine are {emotion}",
        )
    return expectations


def note_expectations() -> dict[str, Expectation]:
    """Expectations that a perfect dataset meets, before quarantine."""
    within: dict[str, Expectation] = {
        f"duplicates_within.{split}": gxe.ExpectColumnValuesToBeUnique(
            column="pixels",
            row_condition=Column("Usage") == split,
            severity=FailureSeverity.INFO,
            description=f"no two images of {split} are equal",
        )
        for split in SPLITS
    }
    return within | {
        "duplicates_across_splits": gxe.ExpectColumnValuesToBeBetween(
            column="splits_of_pixels",
            max_value=1,
            severity=FailureSeverity.INFO,
            description="no image is in two splits",
        ),
        "conflicting_labels": gxe.ExpectColumnValuesToBeBetween(
            column="labels_of_pixels",
            max_value=1,
            severity=FailureSeverity.INFO,
            description="equal images have equal labels",
        ),
    }


# ---------------------------------------------------------------- running it


def _class_column(emotion: str) -> str:
    # An emotion may have the name of another column.
    return f"is {emotion}"


def _columns(rows: pd.DataFrame, emotions: tuple[str, ...]) -> pd.DataFrame:
    """The columns that the suite names; `pixels` is a number per distinct image."""
    same_pixels = rows.groupby("pixels")
    kept = rows["check"].isna()
    test_pixels = rows.loc[kept & (rows["Usage"] != TRAINING), "pixels"]
    table = rows.drop(columns=["row", "observed"]).assign(
        splits_of_pixels=same_pixels["Usage"].transform("nunique"),
        labels_of_pixels=same_pixels["emotion"].transform("nunique"),
        kept_in_a_test_split_too=(kept & rows["pixels"].isin(test_pixels)).astype(int),
    )
    for label, emotion in enumerate(emotions):
        table[_class_column(emotion)] = (rows["label"] == label).astype(int)
    return table


def _run(suite: gx.ExpectationSuite, table: pd.DataFrame) -> ExpectationSuiteValidationResult:
    settings = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=settings)
    batch = (
        context.data_sources.add_pandas("data")
        .add_dataframe_asset("raw.csv")
        .add_batch_definition_whole_dataframe("all rows")
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name="validate", data=batch, suite=context.suites.add(suite))
    )
    return definition.run(batch_parameters={"dataframe": table}, result_format="BASIC")


def _outcome(item: ExpectationValidationResult) -> Outcome:
    # An exception inside an expectation is reported under the metric that raised it.
    crashes = [info for info in item.exception_info.values() if isinstance(info, dict)]
    if crashes:
        raise RuntimeError(crashes[0]["exception_traceback"])
    observed = item.result.get("observed_value", item.result.get("unexpected_count"))
    if isinstance(observed, np.integer):
        observed = int(observed)
    expectation = item.expectation_config
    assert expectation is not None
    assert expectation.description is not None
    return Outcome(
        level=expectation.meta["level"],
        check=expectation.meta["check"],
        success=bool(item.success),
        description=expectation.description,
        observed=None if pd.api.types.is_scalar(observed) and pd.isna(observed) else observed,
    )
