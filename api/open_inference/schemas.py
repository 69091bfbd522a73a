"""The requests and answers of the Open Inference Protocol."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.models.served_model import ServedModel
from api.options import FaceOptions, KnownNames
from api.schemas import EXAMPLE_IMAGE, Schema
from recognizer.classifier import INPUT, OUTPUT
from recognizer.detectors.registry import DETECTORS

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

    binary_data_output: bool = Field(
        False, description="True for outputs as bytes after the JSON, unless an output says no."
    )


class InputParameters(FaceOptions):
    """The parameters of an input."""

    model_config = ConfigDict(strict=True)

    binary_data_size: int | None = Field(
        None,
        ge=0,
        description="How many of the bytes after the JSON are this tensor's. An element of BYTES"
        " there is its length (uint32, little-endian) and the file itself.",
    )


class RequestedOutputParameters(KnownNames):
    """The parameters of a requested output."""

    model_config = ConfigDict(strict=True)

    binary_data: bool | None = Field(None, description="True for bytes after the JSON.")


class RequestInput(KnownNames):
    """The input tensor."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description=f"`{INPUT}`, the only input.", examples=[INPUT])
    shape: list[Annotated[int, Field(ge=0, le=2**31)]] = Field(
        description="[N] for BYTES, [N, 48, 48] for UINT8.", examples=[[1]]
    )
    datatype: str = Field(
        description="BYTES: photos as image files. The largest face of each is classified; with"
        " the parameter `faces` = `whole`, the whole photo is. UINT8: grey faces of 48×48 pixels.",
        examples=["BYTES"],
    )
    parameters: InputParameters | None = Field(
        None, description="Options of the detection count here and for the whole request."
    )
    data: list[Any] | None = Field(
        None,
        description="The values, flat or nested: files in base64, or integers 0 … 255.",
        examples=[[EXAMPLE_IMAGE]],
    )


class RequestedOutput(KnownNames):
    """An output tensor that the client wants."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description=f"{', '.join(OUTPUTS)}.", examples=[OUTPUT])
    parameters: RequestedOutputParameters | None = None


EXAMPLE = {
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

    id: str | None = Field(None, description="Comes back in the answer.")
    model_name: Literal[ServedModel.name] | None = Field(
        None, description="KServe's client sends it here as well; it must be that of the path."
    )
    parameters: RequestParameters | None = None
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = Field(
        None, max_length=len(OUTPUTS), description="The outputs to answer; none means all."
    )


# ---------------------------------------------------------------- answers


class ProtocolServer(Schema):
    """Which server this is."""

    name: str
    version: str
    extensions: list[str] = Field(examples=[["binary_tensor_data"]])


class ProtocolAlive(Schema):
    """The process is alive."""

    live: bool


class ProtocolReady(Schema):
    """All models can answer."""

    ready: bool


class ProtocolModelReady(Schema):
    """One model can answer."""

    name: str = Field(examples=["emotion"])
    ready: bool


class TensorParameters(Schema):
    """Further facts about a tensor."""

    labels: list[str] = Field(
        description="What the columns mean.",
        examples=[["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]],
    )


class Tensor(Schema):
    """A tensor's description; −1 in the shape is any length."""

    name: str = Field(examples=["probabilities"])
    datatype: str = Field(examples=["FP32"])
    shape: list[int] = Field(examples=[[-1, 7]])
    parameters: TensorParameters | None = None


class ProtocolModel(Schema):
    """What goes in and what comes out."""

    name: str = Field(examples=["emotion"])
    versions: list[str] = Field(description="SHA-256 of each served file.")
    platform: str = Field(examples=["onnxruntime_onnx"])
    inputs: list[Tensor]
    outputs: list[Tensor]


class OutputParameters(Schema):
    """Where the values are, if they are not in the JSON."""

    binary_data_size: int = Field(description="Bytes after the JSON, little-endian, row by row.")


class OutputTensor(Schema):
    """An output tensor, with one row per face."""

    name: str = Field(examples=[OUTPUT])
    datatype: str = Field(examples=["FP32"])
    shape: list[int] = Field(examples=[[1, 7]])
    data: list[float] | None = Field(
        None,
        description="The values, row by row.",
        examples=[[0.011, 0.001, 0.012, 0.921, 0.009, 0.026, 0.02]],
    )
    parameters: OutputParameters | None = None


class AnswerParameters(Schema):
    """How the faces were found."""

    faces: Literal[tuple(DETECTORS)] = Field(
        description="The detector; `whole` for faces that are cut out already."
    )


class ProtocolAnswer(Schema):
    """The probabilities, the box and the detector's confidence of each face.

    Boxes are x, y, width and height in pixels of the photo after its EXIF orientation is applied.
    """

    model_name: str = Field(examples=["emotion"])
    model_version: str
    id: str | None = Field(None, description="As it came.")
    parameters: AnswerParameters
    outputs: list[OutputTensor]
