"""Compare the locked dependencies with the published advisories: `python -m tools.audit`.

pip-audit asks the database of OSV about each version in requirements/development.txt, which has
the versions of all other locked files, and in installer.txt. The exit status is 1 where a version
has an advisory, and where the database cannot be reached: nothing was compared then.
`--skip-unreachable` prints this, too, but with the exit status 0.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

LOCKED = (Path("requirements/development.txt"), Path("requirements/installer.txt"))


class UnreachableError(Exception):
    """The advisories were not read, or not those of every version."""


def advisories(locked: Path, *options: str) -> list[str]:
    """The advisories of a locked file, one line each.

    Parameters
    ----------
    locked : Path
    options : str
        More options of pip-audit.

    Raises
    ------
    UnreachableError
    """
    # The versions are locked: pip-audit need not resolve or download them.
    command = ["pip-audit", "--format=json", "--progress-spinner=off", "--disable-pip", "--no-deps"]
    done = subprocess.run(
        [*command, f"--requirement={locked}", *options], capture_output=True, text=True
    )
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["pip-audit wrote nothing"])[-1]
        raise UnreachableError(reason[:200]) from None
    # pip-audit itself ends with the exit status 0 where it knows nothing about a package.
    skipped = [one["skip_reason"] for one in dependencies if "skip_reason" in one]
    if skipped:
        raise UnreachableError(f"{len(skipped)} of {len(dependencies)} packages: {skipped[0]}")
    return [
        f"{locked}: {one['name']} {one['version']}: {found['id']}, corrected in"
        f" {', '.join(found['fix_versions']) or 'no version yet'}"
        for one in dependencies
        for found in one["vulns"]
    ]


def main() -> int:
    """Print the advisories; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--skip-unreachable", action="store_true", help="see above")
    # Anything else is an option of pip-audit, such as --ignore-vuln=ID.
    arguments, options = parser.parse_known_args()
    found = []
    for locked in LOCKED:
        try:
            found += advisories(locked, *(options or ["--vulnerability-service=osv"]))
        except UnreachableError as reason:
            print(f"NOT AUDITED: {locked}: the advisories cannot be read: {reason}")
            if not arguments.skip_unreachable:
                return 1
        else:
            print(f"{locked}: compared with the advisories")
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
