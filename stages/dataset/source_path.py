"""The place of a path in a parameter file."""

import os
from pathlib import Path


def located(path: Path) -> Path:
    """The place of a source's path: `~` is the home folder, a relative path starts at the root.

    DVC names the repository's root in DVC_ROOT, also where it runs a queued experiment in a copy
    elsewhere.
    """
    return Path(os.environ.get("DVC_ROOT", ""), path.expanduser())
