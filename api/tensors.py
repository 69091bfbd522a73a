"""Tensors as the Open Inference Protocol writes them: a request's body in, an answer's body out.

A tensor's values are numbers or strings in the JSON, or bytes that follow the JSON (the
protocol's binary data extension); then a header tells where the JSON ends.
"""

import json
import struct
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.image_files import from_base64
from api.schemas import EXAMPLE_IMAGE
from recognizer.classifier import INPUT, OUTPUT
from recognizer.faces import SIZE

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header with the length of the JSON in front of binary data."""


DIMENSIONS = 3
"""Of [N, 48, 48]."""


class TensorError(ValueError):
    """The request is no request of the protocol, or none that fits the model."""


class Strict(BaseModel):
    """A part of the request's JSON."""

    model_config = ConfigDict(strict=True)


class RequestInput(Strict):
    """A tensor that goes in."""

    name: str = Field(description=f"`{INPUT}`, the only one.", examples=[INPUT])
    shape: list[Annotated[int, Field(ge=0, le=2**31)]] = Field(
        description="[N, 48, 48] for UINT8, [N] for BYTES.", examples=[[1]]
    )
    datatype: str = Field(
        description="UINT8: grey faces of 48×48 pixels. BYTES: image files of one face each.",
        examples=["BYTES"],
    )
    parameters: dict[str, Any] | None = Field(
        None,
        description="`binary_data_size`: how many of the bytes after the JSON are this tensor's."
        " An element of BYTES there is its length (uint32, little-endian) and the file itself.",
    )
    data: list[Any] | None = Field(
        None,
        description="The values, flat or nested: integers 0 … 255, or files in base64.",
        examples=[[EXAMPLE_IMAGE]],
    )


class RequestOutput(Strict):
    """A tensor that shall come out."""

    name: str = Field(description=f"`{OUTPUT}`, the only one.", examples=[OUTPUT])
    parameters: dict[str, Any] | None = Field(
        None, description="`binary_data`: true for bytes after the JSON."
    )


