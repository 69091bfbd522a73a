"""Check that every benchmark page names a model, a commit and a machine, and the released model.

    python -m benchmarks.check_pages

For every file of benchmarks/*.md but README.md, compares the versions in its first block
(benchmarks/provenance.py) with the SHA-256 of models/DATASET/model.onnx. A page of another version
passes only if its first line says "of an earlier release". Exits with status 1 otherwise.
"""

import re
import sys
from pathlib import Path

from benchmarks.provenance import EARLIER, HEADERS, describe_model

FOLDER = Path(__file__).parent
MODEL = re.compile(r"[\w-]+( `[0-9a-f]{12}`|, not released)")
COMMIT = re.compile(r"`[0-9a-f]{7,40}`")


def faults(page: str) -> list[str]:
    """Describe what is wrong with a page's first block; an empty list if nothing is."""
    title, _, rest = page.partition("\n")
    block = rest.strip().partition("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block]
    if len(rows) < 3 or rows[0] != list(HEADERS):
        return [f"expected a table with the columns {', '.join(HEADERS)} below the title"]
    found, outdated = [], []
    for measured, model, code, machine in rows[2:]:
        if not COMMIT.match(code):
            found.append(f"{measured}: expected a commit in the column code, got {code!r}")
        if not machine:
            found.append(f"{measured}: the column machine is empty")
        if not MODEL.fullmatch(model):
            found.append(f"{measured}: expected DATASET `VERSION` of a model, got {model!r}")
        elif model != (released := describe_model(model.split()[0].rstrip(","))):
            outdated.append(f"{model} is not the released model, {released}")
    if outdated and EARLIER not in title:
        remedy = f"measure again, or add {EARLIER!r} to the first line"
        found += [f"{what}: {remedy}" for what in dict.fromkeys(outdated)]
    if not outdated and EARLIER in title:
        found.append(f"it is about the released models: remove {EARLIER!r} from its first line")
    return found


def main() -> None:
    """Print the faults of all pages."""
    pages = sorted(set(FOLDER.glob("*.md")) - {FOLDER / "README.md"})
    lines = [
        f"error: benchmarks/{page.name}: {fault}"
        for page in pages
        for fault in faults(page.read_text())
    ]
    if lines:
        sys.exit("\n".join(lines))
    print(f"{len(pages)} benchmark pages name their model, commit and machine")


if __name__ == "__main__":
    main()
