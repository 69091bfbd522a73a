"""The files that stages hand to each other: where they lie and how they are written."""

import json
import logging
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifacts:
    """The paths of one dataset's files, relative to the repository's root."""

    dataset: str

    @property
    def data(self) -> Path:
        """Folder of raw.csv, faces.npz, quarantine.csv, train.npz."""
        return Path("data", self.dataset)

    @property
    def models(self) -> Path:
        """Folder of model.keras, history.csv, model.onnx."""
        return Path("models", self.dataset)

    @property
    def metrics(self) -> Path:
        """Folder of the metrics files and of plots/."""
        return Path("metrics", self.dataset)

    @property
    def plots(self) -> Path:
        """Folder of what `dvc plots show` draws."""
        return self.metrics / "plots"


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    A block that raises, or a process killed inside it, leaves `path` as it was;
    what a killed process left behind is removed by the next one that writes there.
    The temporary name keeps the suffix, which some writers judge the format by.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    handle, name = tempfile.mkstemp(
        prefix=".", suffix=f".{os.getpid()}{path.suffix}", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp is private to its owner (0600); a result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files beside `path` whose writers, named in them, run no more."""
    pattern = rf"\.\w+\.(\d+){re.escape(path.suffix)}"
    for temporary in path.parent.iterdir():
        name = re.fullmatch(pattern, temporary.name)
        if name and not _runs(int(name[1])):
            temporary.unlink(missing_ok=True)
            log.info("removed %s, left by an interrupted run", temporary)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz so that the same arrays give the same bytes under every Python.

    `np.savez` always asks for zip64 headers, which Python's patch releases fill in differently;
    here only a member above 2 GB gets one.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            member.file_size = array.nbytes
            with archive.open(member, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def write_metrics(path: Path, metrics: dict) -> None:
    """Write a metrics file that diffs well: sorted keys, numbers rounded to 4 decimals."""
    with written_atomically(path) as temporary:
        text = json.dumps(_rounded(metrics), indent=2, sort_keys=True, allow_nan=False)
        temporary.write_text(text + "\n")


def _rounded(value):
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
