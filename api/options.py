"""What a request can ask for beside its image, as query parameters."""

from functools import lru_cache
from typing import Annotated, Literal

from fastapi import HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from api.errors import invalid_parameter
from api.schemas import request_schema
from recognizer.faces import DETECTORS


class VersionOption(BaseModel):
    """Which version shall answer."""

    # A misspelled option is a mistake, not a wish for the default.
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str | None = Field(
        None,
        description="The version that shall answer: its SHA-256, or at least the first 8 digits."
        " `GET /models` lists what is served.",
    )


class Options(VersionOption):
    """Which version shall answer, how faces are found, and which are answered."""

    faces: Literal[tuple(DETECTORS)] = Field(
        "yunet",
        description="How faces are found. `whole` takes the whole image as one face.",
    )
    align: bool = Field(
        True,
        description="Turn each face upright, where the detector tells how it is turned.",
    )
    min_confidence: float = Field(
        0,
        ge=0,
        le=1,
        description="Leave out faces of which the detector is less sure than this.",
    )


@lru_cache(64)
def _options(query: bytes) -> Options:
    return Options.model_validate(dict(QueryParams(query)))


def read_options(connection: HTTPConnection) -> Options:
    """The options in a query; HTTPException says which one does not fit.

    Every prediction passes here, and FastAPI's own way to read them costs more.
    """
    try:
        return _options(connection.scope["query_string"])
    except ValidationError as error:
        raise HTTPException(422, invalid_parameter(error)) from None


OPTIONS = [
    {"name": name, "in": "query", "required": False, "schema": schema}
    for name, schema in request_schema(Options)["properties"].items()
]
"""The same for OpenAPI."""

Version = Annotated[VersionOption, Query()]
