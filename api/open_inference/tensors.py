"""Tensors as the Open Inference Protocol writes them: a request's body in, an answer's body out.

The values of a tensor are numbers or strings in the JSON, or bytes that follow the JSON (the
protocol's binary data extension). In the second case a header gives the length of the JSON.
"""

import json
import struct
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from fastapi import HTTPException
from pydantic import ValidationError

from api.base64_file import file_from_base64
from api.errors import sentence_of
from api.open_inference.schemas import (
    OUTPUTS,
    InferenceRequest,
    RequestInput,
    RequestParameters,
)
from api.options import FaceOptions, merged
from recognizer.classifier import INPUT, SIZE

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header with the length of the JSON in front of binary data."""

DIMENSIONS = 3
"""Of [N, 48, 48]."""

BYTES_OF = {"FP32": "<f4", "INT32": "<i4"}
"""How the values of a datatype are written in binary data."""


class TensorError(ValueError):
    """The request does not fit the protocol or the model; the message is one sentence."""


@dataclass(frozen=True)
class Inference:
    """A request that was read."""

    id: str | None
    faces: np.ndarray | list[bytes]
    """Cut-out faces, uint8 [N, 48, 48], or N photos as image files."""
    options: FaceOptions
    """How faces are found in photos."""
    outputs: dict[str, bool]
    """The outputs to answer, and whether each follows the JSON as bytes."""


def read_request(body: bytes, header_length: str | None) -> Inference:
    """Read the body of a request; `header_length` is the value of the header of that name.

    Raises
    ------
    TensorError
        The request does not fit the protocol or the model.
    """
    text, binary = _split(body, header_length)
    try:
        request = InferenceRequest.model_validate_json(text)
    except ValidationError as error:
        raise TensorError(sentence_of(error, "JSON field")) from None
    tensor = request.inputs[0]
    faces = _faces(tensor, binary)
    return Inference(request.id, faces, _options(request), _outputs(request))


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


def _options(request: InferenceRequest) -> FaceOptions:
    """The options of the detection, from the parameters of the request and of its input."""
    tensor = request.inputs[0]
    places = "parameters of the request", "parameters of the input"
    options = FaceOptions()
    for parameters in (request.parameters, tensor.parameters):
        if parameters is not None:
            try:
                options = merged(options, parameters, places)
            except HTTPException as error:
                raise TensorError(error.detail) from None
    if tensor.datatype == "UINT8":
        if "faces" in options.model_fields_set and options.faces != "whole":
            raise TensorError(
                f"{INPUT}: a UINT8 tensor holds faces that are cut out already, so the parameter"
                f" faces can only be 'whole', found {options.faces!r}"
            )
        return options.model_copy(update={"faces": "whole"})
    return options


def _outputs(request: InferenceRequest) -> dict[str, bool]:
    """The outputs to answer, and whether each follows the JSON as bytes."""
    binary = (request.parameters or RequestParameters()).binary_data_output
    if not request.outputs:
        return dict.fromkeys(OUTPUTS, binary)
    wanted = {}
    for output in request.outputs:
        if output.name not in OUTPUTS:
            raise TensorError(f"no output {output.name[:100]!r}: expected {', '.join(OUTPUTS)}")
        own = output.parameters and output.parameters.binary_data
        wanted[output.name] = binary if own is None else own
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
    size = tensor.parameters and tensor.parameters.binary_data_size
    if size is None:
        if follow:
            raise TensorError(f"{INPUT}: bytes follow the JSON, but binary_data_size is missing")
        if tensor.data is None:
            raise TensorError(f"{INPUT}: neither data nor binary_data_size")
        return True
    if tensor.data is not None:
        raise TensorError(f"{INPUT}: both data and binary_data_size")
    if size != follow:
        raise TensorError(
            f"{INPUT}: binary_data_size is {size}, but {follow} bytes follow the JSON"
            f" (the header {HEADER_LENGTH} gives the length of the JSON)"
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
        if not isinstance(text, str):
            raise TensorError(
                f"{INPUT}[{number}]: expected an image file in base64, found"
                f" {type(text).__name__} (the file itself can follow the JSON as binary data)"
            )
        try:
            files.append(file_from_base64(text))
        except ValueError as error:
            raise TensorError(f"{INPUT}[{number}]: {error}") from None
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
    inference: Inference, name: str, version: str, outputs: dict[str, np.ndarray]
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of the answer; `outputs` has an array for each name in OUTPUTS."""
    described, binary = [], []
    for output, as_bytes in inference.outputs.items():
        values, datatype = outputs[output], OUTPUTS[output]
        tensor = {"name": output, "datatype": datatype, "shape": list(values.shape)}
        if as_bytes:
            binary.append(values.astype(BYTES_OF[datatype]).tobytes())
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = values.ravel().tolist()
        described.append(tensor)
    answer = {
        "model_name": name,
        "model_version": version,
        **({} if inference.id is None else {"id": inference.id}),
        "parameters": {"faces": inference.options.faces},
        "outputs": described,
    }
    text = json.dumps(answer).encode()
    if not binary:
        return text, {"Content-Type": "application/json"}
    return text + b"".join(binary), {
        "Content-Type": "application/octet-stream",
        HEADER_LENGTH: str(len(text)),
    }
