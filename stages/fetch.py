"""First stage: bring a dataset's raw.csv from where params.yaml says it comes from.

    python -m stages.fetch DATASET

writes data/DATASET/raw.csv with the columns `emotion,pixels,Usage`. The environment
variable FER2013_CSV names a local file, plain or packed, that stands in for the source
of the dataset fer2013 and of those named after it, such as fer2013-small.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from recognizer.atomic_file import written_atomically
from stages.artifacts import Artifacts
from stages.command_line import run
from stages.dataset.faces import SPLITS
from stages.dataset.sources import SOURCES
from stages.errors import UserError
from stages.parameters import Fetch, FileSource, Parameters, Rows

logger = logging.getLogger(__name__)


def main(dataset: str, parameters: Parameters) -> None:
    """Write the dataset's raw.csv."""
    source = parameters.fetch
    mirror = os.environ.get("FER2013_CSV")
    if dataset.partition("-")[0] == "fer2013" and mirror:
        logger.info("FER2013_CSV stands in for the source '%s'", source.source)
        source = FileSource(source="file", path=Path(mirror), sha256=None, rows=source.rows)
    fetch(source, Artifacts(dataset).data / "raw.csv")


def fetch(source: Fetch, path: Path) -> None:
    """Write a source's lines to `path`: all of them, or nothing.

    Raises
    ------
    UserError
        The source can't be read, or its rows per split are not the declared ones.
    """
    rows: Counter[str] = Counter()
    with written_atomically(path) as temporary:
        with temporary.open("wb", buffering=1 << 20) as raw:
            for line in counted(SOURCES[source.source](source), rows):
                raw.write(line)
                raw.write(b"\n")
        if source.rows is not None:
            check_rows(rows, source.rows)
    logger.info("wrote %s: %s", path, _spelled(rows))


def counted(lines: Iterable[bytes], rows: Counter[str]) -> Iterator[bytes]:
    """Pass lines on; count those after the header by the split at their end in `rows`."""
    known = {split.encode(): split for split in SPLITS}
    lines = iter(lines)
    yield next(lines)
    for line in lines:
        usage = line[line.rfind(b",") + 1 :].strip(b' "')
        rows[known.get(usage, "other")] += 1
        yield line


def check_rows(found: Counter[str], declared: Rows) -> None:
    """Compare the rows of each split with the declared ones.

    Lines of no split are left to validate, which says what is wrong with them.

    Raises
    ------
    UserError
        A split has fewer rows or more than declared.
    """
    expected = Counter(declared.model_dump())
    if any(found[split] != expected[split] for split in SPLITS):
        raise UserError(
            f"fetch.rows: expected {_spelled(expected)}; the source has {_spelled(found)}; "
            "nothing was written; get the whole dataset, or correct fetch.rows in params.yaml"
        )


def _spelled(rows: Counter[str]) -> str:
    names = (*SPLITS, "other") if rows["other"] else SPLITS
    return ", ".join(f"{name} {rows[name]}" for name in names)


if __name__ == "__main__":
    run(main, "Bring a dataset's raw.csv from its source.")
