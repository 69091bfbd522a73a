"""The models that come with this package, by the name of their dataset."""

from importlib.resources import files
from os import PathLike
from pathlib import Path

from recognizer.errors import ModelError

DEFAULT_MODEL = "fer2013"

PACKAGED = Path(str(files("recognizer"))) / "models"
"""Folder of an installed package; the build copies the released models into it."""

REPOSITORY = Path(__file__).parents[1] / "models"
"""Folder of a checkout, with every model that was built in it."""


def released_models() -> dict[str, Path]:
    """Return the model file of each name, sorted by name."""
    folder = PACKAGED if PACKAGED.is_dir() else REPOSITORY
    return {path.parent.name: path for path in sorted(folder.glob("*/model.onnx"))}


def find_model(model: str | PathLike[str]) -> Path:
    """Return the file of a model that is given by its name or its path.

    Raises
    ------
    ModelError
        There is neither such a name nor such a file.
    """
    released = released_models()
    if model in released:
        return released[str(model)]
    path = Path(model)
    if not path.is_file():
        expected = f"{', '.join(released)}, or a model file" if released else "a model file"
        raise ModelError(f"{path}: there is no such model: expected {expected}")
    return path
