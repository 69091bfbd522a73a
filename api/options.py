"""The options of a request: in the query, in the fields of a form, or in the JSON body.

An option counts the same wherever it stands. An unknown name, and an option that is given
twice with different values, are errors that name it.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

from fastapi import HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from starlette.requests import HTTPConnection

from api.errors import UNKNOWN_NAME, sentence_of
from recognizer.detectors.registry import DETECTORS


class KnownNames(BaseModel):
    """A model that refuses unknown names; the error has the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_names(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name in values:
                if name not in cls.model_fields:
                    raise unknown_name(str(name), cls.model_fields)
        return values


def unknown_name(name: str, known: Iterable[str]) -> PydanticCustomError:
    """The validation error for an unknown name; its message has the nearest known name."""
    known = list(known)
    nearest = get_close_matches(name[:100].lower(), known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"expected {', '.join(known) or 'none'}"
    return PydanticCustomError(
        UNKNOWN_NAME, "unknown: {hint}", {"name": _shown(name), "hint": hint}
    )


def _shown(name: str) -> str:
    """A name that a client sent, short and on one line."""
    return name[:100] if name.isprintable() else repr(name[:100])


class NoOptions(KnownNames):
    """The query of a route without options."""


class VersionOption(KnownNames):
    """Which version of the model answers."""

    version: str | None = Field(
        None,
        description="The version that answers: its SHA-256, or at least the first 8 digits of it."
        " `GET /models` lists what is served.",
    )


class FaceOptions(KnownNames):
    """How faces are found, and which of them are answered."""

    faces: Literal[tuple(DETECTORS)] = Field(
        "yunet",
        description="The detector. `whole` takes the whole image as one face.",
    )
    align: bool = Field(
        True,
        description="Turn each face upright before it is classified.",
    )
    min_confidence: float = Field(
        0,
        ge=0,
        le=1,
        description="Leave out faces with a lower confidence of the detector.",
    )


class Options(FaceOptions, VersionOption):
    """The options of a prediction."""


Model = TypeVar("Model", bound=KnownNames)


def merged(one: Model, other: KnownNames, places: tuple[str, str], status: int = 422) -> Model:
    """Join the options of two places; only what was given counts.

    Parameters
    ----------
    one : KnownNames
        The result has this type.
    other : KnownNames
        Its further fields, for instance the image, are left out.
    places : tuple of str
        The two places, for the error: "query", "form".
    status : int
        Status of the error.

    Raises
    ------
    HTTPException
        An option has different values in both.
    """
    names = other.model_fields_set & type(one).model_fields.keys()
    given = {name: getattr(other, name) for name in names}
    for name in sorted(one.model_fields_set & names):
        here, there = getattr(one, name), given[name]
        if here != there:
            found = f"{here!r} in the {places[0]}, but {there!r} in the {places[1]}"
            raise HTTPException(status, f"{name} is {found[:300]}")
    return one.model_copy(update=given)


def single_values(pairs: Iterable[tuple[str, Any]], lists: Iterable[str] = ()) -> dict[str, Any]:
    """The pairs of a query or form by name; the values of `lists` are collected.

    Raises
    ------
    ValueError
        Another name stands there twice, with different values.
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            values.setdefault(name, []).append(value)
        elif values.setdefault(name, value) != value:
            both = f"{str(values[name])[:100]!r} and {str(value)[:100]!r}"
            raise ValueError(f"{_shown(name)} is given twice: {both}")
    return values


def read_options(connection: HTTPConnection) -> Options:
    """Read the options in the query of a WebSocket; raises HTTPException 422."""
    try:
        return Options.model_validate(single_values(connection.query_params.multi_items()))
    except ValidationError as error:
        raise HTTPException(422, sentence_of(error, "query parameter")) from None
    except ValueError as error:
        raise HTTPException(422, f"query parameter {error}") from None


async def refuse_repeated(connection: HTTPConnection) -> None:
    """Refuse a query in which an option has two values; FastAPI would take the last one."""
    try:
        single_values(connection.query_params.multi_items(), lists=["actions"])
    except ValueError as error:
        raise HTTPException(422, f"query parameter {error}") from None


InQuery = Annotated[Options, Query()]
Version = Annotated[VersionOption, Query()]
NoQuery = Annotated[NoOptions, Query()]
