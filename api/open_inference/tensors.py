"""Tensors of the Open Inference Protocol: parses the body of a request, writes that of a response.

The values of a tensor are numbers or strings in the JSON, or bytes after the JSON (the protocol's
binary data extension). In the second case a header has the length of the JSON.
"""

import json
import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from api.base64_file import file_from_base64
from api.errors import validation_message
from api.open_inference.json_values import bytes_of, split_data
from api.open_inference.schemas import (
    OUTPUTS,
    InferenceRequest,
    RequestInput,
    RequestParameters,
)
from api.options import FaceOptions, merged
from api.request_body import MAX_VALUES, check_values
from api.settings import Settings
from recognizer.classifier import INPUT, SIZE

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header with the length of the JSON that precedes binary data."""

DIMENSIONS = 3
"""The number of dimensions of [N, 48, 48]."""

BINARY_DTYPES = {"FP32": "<f4", "INT32": "<i4"}
"""The NumPy dtype of a datatype in binary data."""


Output = NDArray[np.float32] | NDArray[np.int32]
"""An output tensor: FP32 or INT32."""


class TensorError(ValueError):
    """The request violates the protocol or does not fit the model; the message is one sentence."""


@dataclass(frozen=True)
class Inference:
    """A parsed request."""

    id: str | None
    model_name: str | None
    """As in the body; None if it has none."""
    faces: NDArray[np.uint8] | list[bytes]
    """Cropped faces, uint8 [N, 48, 48], or N photos as image files."""
    options: FaceOptions
    """How faces are detected in photos."""
    outputs: dict[str, bool]
    """The outputs to return, and whether each is binary data."""


def read_request(body: bytes, header_length: str | None, limits: Settings) -> Inference:
    """Parse the body of a request.

    Parameters
    ----------
    body : bytes
    header_length : str or None
        The value of the header HEADER_LENGTH.
    limits : Settings

    Raises
    ------
    TensorError
        The request violates the protocol or does not fit the model.
    HTTPException
        413: too many values, faces or files.
    """
    text, binary = _split_binary(body, header_length)
    # A face is at most SIZE rows of SIZE values in a list.
    most = limits.max_tensor_faces
    check_values(text, most * SIZE**2 + MAX_VALUES, most * (SIZE + 1) + MAX_VALUES)
    try:
        if split := split_data(text):
            request = InferenceRequest.model_validate(split[0])
        else:
            request = InferenceRequest.model_validate_json(text)
    except ValidationError as error:
        raise TensorError(validation_message(error, "JSON field")) from None
    except ValueError as error:
        raise TensorError(f"JSON: {error}") from None
    tensor = request.inputs[0]
    faces = _faces(tensor, split and split[1], binary, limits)
    return Inference(request.id, request.model_name, faces, _options(request), _outputs(request))


def _split_binary(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """The JSON, and the binary data after it if the header has the length of the JSON."""
    if header_length is None:
        return body, b""
    if not (header_length.isdecimal() and header_length.isascii()):
        raise TensorError(f"{HEADER_LENGTH}: expected a number, found {header_length[:100]!r}")
    # Twenty digits exceed the length of every body; the conversion of more digits is slow.
    length = int(header_length[:20])
    if length > len(body):
        raise TensorError(f"{HEADER_LENGTH} is {length}, but the body has {len(body)} bytes")
    return body[:length], body[length:]


def _options(request: InferenceRequest) -> FaceOptions:
    """The detection options, from the parameters of the request and of its input."""
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
                f"{INPUT}: a UINT8 tensor has cropped faces, so the parameter faces can only be"
                f" 'whole', found {options.faces!r}"
            )
        return options.model_copy(update={"faces": "whole"})
    return options


def _outputs(request: InferenceRequest) -> dict[str, bool]:
    """The outputs to return, and whether each is binary data."""
    binary = (request.parameters or RequestParameters()).binary_data_output
    if not request.outputs:
        return dict.fromkeys(OUTPUTS, binary)
    outputs = {}
    for output in request.outputs:
        if output.name not in OUTPUTS:
            raise TensorError(f"no output {output.name[:100]!r}: expected {', '.join(OUTPUTS)}")
        own = output.parameters.binary_data if output.parameters else None
        outputs[output.name] = binary if own is None else own
    return outputs


def _faces(
    tensor: RequestInput, text: bytes | None, binary: bytes, limits: Settings
) -> NDArray[np.uint8] | list[bytes]:
    if tensor.name != INPUT:
        raise TensorError(f"no input {tensor.name[:100]!r}: expected {INPUT!r}")
    inline = _has_inline_data(tensor, len(binary))
    data = (text or to_json(tensor.data)) if inline else None
    if tensor.datatype == "UINT8":
        _check_shape(tensor, [SIZE, SIZE])
        pixels = np.frombuffer(binary, np.uint8) if data is None else _pixels(data)
        if pixels.size != prod(tensor.shape):
            raise TensorError(
                f"{INPUT}: the shape has {prod(tensor.shape)} values, found {pixels.size}"
            )
        if len(faces := pixels.reshape(tensor.shape)) > limits.max_tensor_faces:
            raise _too_many(limits.max_tensor_faces, "faces")
        return faces
    if tensor.datatype == "BYTES":
        _check_shape(tensor, [])
        files = (
            _split_files(binary, limits.max_batch)
            if data is None
            else _files(data, limits.max_batch)
        )
        if len(files) != tensor.shape[0]:
            raise TensorError(f"{INPUT}: the shape has {tensor.shape[0]} files, found {len(files)}")
        return files
    raise TensorError(
        f"{INPUT}: expected the datatype UINT8 or BYTES, found {tensor.datatype[:100]!r}"
    )


def _too_many(limit: int, what: str) -> HTTPException:
    return HTTPException(413, f"{INPUT}: more than {limit} {what} in one tensor")


def _has_inline_data(tensor: RequestInput, binary_size: int) -> bool:
    """Whether the values are in the JSON; otherwise in the `binary_size` bytes after it."""
    size = tensor.parameters.binary_data_size if tensor.parameters else None
    if size is None:
        if binary_size:
            raise TensorError(f"{INPUT}: bytes follow the JSON, but binary_data_size is missing")
        if tensor.data is None:
            raise TensorError(f"{INPUT}: expected data or binary_data_size, found neither")
        return True
    if tensor.data is not None:
        raise TensorError(f"{INPUT}: expected data or binary_data_size, found both")
    if size != binary_size:
        raise TensorError(
            f"{INPUT}: binary_data_size is {size}, but {binary_size} bytes follow the JSON"
            f" (the header {HEADER_LENGTH} has the length of the JSON)"
        )
    return False


def _check_shape(tensor: RequestInput, tail: list[int]) -> None:
    if not tensor.shape or tensor.shape[1:] != tail:
        expected = ", ".join(["N", *map(str, tail)])
        raise TensorError(
            f"{INPUT}: expected the shape [{expected}] for {tensor.datatype}, found"
            f" {str(tensor.shape)[:100]}"
        )


def _pixels(text: bytes) -> NDArray[np.uint8]:
    """Integers in JSON, flat or nested, as uint8 [values]."""
    try:
        return np.frombuffer(b"".join(bytes_of(text, DIMENSIONS)), np.uint8)
    except ValueError as error:
        raise TensorError(f"{INPUT}: {error}") from None


def _files(text: bytes, most: int) -> list[bytes]:
    """Image files from base64 in JSON."""
    data = from_json(text)
    if len(data) > most:
        raise _too_many(most, "files")
    files: list[bytes] = []
    for number, text in enumerate(data):
        if not isinstance(text, str):
            raise TensorError(
                f"{INPUT}[{number}]: expected an image file in base64, found"
                f" {type(text).__name__} (a file can also be binary data after the JSON)"
            )
        try:
            files.append(file_from_base64(text))
        except ValueError as error:
            raise TensorError(f"{INPUT}[{number}]: {error}") from None
    return files


def _split_files(binary: bytes, most: int) -> list[bytes]:
    """Image files from binary data, in which the length of each file precedes it."""
    files: list[bytes] = []
    position = 0
    while position < len(binary):
        if len(files) == most:
            raise _too_many(most, "files")
        try:
            (length,) = struct.unpack_from("<I", binary, position)
        except struct.error:
            length = len(binary)
        position += 4
        if position + length > len(binary):
            raise TensorError(f"{INPUT}[{len(files)}]: the bytes are incomplete")
        files.append(binary[position : position + length])
        position += length
    return files


def write_response(
    inference: Inference, name: str, version: str, outputs: dict[str, Output]
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of the response; `outputs` has an array for each name in OUTPUTS."""
    tensors, binary = [], []
    for output, as_bytes in inference.outputs.items():
        values, datatype = outputs[output], OUTPUTS[output]
        tensor: dict[str, Any] = {
            "name": output,
            "datatype": datatype,
            "shape": list(values.shape),
        }
        if as_bytes:
            binary.append(values.astype(BINARY_DTYPES[datatype]).tobytes())
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = values.ravel().tolist()
        tensors.append(tensor)
    response = {
        "model_name": name,
        "model_version": version,
        **({} if inference.id is None else {"id": inference.id}),
        "parameters": {"faces": inference.options.faces},
        "outputs": tensors,
    }
    text = json.dumps(response).encode()
    if not binary:
        return text, {"Content-Type": "application/json"}
    return text + b"".join(binary), {
        "Content-Type": "application/octet-stream",
        HEADER_LENGTH: str(len(text)),
    }
