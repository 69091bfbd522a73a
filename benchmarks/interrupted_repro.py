"""Interrupt `dvc repro`, run it again, and compare the files with those of an undisturbed run.

    python -m benchmarks.interrupted_repro sample
    FER2013_CSV=fer2013.csv python -m benchmarks.interrupted_repro fer2013

Each case starts in a new clone with an empty cache (benchmarks/pipeline_clone.py) and ends with a
`dvc repro` that nothing disturbs. Then every committed file, every file in the dataset's folders,
dvc.lock and `git status` are compared with those of a clone in which `dvc repro` ran once.

- `kill -9`: DVC is killed twice in each stage, with all that it started: when the first of the
  stage's files appears (`train`: when the state of its first epoch is saved), and when the stage
  has ended and DVC stores its outputs.
- Full cache: the cache is a tmpfs with room for half of a stage's outputs, for each stage in turn.
- Cache on another file system: a tmpfs.
- Two at once: a second `dvc repro` starts in each stage.

Only root can mount a tmpfs: these cases are left out for another user. Each finished case is kept
in `benchmarks/interrupted_repro.csv`, as long as the undisturbed run gives the same files; a
command that was stopped goes on with the missing cases. The page is
`benchmarks/interrupted_repro.md`. Linux only.
"""

import argparse
import hashlib
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.pipeline_clone import STAGES, Clone, Stage, in_words
from benchmarks.provenance import Provenance, here, opening
from benchmarks.result_files import write_results
from stages.artifacts import Artifacts
from stages.evaluation.markdown_table import markdown_table

RESULT = Path(__file__).with_suffix(".csv")
PAGE, GIB = 2**12, 2**30


@dataclass(frozen=True)
class Row:
    """One case, or its part of one stage."""

    dataset: str
    case: str
    stage: str
    """The stage whose files are compared; empty: all files."""
    disturbed: str
    """How the disturbed runs ended."""
    last: str
    """How the last, undisturbed run ended."""
    files: int
    """Compared files."""
    different: str
    """Names of the files that differ from those of the undisturbed run."""
    reference: str
    """`digest_of` the undisturbed run."""
    model: str
    code: str
    machine: str


Ends = dict[str, str]
"""How the disturbed run of a stage ended, by the stage's name; of several, by an empty name."""


def kills(clone: Clone, _: Clone) -> Ends:
    """Kill `dvc repro` twice in each stage."""
    ends = {}
    for name in STAGES:
        run = clone.start()
        _wait_for_first_file(clone, run.wait_for(name))
        run.kill()
        run = clone.start()
        stage = run.wait_for(name)
        while stage.running():
            time.sleep(0.001)
        run.kill()
        ends[name] = "killed twice"
        print(f"{clone.dataset}: {name} {ends[name]}", flush=True)
    return ends


def _wait_for_first_file(clone: Clone, stage: Stage) -> None:
    """Wait until a stage writes a file; for `train`, until the state of an epoch is saved."""
    saved, before = Artifacts(clone.dataset).models / ".resume.npz", clone.written()
    while not (saved in clone.written() if stage.name == "train" else clone.written() - before):
        if not stage.running():
            raise SystemExit(f"error: {stage.name} ended before the kill")
        time.sleep(0.001)


