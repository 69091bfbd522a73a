"""The files of the stages: their paths, and how arrays and metrics are written."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recognizer.atomic_file import write_atomically


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
    def live(self) -> Path:
        """The DVC metric that exists while `train` runs: the last finished epoch.

        No dataset's name begins with a dot.
        """
        return Path("metrics", ".live", f"{self.dataset}.json")

    @property
    def plots(self) -> Path:
        """Folder of the files that `dvc plots show` draws."""
        return self.metrics / "plots"


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz so that the same arrays give the same bytes under every Python.

    `np.savez` always requests zip64 headers, and the patch releases of Python write these
    differently. Here only a member above 2 GB gets a zip64 header.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            member.file_size = array.nbytes
            with archive.open(member, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    """Write a metrics file that diffs well: sorted keys, numbers rounded to 4 decimals."""
    text = json.dumps(rounded(metrics, 4), indent=2, sort_keys=True, allow_nan=False)
    write_atomically(path, text + "\n")


def rounded(value: Any, digits: int) -> Any:
    """Round every float in nested dictionaries and lists; the keys become text."""
    if isinstance(value, dict):
        return {str(key): rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return round(value, digits) if isinstance(value, float) else value
