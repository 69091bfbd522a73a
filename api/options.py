"""The options of a request: in the query, in the fields of a form, or in the JSON body.

An option has the same effect in each place. An unknown name, and an option with two different
values, are errors that name the option.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

from fastapi import HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from starlette.requests import HTTPConnection

from api.errors import UNKNOWN_NAME, validation_message

DetectorName = Literal["yunet", "whole"]
"""The keys of `DETECTORS` in recognizer/detectors/registry.py."""

Align = Annotated[bool, Field(description="Rotate each face upright before it is classified.")]
MinConfidence = Annotated[
    float, Field(ge=0, le=1, description="Leave out faces with a lower detection confidence.")
]
MinProbability = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="The emotion of a face is null where its highest probability is below this.",
    ),
]


class KnownNames(BaseModel):
    """A model that refuses unknown names; the error suggests the nearest known name."""

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
    """The validation error for an unknown name; its message suggests the nearest known name."""
    names = list(known)
    nearest = get_close_matches(name[:100].lower(), names, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"expected {', '.join(names) or 'none'}"
    return PydanticCustomError(
        UNKNOWN_NAME, "unknown: {hint}", {"name": _printable(name), "hint": hint}
    )


def _printable(name: str) -> str:
    """A name that a client sent, short and on one line."""
    return name[:100] if name.isprintable() else repr(name[:100])


class NoOptions(KnownNames):
    """The query of a route without options."""


class ModelOptions(KnownNames):
    """Which of the served models is used."""

    model: Annotated[
        str | None,
        Field(
            description="The name of the model, which is that of its dataset, for example"
            " `ferplus`. `GET /models` lists the served models."
        ),
    ] = None
    version: Annotated[
        str | None,
        Field(
            description="The version of the model: its SHA-256, or at least the first 8 digits, or"
            " the name of its file in `MODEL_DIR`. `GET /models` lists the served versions."
        ),
    ] = None


class FaceOptions(KnownNames):
    """How faces are detected, and which of them are returned."""

    faces: Annotated[
        DetectorName, Field(description="The detector. `whole` takes the whole image as one face.")
    ] = "yunet"
    align: Align = True
    min_confidence: MinConfidence = 0


class EmotionOptions(FaceOptions):
    """How faces are detected, and what is predicted of them."""

    min_probability: MinProbability = 0


class Options(EmotionOptions, ModelOptions):
    """The options of a prediction."""


Model = TypeVar("Model", bound=KnownNames)


def merged(one: Model, other: KnownNames, places: tuple[str, str], status: int = 422) -> Model:
    """Merge the options of two places; defaults do not override given values.

    Parameters
    ----------
    one : KnownNames
        The result has its type.
    other : KnownNames
        Fields that `one` does not have, for example the image, are left out.
    places : tuple of str
        The names of both places for the error, for example ("query", "form").
    status : int
        Status of the error.

    Raises
    ------
    HTTPException
        An option has two different values.
    """
    names = other.model_fields_set & type(one).model_fields.keys()
    given = {name: getattr(other, name) for name in names}
    for name in sorted(one.model_fields_set & names):
        first, second = getattr(one, name), given[name]
        if first != second:
            found = f"{first!r} in the {places[0]}, but {second!r} in the {places[1]}"
            raise HTTPException(status, f"{name} is {found[:300]}")
    return one.model_copy(update=given)


def single_values(pairs: Iterable[tuple[str, Any]], lists: Iterable[str] = ()) -> dict[str, Any]:
    """The values of a query or a form by name.

    Parameters
    ----------
    pairs : iterable of (str, Any)
    lists : iterable of str
        The names that may be repeated; their values become a list.

    Raises
    ------
    ValueError
        Another name has two different values.
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            values.setdefault(name, []).append(value)
        elif values.setdefault(name, value) != value:
            both = f"{str(values[name])[:100]!r} and {str(value)[:100]!r}"
            raise ValueError(f"{_printable(name)} is given twice: {both}")
    return values


def read_options(connection: HTTPConnection) -> Options:
    """Parse the options in the query of a WebSocket; raises HTTPException 422."""
    try:
        return Options.model_validate(single_values(connection.query_params.multi_items()))
    except ValidationError as error:
        raise HTTPException(422, validation_message(error, "query parameter")) from None
    except ValueError as error:
        raise HTTPException(422, f"query parameter {error}") from None


async def refuse_repeated(connection: HTTPConnection) -> None:
    """Refuse a query with two values of an option; FastAPI would use the last one."""
    try:
        single_values(connection.query_params.multi_items(), lists=["actions"])
    except ValueError as error:
        raise HTTPException(422, f"query parameter {error}") from None


QueryOptions = Annotated[Options, Query()]
QueryModel = Annotated[ModelOptions, Query()]
NoQuery = Annotated[NoOptions, Query()]
