"""The values of a tensor in JSON, parsed in parts.

Python needs eight bytes or more for each value of a list, and a list of lists far more. The text of
the values is therefore separated from the rest of the JSON, and parsed a few rows at a time. Other
threads run between two parts.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw
from pydantic_core import from_json

from api.open_inference.schemas import InferenceRequest

PART = 64 * 1024
"""Bytes of text that are parsed together."""

LONG = 1024 * 1024
"""Bytes of invalid JSON above which the error does not say where it is."""

OTHERS = sorted(InferenceRequest.model_fields.keys() - {"inputs"})

REQUEST: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    msgspec.defstruct(
        "Request",
        [("inputs", list[dict[str, Raw]]), *((name, Raw, Raw()) for name in OTHERS)],
        forbid_unknown_fields=True,
    )
)
ROWS = msgspec.json.Decoder(list[Raw])
BYTES = msgspec.json.Decoder(list[Annotated[int, Meta(ge=0, le=255)]])


def split_data(text: bytes) -> tuple[dict[str, Any], bytes] | None:
    """The JSON of a request with an empty list as `data` of its only input, and this data as text.

    None: the text has another form, so that it has no such list, or is invalid.

    Raises
    ------
    ValueError
        It has another form and is too long to find out more about it.
    """
    try:
        request = REQUEST.decode(text)
        (tensor,) = request.inputs
        data = bytes(tensor.pop("data")).strip()
        if not data.startswith(b"["):
            raise ValueError
        fields = {name: from_json(bytes(raw)) for name, raw in tensor.items()}
        others = {name: from_json(raw) for name in OTHERS if (raw := bytes(getattr(request, name)))}
    except (msgspec.MsgspecError, RecursionError, KeyError, ValueError):
        if len(text) > LONG:
            raise ValueError("expected an object with one input, which has data") from None
        return None
    return {**others, "inputs": [{**fields, "data": []}]}, data


def bytes_of(text: bytes, dimensions: int) -> Iterator[bytes]:
    """The integers of a list with at most so many dimensions, row by row.

    Parameters
    ----------
    text : bytes
        A list, valid JSON.

    Raises
    ------
    ValueError
        There are other values than integers from 0 to 255, or more dimensions.
    """
    if not text.startswith(b"["):
        raise ValueError("data mixes lists and values")
    if text[1:].lstrip().startswith(b"[") and dimensions > 1:
        for row in ROWS.decode(text):
            yield from bytes_of(bytes(row), dimensions - 1)
        return
    try:
        for part in _parts(text.rstrip()[1:-1]):
            yield bytes(BYTES.decode(b"[%s]" % part))
    except msgspec.MsgspecError:
        raise ValueError("expected integers from 0 to 255 in data") from None


def _parts(values: bytes) -> Iterator[bytes]:
    """Cut at commas. A list in the list is cut as well, and is then not valid."""
    start = 0
    while (end := values.find(b",", start + PART)) >= 0:
        yield values[start:end]
        start = end + 1
    yield values[start:]
