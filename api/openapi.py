"""Parts of the OpenAPI schema that FastAPI cannot derive from the handlers."""

from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.schemas import Problem

JsonSchema = dict[str, Any]

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


def operation_id(route: APIRoute) -> str:
    """The name of an operation, which generated clients use as the name of a function."""
    return route.name


def error_responses(
    descriptions: dict[int, str], shape: type[BaseModel] = Problem
) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, from a description per status."""
    return {status: {"model": shape, "description": text} for status, text in descriptions.items()}


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


def json_schema(model: type[BaseModel]) -> JsonSchema:
    """The JSON schema of a body that a handler parses itself, without `$ref`.

    FastAPI adds only those definitions to the document that it has found itself.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(part: Any) -> Any:
        if isinstance(part, list):
            return [resolved(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return resolved(definitions[part["$ref"].rpartition("/")[2]])
        return {key: resolved(value) for key, value in part.items()}

    return {key: resolved(value) for key, value in schema.items()}


def form_schema(model: type[BaseModel]) -> JsonSchema:
    """The JSON schema of a form, with its required fields only.

    The options are documented as query parameters. If they were listed here as well, Swagger UI
    would send a placeholder value for each of them.
    """
    schema = json_schema(model)
    fields = {name: schema["properties"][name] for name in schema["required"]}
    return {"type": "object", "required": schema["required"], "properties": fields}
