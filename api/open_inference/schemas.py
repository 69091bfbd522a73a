"""The requests and responses of the Open Inference Protocol."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from api.openapi import EXAMPLE_IMAGE
from api.options import DetectorName, FaceOptions, KnownNames
from api.schemas import MODEL, Schema, example
from recognizer.classifier import INPUT, OUTPUT

BOXES = "boxes"
CONFIDENCE = "confidence"
OUTPUTS = {OUTPUT: "FP32", BOXES: "INT32", CONFIDENCE: "FP32"}
"""Datatype of each output."""

BOX_SIDES = ("x", "y", "width", "height")
"""The columns of `boxes`."""


# ---------------------------------------------------------------- requests


class RequestParameters(FaceOptions):
    """The parameters of a request."""

    model_config = ConfigDict(strict=True)

    binary_data_output: Annotated[
        bool,
        Field(
            description="True: outputs are binary data after the JSON, unless an output's"
            " `binary_data` is false."
        ),
    ] = False


class InputParameters(FaceOptions):
    """The parameters of an input."""

    model_config = ConfigDict(strict=True)

    binary_data_size: int | None = Field(
        None,
        ge=0,
        description="Number of bytes after the JSON that belong to this tensor. There, an element"
        " of BYTES is its length (uint32, little-endian) and the file.",
    )


class RequestedOutputParameters(KnownNames):
    """The parameters of a requested output."""

    model_config = ConfigDict(strict=True)

    binary_data: bool | None = Field(None, description="True: binary data after the JSON.")


class RequestInput(KnownNames):
    """The input tensor."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description=f"`{INPUT}`, the only input.", examples=[INPUT])
    shape: list[Annotated[int, Field(ge=0, le=2**31)]] = Field(
        description="[N] for BYTES, [N, 48, 48] for UINT8.", examples=[[1]]
    )
    datatype: str = Field(
        description="BYTES: photos as image files. The largest face of each is classified, or the"
        " whole photo if the parameter `faces` is `whole`. UINT8: grey faces of 48×48 pixels.",
        examples=["BYTES"],
    )
    parameters: InputParameters | None = Field(
        None, description="Detection options; they may be parameters of the request instead."
    )
    data: list[Any] | None = Field(
        None,
        description="The values, flat or nested: files in base64, or integers from 0 to 255.",
        examples=[[EXAMPLE_IMAGE]],
    )


class RequestedOutput(KnownNames):
    """An output tensor that the client requests."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description=f"{', '.join(OUTPUTS)}.", examples=[OUTPUT])
    parameters: RequestedOutputParameters | None = None


EXAMPLE: JsonDict = {
    "inputs": [
        {
            "name": INPUT,
            "shape": [1],
            "datatype": "BYTES",
            "parameters": {"faces": "whole"},
            "data": [EXAMPLE_IMAGE],
        }
    ]
}


class InferenceRequest(KnownNames):
    """The JSON of a request."""

    model_config = ConfigDict(
        strict=True, protected_namespaces=(), json_schema_extra={"examples": [EXAMPLE]}
    )

    id: str | None = Field(None, description="Returned in the response.")
    model_name: str | None = Field(
        None, description="The same as in the path; KServe's client sends it here as well."
    )
    parameters: RequestParameters | None = None
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = Field(
        None, max_length=len(OUTPUTS), description="The outputs to return; all if empty."
    )


# ---------------------------------------------------------------- responses


class ProtocolServer(Schema):
    """The server."""

    name: str = Field(examples=["Facial expression recognition"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = Field(examples=[["binary_tensor_data"]])


class ProtocolAlive(Schema):
    """The process is alive."""

    live: bool = Field(examples=[True])


class ProtocolReady(Schema):
    """Whether all models are ready."""

    ready: bool = Field(examples=[True])


class ProtocolModelReady(Schema):
    """Whether one model is ready."""

    name: str = Field(examples=["emotion"])
    ready: bool = Field(examples=[True])


class TensorParameters(Schema):
    """The labels of a tensor."""

    labels: list[str] = Field(
        description="The names of the columns.",
        examples=[["happy", "neutral", "surprise"]],
    )


class Tensor(Schema):
    """The description of a tensor; −1 in the shape means any length."""

    name: str = Field(examples=["probabilities"])
    datatype: str = Field(examples=["FP32"])
    shape: list[int] = Field(examples=[[-1, 3]])
    parameters: TensorParameters | None = None


class ProtocolModel(Schema):
    """The inputs and the outputs of the model."""

    name: str = Field(examples=["emotion"])
    versions: list[str] = Field(
        description="SHA-256 of each served file.", examples=[[MODEL["version"]]]
    )
    platform: str = Field(examples=["onnxruntime_onnx"])
    inputs: list[Tensor] = Field(
        examples=[[{"name": INPUT, "datatype": "UINT8", "shape": [-1, 48, 48]}]]
    )
    outputs: list[Tensor] = Field(
        examples=[[{"name": CONFIDENCE, "datatype": "FP32", "shape": [-1]}]]
    )


class OutputParameters(Schema):
    """The size of a tensor in binary data."""

    binary_data_size: int = Field(
        description="Number of bytes after the JSON; little-endian, row-major."
    )


class OutputTensor(Schema):
    """An output tensor, with one row per face."""

    name: str = Field(examples=[OUTPUT])
    datatype: str = Field(examples=["FP32"])
    shape: list[int] = Field(examples=[[1, 3]])
    data: list[float] | None = Field(
        None,
        description="The values, row-major.",
        examples=[[0.921, 0.053, 0.026]],
    )
    parameters: OutputParameters | None = None


class ResponseParameters(Schema):
    """How the faces were detected."""

    faces: DetectorName = Field(
        description="The detector; `whole` if the request has cropped faces."
    )


class InferenceResponse(Schema):
    """The probabilities, the box and the detection confidence of each face.

    Boxes are x, y, width and height in pixels of the photo after its EXIF orientation is applied.
    """

    model_config = example(
        {
            "model_name": "emotion",
            "model_version": MODEL["version"],
            "parameters": {"faces": "yunet"},
            "outputs": [
                {
                    "name": OUTPUT,
                    "datatype": "FP32",
                    "shape": [1, 3],
                    "data": [0.921, 0.053, 0.026],
                },
                {"name": BOXES, "datatype": "INT32", "shape": [1, 4], "data": [231, 84, 176, 176]},
                {"name": CONFIDENCE, "datatype": "FP32", "shape": [1], "data": [0.97]},
            ],
        }
    )

    model_name: str = Field(examples=["emotion"])
    model_version: str
    id: str | None = Field(None, description="The id of the request.")
    parameters: ResponseParameters
    outputs: list[OutputTensor]
