"""The results of validation as one self-contained HTML page."""

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any

import pandas as pd

from stages.dataset.expectations import Outcome
from stages.dataset.faces import SPLITS

SHOWN = 200
"""Largest number of rejected rows on the page; quarantine.csv has all of them."""

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#dde3e8, #3a4249); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; }
h2 { margin-top: 2.5rem; }
.met { color: light-dark(#2b7a3d, #6fce85); }
.failed { color: light-dark(#b3261e, #ff8a80); font-weight: 600; }
.noted { color: light-dark(#8a5a00, #e5b567); }
"""


def validation_report(
    dataset: str, counts: dict[str, Any], outcomes: list[Outcome], rejected: pd.DataFrame
) -> str:
    """Write the page.

    Parameters
    ----------
    dataset : str
    counts : dict
        As `stages.dataset.row_checks.count_rows` returns it.
    outcomes : list of Outcome
        One per expectation.
    rejected : DataFrame
        Columns row, check, observed.

    Returns
    -------
    str
        HTML, byte for byte the same for the same arguments.
    """
    failed = sum(_verdict(outcome) == "failed" for outcome in outcomes)
    verdict = f"expectations failed: {failed}" if failed else "every expectation is met"
    rows = counts["rows"]
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Validation of {escape(dataset)}</title>
<style>{STYLE}</style>
<h1>Validation of {escape(dataset)}</h1>
<p>{rows["read"]:,} rows read, {rows["kept"]:,} kept, {rows["rejected"]:,} in quarantine;
<span class="{"failed" if failed else "met"}">{verdict}</span>.</p>
<h2>Kept</h2>
{_kept_table(counts["kept"])}
<h2>Expectations</h2>
<p>An expectation about rows is met if at most the share validate.max_rejected of them fails; these
rows are in quarantine. An expectation that is only noted does not fail the stage.</p>
{_expectations_table(outcomes)}
<h2>Quarantine</h2>
<p>The first {min(SHOWN, len(rejected)):,} of {len(rejected):,} rows; quarantine.csv has all of
them.</p>
{_table(["row", "check", "observed"], rejected.head(SHOWN).itertuples(index=False), numbers=[0])}
</html>
"""


def _kept_table(kept: dict[str, dict[str, int]]) -> str:
    return _table(
        ["", *SPLITS],
        [[name, *(f"{kept[split][name]:,}" for split in SPLITS)] for name in kept[SPLITS[0]]],
        numbers=range(1, len(SPLITS) + 1),
    )


def _expectations_table(outcomes: list[Outcome]) -> str:
    rows = [
        [_verdict(outcome), outcome.level, outcome.description, _spelled(outcome)]
        for outcome in outcomes
    ]
    table = _table(["", "about", "expected", "found"], rows)
    for verdict in ("met", "failed", "noted"):
        table = table.replace(f"<td>{verdict}</td>", f'<td class="{verdict}">{verdict}</td>')
    return table


def _verdict(outcome: Outcome) -> str:
    if outcome.success:
        return "met"
    return "noted" if outcome.level == "note" else "failed"


def _spelled(outcome: Outcome) -> str:
    if outcome.observed is None:
        return ""
    if isinstance(outcome.observed, bool):
        return "yes" if outcome.observed else "no"
    if isinstance(outcome.observed, float):
        return f"{outcome.observed:.4g}"
    if outcome.level == "dataset":
        return str(outcome.observed)
    return "1 row fails" if outcome.observed == 1 else f"{outcome.observed} rows fail"


def _table(
    names: Sequence[str], rows: Iterable[Iterable[object]], numbers: Collection[int] = ()
) -> str:
    def line(cells: Iterable[object], tag: str) -> str:
        return "<tr>" + "".join(
            f"<{tag}{' class=number' * (place in numbers)}>{escape(str(cell))}</{tag}>"
            for place, cell in enumerate(cells)
        )

    return "\n".join(["<table>", line(names, "th"), *(line(row, "td") for row in rows), "</table>"])
