"""Cells of a CSV file that a spreadsheet would take for a formula.

A spreadsheet computes a cell that begins with one of `= + - @`, a tab or a line end; a file name
may begin with them too. An apostrophe in front makes the cell a text (OWASP, CSV Injection).
"""

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

_IS_FORMULA = re.compile("'*[=+\\-@\t\r\n]")


def csv_line(cells: Iterable[Any]) -> str:
    """A row as a line that ends with a line feed.

    csv.writer with this line end would not quote a carriage return in a cell.
    """
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()[:-2] + "\n"


def text_cell(value: Any) -> Any:
    """A text with an apostrophe in front where it needs one; numbers stay as they are.

    A text that already has apostrophes before such a character gets another one, so that
    `from_text_cell` gives back every text.
    """
    return f"'{value}" if isinstance(value, str) and _IS_FORMULA.match(value) else value


def from_text_cell(cell: str) -> str:
    """The text that `text_cell` was called with."""
    return cell[1:] if cell.startswith("'") and _IS_FORMULA.match(cell) else cell
