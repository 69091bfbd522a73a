"""Write the CSV file and the page of a benchmark."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from recognizer.atomic_file import written_atomically


def as_written(row: Any) -> Any:
    """A row, an instance of a dataclass, with its floats as the CSV file has them.

    A page made of such rows has the same last digits as a table that is made of the file.
    """
    floats = {key: value for key, value in asdict(row).items() if isinstance(value, float)}
    return replace(row, **{key: float(f"{value:.4g}") for key, value in floats.items()})


def write_results(result: Path, rows: Sequence[Any], page: str) -> None:
    """Write a CSV file with one line per row, and the page beside it.

    Parameters
    ----------
    result : Path
        The CSV file; the page has the suffix .md.
    rows : sequence of dataclass instances
        Their fields are the columns; floats are written with four significant digits.
    page : str
        Markdown.
    """
    with written_atomically(result) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")
    with written_atomically(result.with_suffix(".md")) as temporary:
        temporary.write_text(page)
