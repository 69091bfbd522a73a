"""The Markdown tables of model cards, README.md, benchmarks and experiments."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate


def markdown_table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int = 1
) -> str:
    """Format a Markdown table; the caller rounds the numbers.

    Parameters
    ----------
    headers : sequence of str
        One per column.
    rows : iterable of sequences
        One cell per column; each is written as `str` does.
    text_columns : int
        Number of columns, from the left, that are left-aligned. The others are right-aligned.
    """
    cells = [[str(cell).replace("|", r"\|") for cell in row] for row in rows]
    alignment = ["left" if column < text_columns else "right" for column in range(len(headers))]
    return str(tabulate(cells, headers, tablefmt="pipe", disable_numparse=True, colalign=alignment))
