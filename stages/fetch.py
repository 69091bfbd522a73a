"""Fetch a dataset from its source: `python -m stages.fetch DATASET`.

Writes data/D/raw.csv with the columns `emotion,pixels,Usage`. The environment variable FER2013_CSV
names a local FER-2013 in any public form; it replaces the source of fer2013 and of the datasets
named after it, such as fer2013-small, and the faces of FER+. FERPLUS_CSV names FER+'s votes.
"""

from stages.command_line import check_parameters, run

if __name__ == "__main__":
    check_parameters()  # before the following imports, which take seconds

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts
from stages.dataset.faces import SPLITS
from stages.dataset.fer_csv import DRAWN
from stages.dataset.source_description import source_of
from stages.dataset.sources import SOURCES
from stages.errors import UserError
from stages.parameters import Fetch, Parameters, Rows

logger = logging.getLogger(__name__)


def main(dataset: str, parameters: Parameters) -> None:
    """Write the dataset's raw.csv."""
    source = source_of(dataset, parameters.fetch, os.environ)
    fetch(source, Artifacts(dataset).data / "raw.csv")


def fetch(source: Fetch, path: Path) -> None:
    """Write all lines of a source to `path`; after an error, `path` is as it was.

    Raises
    ------
    UserError
        The source cannot be read, or a split does not have the declared number of rows.
    """
    rows: Counter[str] = Counter()
    lines = iter(SOURCES[source.source](source))
    header = next(lines)
    with written_atomically(path) as temporary:
        with temporary.open("wb", buffering=1 << 20) as raw:
            for line in counted(chain([header], lines), rows):
                raw.write(line)
                raw.write(b"\n")
        if source.rows is not None:
            check_rows(rows, source.rows, drawn=DRAWN.encode() in header.split(b","))
    logger.info("wrote %s: %s", path, _spelled(rows))


def counted(lines: Iterable[bytes], rows: Counter[str]) -> Iterator[bytes]:
    """Yield the lines; count those after the header in `rows`, by their split."""
    known = {split.encode(): split for split in SPLITS}
    lines = iter(lines)
    header = next(lines)
    yield header
    after = header.count(b",", header.find(b"Usage"))
    for line in lines:
        usage = line.rsplit(b",", after + 1)[-1 - after].strip(b' "')
        rows[known.get(usage, "other")] += 1
        yield line


def check_rows(found: Counter[str], declared: Rows, drawn: bool) -> None:
    """Compare the number of rows of each split with the declared one.

    Where splits were drawn, compare the sum with the declared one, of all or of Training alone.

    Rows without a valid split are left to validate, which reports what is wrong with them.

    Raises
    ------
    UserError
        A split has more or fewer rows than declared.
    """
    expected = Counter(declared.model_dump())
    if drawn and found.total() == expected.total():
        logger.warning(
            "the source does not have the declared splits, %s: metrics on drawn splits cannot be "
            "compared with those of others",
            _spelled(expected),
        )
    elif drawn and found.total() == expected["Training"]:
        logger.warning(
            "the source has the %d rows of Training alone: metrics on splits that are drawn from"
            " them cannot be compared with those of others",
            expected["Training"],
        )
    elif any(found[split] != expected[split] for split in SPLITS):
        raise UserError(
            f"rows: expected {_spelled(expected)}; the source has {_spelled(found)}"
            f"{', with drawn splits' if drawn else ''}; nothing was written; get the whole "
            "dataset, or correct the rows in the parameter file (null accepts any)"
        )


def _spelled(rows: Counter[str]) -> str:
    names = (*SPLITS, "other") if rows["other"] else SPLITS
    return ", ".join(f"{name} {rows[name]}" for name in names)


if __name__ == "__main__":
    run(main, "Fetch a dataset from its source and write raw.csv.")