class InferenceRequest(Strict):
    """The JSON of a request."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {"name": INPUT, "shape": [1], "datatype": "BYTES", "data": [EXAMPLE_IMAGE]}
                    ]
                }
            ]
        },
    )

    id: str | None = Field(None, description="Comes back in the answer.")
    parameters: dict[str, Any] | None = Field(
        None, description="`binary_data_output`: true for bytes after the JSON."
    )
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] | None = Field(None, max_length=1)


@dataclass(frozen=True)
class Inference:
    """What a request asks for."""

    id: str | None
    faces: np.ndarray | list[bytes]
    """uint8 [N, 48, 48], or N image files."""
    binary_answer: bool
    """Whether the probabilities shall follow the JSON as bytes."""


def read_request(body: bytes, header_length: str | None) -> Inference:
    """Read a request's body; `header_length` is the header of that name.

    Raises
    ------
    TensorError
        With one sentence: what is wrong, and what was expected.
    """
    text, binary = _split(body, header_length)
    try:
        request = InferenceRequest.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the request's JSON"
        raise TensorError(f"{where}: {problem['msg'][:1].lower()}{problem['msg'][1:]}") from None
    for output in request.outputs or []:
        if output.name != OUTPUT:
            raise TensorError(f"no output {output.name[:100]!r}: expected {OUTPUT!r}")
    return Inference(request.id, _faces(request.inputs[0], binary), _wants_binary(request))


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """The JSON, and the bytes that follow it if the header says where it ends."""
    if header_length is None:
        return body, b""
    if not (header_length.isdecimal() and header_length.isascii()):
        raise TensorError(f"{HEADER_LENGTH}: expected a number, found {header_length[:100]!r}")
    # Longer numbers than this are beyond every body, and costly to read.
    length = int(header_length[:20])
    if length > len(body):
        raise TensorError(f"{HEADER_LENGTH} is {length}, but the body has {len(body)} bytes")
    return body[:length], body[length:]


def _wants_binary(request: InferenceRequest) -> bool:
    wanted = (request.parameters or {}).get("binary_data_output", False)
    for output in request.outputs or []:
        wanted = (output.parameters or {}).get("binary_data", wanted)
    if not isinstance(wanted, bool):
        raise TensorError(f"binary output: expected true or false, found {str(wanted)[:100]!r}")
    return wanted


def _faces(tensor: RequestInput, binary: bytes) -> np.ndarray | list[bytes]:
    if tensor.name != INPUT:
        raise TensorError(f"no input {tensor.name[:100]!r}: expected {INPUT!r}")
    inline = _is_inline(tensor, len(binary))
    if tensor.datatype == "UINT8":
        _check_shape(tensor, [SIZE, SIZE])
        pixels = _pixels(tensor.data) if inline else np.frombuffer(binary, np.uint8)
        if pixels.size != prod(tensor.shape):
            raise TensorError(
                f"{INPUT}: its shape has {prod(tensor.shape)} values, but {pixels.size} came"
            )
        return pixels.reshape(tensor.shape)
    if tensor.datatype == "BYTES":
        _check_shape(tensor, [])
        files = _files(tensor.data) if inline else _split_files(binary)
        if len(files) != tensor.shape[0]:
            raise TensorError(
                f"{INPUT}: its shape has {tensor.shape[0]} files, but {len(files)} came"
            )
        return files
    raise TensorError(
        f"{INPUT}: expected the datatype UINT8 or BYTES, found {tensor.datatype[:100]!r}"
    )


def _is_inline(tensor: RequestInput, follow: int) -> bool:
    """Whether the values are in the JSON; if not, `follow` bytes after it are all of them."""
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is None:
        if follow:
            raise TensorError(f"{INPUT}: bytes follow the JSON, but binary_data_size is missing")
        if tensor.data is None:
            raise TensorError(f"{INPUT}: neither data nor binary_data_size")
        return True
    if tensor.data is not None:
        raise TensorError(f"{INPUT}: both data and binary_data_size")
    if size != follow or isinstance(size, bool):
        raise TensorError(
            f"{INPUT}: binary_data_size is {str(size)[:100]}, but {follow} bytes follow the JSON"
            f" (the header {HEADER_LENGTH} tells where it ends)"
        )
    return False


def _check_shape(tensor: RequestInput, tail: list[int]) -> None:
    if not tensor.shape or tensor.shape[1:] != tail:
        expected = ", ".join(["N", *map(str, tail)])
        raise TensorError(
            f"{INPUT}: expected the shape [{expected}] for {tensor.datatype}, found"
            f" {str(tensor.shape)[:100]}"
        )


def _pixels(data: list[Any]) -> np.ndarray:
    """Numbers, flat or nested, as uint8 [values]."""
    for _ in range(DIMENSIONS - 1):
        if data and isinstance(data[0], list):
            if not all(isinstance(row, list) for row in data):
                raise TensorError(f"{INPUT}: data mixes lists and values")
            data = list(chain.from_iterable(data))
    try:
        return np.frombuffer(bytes(data), np.uint8)
    except (TypeError, ValueError):
        raise TensorError(f"{INPUT}: expected integers 0 … 255 in data") from None


def _files(data: list[Any]) -> list[bytes]:
    """Image files from base64."""
    files = []
    for number, text in enumerate(data):
        try:
            files.append(from_base64(text))
        except (TypeError, ValueError):
            raise TensorError(
                f"{INPUT}[{number}]: expected an image file in base64 (as it is, it can follow the"
                " JSON as binary data)"
            ) from None
    return files


def _split_files(binary: bytes) -> list[bytes]:
    """Image files, each after its length."""
    files, position = [], 0
    while position < len(binary):
        try:
            (length,) = struct.unpack_from("<I", binary, position)
        except struct.error:
            length = len(binary)
        position += 4
        if position + length > len(binary):
            raise TensorError(f"{INPUT}[{len(files)}]: its bytes break off")
        files.append(binary[position : position + length])
        position += length
    return files


def write_answer(
    inference: Inference, name: str, version: str, probabilities: np.ndarray
) -> tuple[bytes, dict[str, str]]:
    """The answer's body and headers; probabilities are float32 [N, C]."""
    answer = {"model_name": name, "model_version": version}
    if inference.id is not None:
        answer["id"] = inference.id
    output = {"name": OUTPUT, "datatype": "FP32", "shape": list(probabilities.shape)}
    answer["outputs"] = [output]
    if not inference.binary_answer:
        output["data"] = probabilities.ravel().tolist()
        return json.dumps(answer).encode(), {"Content-Type": "application/json"}
    binary = probabilities.astype("<f4").tobytes()
    output["parameters"] = {"binary_data_size": len(binary)}
    text = json.dumps(answer).encode()
    return text + binary, {
        "Content-Type": "application/octet-stream",
        HEADER_LENGTH: str(len(text)),
    }
