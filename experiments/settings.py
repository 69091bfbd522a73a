"""experiments/params.yaml as types: every run as complete as a dataset's file of params/."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from stages.errors import UserError
from stages.parameters import (
    EXPORT,
    Balance,
    Export,
    ParameterError,
    Section,
    Seed,
    Train,
    checked,
    line_of,
    read_yaml,
)

PARAMETERS = Path("experiments/params.yaml")
RESULTS = Path("experiments/results")


class Settings(Section):
    """What one run is trained with."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    """The run is trained once with each; they replace train.seed."""
    duplicates: Literal["removed", "kept"]
    """Whether Training images that are also in a test split take part."""
    balance: Balance
    train: Train


class Experiments(Section):
    """The whole file."""

    dataset: str
    base: Settings
    runs: dict[str, Settings]
    """Each is `base` with the changes in the file."""
    teacher_export: Annotated[Export, EXPORT]
    """Precision of the teachers' files."""
    teachers: dict[str, Train]
    """How each teacher is trained, by its name."""

    def settings(self, name: str) -> Settings:
        """Settings of one run.

        Raises
        ------
        UserError
            There is no such run.
        """
        if name not in self.runs:
            raise UserError(f"{PARAMETERS}: no run '{name}'; its runs: {', '.join(self.runs)}")
        return self.runs[name]

    def teacher(self, name: str) -> Train:
        """Settings of one teacher.

        Raises
        ------
        UserError
            There is no such teacher.
        """
        if name not in self.teachers:
            known = ", ".join(self.teachers)
            raise UserError(f"{PARAMETERS}: no teacher '{name}'; its teachers: {known}")
        return self.teachers[name]


def load_experiments() -> Experiments:
    """Read experiments/params.yaml.

    Raises
    ------
    UserError
        It is missing or does not fit.
    """
    if not PARAMETERS.exists():
        raise UserError(f"{PARAMETERS}: not found; run from the repository's root")
    document, lines = read_yaml(PARAMETERS)
    try:
        base = document.get("base", {})
        typed = checked(Settings, base, ("base",))
        runs = {
            name: checked(Settings, _changed(base, changes), ("runs", name))
            for name, changes in document.get("runs", {}).items()
        }
        teachers = {
            name: checked(Train, train, ("teachers", name))
            for name, train in document.get("teachers", {}).items()
        }
        return checked(Experiments, document | {"base": typed, "runs": runs, "teachers": teachers})
    except ParameterError as error:
        raise UserError(f"{PARAMETERS}:{line_of(error.place, lines)}: {error}") from None


def _changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A document with changes; sections are merged."""
    changed = dict(document)
    for key, value in changes.items():
        is_section = isinstance(value, dict) and isinstance(document.get(key), dict)
        changed[key] = _changed(document[key], value) if is_section else value
    return changed
