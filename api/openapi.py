"""Parts of the OpenAPI schema that FastAPI cannot derive from the handlers."""

from collections.abc import Sequence
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.schemas import Problem

JsonSchema = dict[str, Any]

COMPONENTS = "#/components/schemas/"

BINARY: JsonSchema = {"type": "string", "format": "binary"}
"""A file in a form, or a file as the body."""

EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVQIHWNoAAAAggCB8KrjIgAAAABJRU5ErkJggg=="
)
"""A PNG of one grey pixel in base64, for examples that work."""

OVERLOAD = {
    408: "The request did not arrive in time",
    429: "Too many images are waiting; `Retry-After` is the number of seconds to wait",
    503: "No model is ready",
    504: "The request was not processed in time",
}
"""Errors of every route that runs the model, by status."""

EXAMPLE_ERRORS = {
    400: "JSON: invalid JSON: EOF while parsing an object at line 1 column 8",
    401: "the API key is missing or wrong: send it in the header X-API-Key, or as Authorization:"
    " Bearer",
    403: "only a server with API_KEY can be told to reload its models",
    404: "no model 'age' is served (served: fer2013, ferplus)",
    408: "the request had not arrived within 30 seconds",
    409: "not reloaded: /models/stable.onnx: not an ONNX model, or a damaged one",
    413: "the request body is larger than 10,485,760 bytes",
    415: "content type 'text/plain' is not supported: send the image in the field 'file' of a form,"
    " as the body with its type, for example image/jpeg, or in JSON",
    422: "query parameter verson: unknown: did you mean version?",
    426: "this address is a WebSocket: see /docs",
    429: "the server is busy: too many images are waiting; try again later",
    503: "the model is still loading",
    504: "the request was not answered within 30 seconds",
}
"""An error by its status, as a server with the default settings sends it."""

NO_OPTIONS = {422: "query parameter version: unknown: expected none"}
"""The example of routes without options."""


def operation_id(route: APIRoute) -> str:
    """The name of an operation, which generated clients use as the name of a function."""
    return route.name


def error_responses(
    descriptions: dict[int, str],
    shape: type[BaseModel] = Problem,
    examples: dict[int, str] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route.

    Parameters
    ----------
    descriptions : dict of int to str
        By status.
    shape : type
        Problem or ProtocolProblem.
    examples : dict of int to str, optional
        Errors of this route that differ from EXAMPLE_ERRORS.
    """
    field = next(iter(shape.model_fields))
    sentences = EXAMPLE_ERRORS | (examples or {})
    return {
        status: {
            "model": shape,
            "description": text,
            "content": {"application/json": {"example": {field: sentences[status]}}},
        }
        for status, text in descriptions.items()
    }


def request_body(description: str, content: dict[str, JsonSchema]) -> dict[str, Any]:
    """A required body that has several content types, as `openapi_extra` of a route.

    FastAPI documents one content type per body.
    """
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {kind: {"schema": schema} for kind, schema in content.items()},
        }
    }


def reference(model: type[BaseModel]) -> JsonSchema:
    """The schema of a JSON body that a handler parses itself; `add_schemas` adds what it refers to.

    Generated clients take the name of the model as the name of a class.
    """
    return {"$ref": f"{COMPONENTS}{model.__name__}"}


def add_schemas(
    document: JsonSchema, received: Sequence[type[BaseModel]], sent: Sequence[type[BaseModel]]
) -> None:
    """Add schemas that FastAPI does not find in handlers, or whose examples it takes nulls from.

    Parameters
    ----------
    document : dict
        The OpenAPI document.
    received, sent : sequence of type
        Models of bodies, and models of responses or of messages of a WebSocket.
    """
    _, schema = models_json_schema(
        [
            *((model, "validation") for model in received),
            *((model, "serialization") for model in sent),
        ],
        ref_template=COMPONENTS + "{model}",
    )
    known = document["components"]["schemas"]
    for name, definition in schema["$defs"].items():
        if known.get(name, definition) not in (definition, _without_nulls(definition)):
            raise ValueError(f"two different schemas have the name {name}")
        known[name] = definition


def _without_nulls(part: Any) -> Any:
    """The part of a schema as FastAPI writes it."""
    if isinstance(part, list):
        return [_without_nulls(item) for item in part]
    if isinstance(part, dict):
        return {key: _without_nulls(item) for key, item in part.items() if item is not None}
    return part


def form_schema(model: type[BaseModel]) -> JsonSchema:
    """The JSON schema of a form, with its required fields only.

    The options are documented as query parameters. If they were listed here as well, Swagger UI
    would send a placeholder value for each of them.
    """
    schema = model.model_json_schema()
    fields = {name: schema["properties"][name] for name in schema["required"]}
    return {"type": "object", "required": schema["required"], "properties": fields}