def full_cache(clone: Clone, reference: Clone) -> Ends:
    """Fill the cache in each stage that has cached outputs; afterwards it has room.

    The unfinished copies of a failed `dvc repro`, which DVC leaves, are removed each time.
    """
    mounted, stored = _mounted(clone), 0
    ends = {}
    for name in STAGES:
        if not (sizes := reference.cached_bytes(name)):
            continue
        for unfinished in mounted.rglob(".*.tmp"):
            unfinished.unlink()
        _resize(mounted, stored + sum(sizes) // 2)
        ends[name] = in_words(clone.repro())
        print(f"{clone.dataset}: {name} {ends[name]}", flush=True)
        # Files take whole pages; DVC's run-cache takes one for each stage.
        stored += sum(-(-size // PAGE) * PAGE for size in sizes) + PAGE
    _resize(mounted, 4 * GIB)
    return ends


def nothing(clone: Clone, _: Clone) -> Ends:
    """Disturb nothing: the cache is elsewhere."""
    return {}


def two_at_once(clone: Clone, _: Clone) -> Ends:
    """Start a second `dvc repro` in each stage, unless two still run."""
    started: set[str] = set()
    running, ends = [clone.start()], []
    while running:
        stages = {stage.name for run in running if (stage := run.stage())}
        if len(running) == 1 and stages - started:
            started |= stages
            running.append(clone.start())
        ends += [in_words(run.ended()) for run in running if not run.running()]
        running = [run for run in running if run.running()]
        time.sleep(0.01)
    return {"": ", ".join(f"{count} × {end}" for end, count in Counter(ends).most_common())}


CASES: dict[str, Callable[[Clone, Clone], Ends]] = {
    "kill -9": kills,
    "two at once": two_at_once,
    "full cache": full_cache,
    "cache on another file system": nothing,
}
ON_TMPFS = ("full cache", "cache on another file system")


def _mounted(clone: Clone) -> Path:
    return clone.folder.with_name(f"{clone.folder.name}-cache")


def _resize(mounted: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(mounted)], check=True)


@contextmanager
def cache_on_tmpfs(clone: Clone) -> Iterator[None]:
    """Mount a tmpfs beside the clone, and let DVC keep its cache there."""
    mounted = _mounted(clone)
    mounted.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={4 * GIB}", "tmpfs", str(mounted)], check=True
    )
    try:
        clone.keep_cache_in(mounted)
        yield
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def measure(dataset: str, cases: Sequence[str], provenance: Provenance, result: Path) -> None:
    """Run the cases that `result` lacks, and write it and the page after each of them."""
    with tempfile.TemporaryDirectory() as temporary:
        print(f"{dataset}: an undisturbed dvc repro", flush=True)
        reference = Clone.make(Path(temporary, "reference"), dataset)
        if (ended := reference.repro()).status:
            raise SystemExit(f"error: an undisturbed dvc repro ended with {in_words(ended)}")
        expected = reference.digests()
        digest = digest_of(reference, expected)
        rows = [
            row
            for row in read_rows(result)
            if (row.dataset, row.reference) == (dataset, digest) or row.dataset != dataset
        ]
        for case in cases:
            if any((row.dataset, row.case) == (dataset, case) for row in rows):
                continue
            if case in ON_TMPFS and os.geteuid():
                print(f"{dataset}: {case}: not run, only root can mount a tmpfs", flush=True)
                continue
            print(f"{dataset}: {case}", flush=True)
            ends, last, found = run_case(case, reference, Path(temporary, case.replace(" ", "_")))
            for stage, end in {**ends, "": ends.get("", "")}.items():
                names = reference.outputs(stage) if stage else expected.keys() | found.keys()
                different = differences(expected, found, names)
                compared = (len(names), " ".join(different), digest)
                rows.append(Row(dataset, case, stage, end, last, *compared, **vars(provenance)))
            print(f"{dataset}: {len(different)} of {len(names)} files differ", flush=True)
            write_results(result, rows, page(rows))


def run_case(case: str, reference: Clone, folder: Path) -> tuple[Ends, str, dict[str, str]]:
    """Disturb a new clone, and run `dvc repro` to its end; return both ends and the digests."""
    clone = reference.unbuilt(folder)
    with cache_on_tmpfs(clone) if case in ON_TMPFS else nullcontext():
        try:
            ends = CASES[case](clone, reference)
            last = in_words(clone.repro())
        finally:
            clone.stop()
    return ends, last, clone.digests()


def digest_of(clone: Clone, digests: dict[str, str]) -> str:
    """First digits of the SHA-256 of the digests of dvc.lock and of the written files."""
    names = sorted(str(path) for path in {*clone.written(), Path("dvc.lock")})
    return hashlib.sha256(repr([(name, digests[name]) for name in names]).encode()).hexdigest()[:12]


def differences(expected: dict[str, str], found: dict[str, str], names: Iterable[str]) -> list[str]:
    """The names whose digests are not the same; a missing file has none."""
    return [name for name in sorted(names) if expected.get(name) != found.get(name)]


def read_rows(result: Path) -> list[Row]:
    """The rows of an earlier command, or none."""
    if not result.exists():
        return []
    return [Row(**row) for row in pd.read_csv(result, keep_default_na=False).to_dict("records")]


def page(rows: Sequence[Row]) -> str:
    """The page, from all rows."""
    datasets = sorted({row.dataset for row in rows}, reverse=True)
    sources = dict.fromkeys((row.dataset, row.model, row.code, row.machine) for row in rows)
    headers = ("dataset", "case", "disturbed", "last run", "files", "the same bytes")
    table = [
        (
            row.dataset,
            f"{row.case}, {row.stage}" if row.stage else row.case,
            row.disturbed or "–",
            row.last,
            row.files,
            f"all but {row.different}" if row.different else "all",
        )
        for row in sorted(rows, key=lambda row: datasets.index(row.dataset))
    ]
    parts = [
        opening(
            "Interrupted `dvc repro`",
            [(dataset, Provenance(*source)) for dataset, *source in sources],
        ),
        "\n".join(f"    python -m benchmarks.interrupted_repro {dataset}" for dataset in datasets),
        "`benchmarks/interrupted_repro.py` describes the cases. Each starts in a new clone with an"
        " empty cache and ends with a `dvc repro` that nothing disturbs, the last run. Then all"
        " files are compared with those of a clone in which `dvc repro` ran once: the committed"
        " ones, `dvc.lock` among them, those in `data/D`, `models/D` and `metrics/D`, and what"
        " `git status` prints. The row of a stage compares the outputs of that stage. The network"
        " is tiny, trained for two epochs on all faces of FER-2013 and on 440 of the sample.",
        "The table has the last error; the whole text names the cause and the place. `refused:"
        " busy`: the busy file, and the process and command of the run that it belongs to. No space"
        " left: the file, and where in the cache it was to be copied. A kill or a full cache may"
        " leave an unfinished copy in the cache, which `dvc gc --workspace --all-commits` removes.",
        markdown_table(headers, table, text_columns=len(headers)),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure, and write the CSV file and the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="the name of a file of params/, for instance sample")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--result", type=Path, default=RESULT, help="the CSV file to write")
    arguments = parser.parse_args()
    measure(arguments.dataset, arguments.cases, here(arguments.dataset), arguments.result)


if __name__ == "__main__":
    main()
