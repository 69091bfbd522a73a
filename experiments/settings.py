"""experiments/params.yaml as types: every run as complete as a dataset's block of params.yaml."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from stages.errors import UserError
from stages.parameters import Balance, Export, Section, Seed, Train, first_problem

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
    runs: dict[str, dict]
    """Changes to `base` by the name of the run."""
    teacher_export: Export
    """Precision of the teachers' files."""
    teachers: dict[str, Train]
    """How each teacher is trained, by its name."""

    def settings(self, name: str) -> Settings:
        """Settings of one run.

        Raises
        ------
        UserError
            There is no such run, or its changes do not fit.
        """
        if name not in self.runs:
            raise UserError(f"{PARAMETERS}: no run '{name}'; its runs: {', '.join(self.runs)}")
        document = self.base.model_dump()
        for key, changes in self.runs[name].items():
            is_section = isinstance(changes, dict)
            document[key] = document.get(key, {}) | changes if is_section else changes
        return _checked(Settings, document, f"runs.{name}")

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
    try:
        document = yaml.safe_load(PARAMETERS.read_text())
    except FileNotFoundError:
        raise UserError(f"{PARAMETERS}: not found; run from the repository's root") from None
    experiments = _checked(Experiments, document, "")
    for name in experiments.runs:
        experiments.settings(name)
    return experiments


def _checked(kind: type[Settings] | type[Experiments], document: dict[str, Any], place: str) -> Any:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{PARAMETERS}: {first_problem(place, document, error)}") from None
