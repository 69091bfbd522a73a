"""The shapes of the answers, as /docs shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=0)]


class Schema(BaseModel):
    """Reads from objects with the same attributes as well as from dictionaries."""

    model_config = ConfigDict(from_attributes=True)


class Problem(Schema):
    """What every error answers."""

    detail: str = Field(
        description="One sentence: what is wrong, and what was expected.",
        examples=["not an image of a known format: expected JPEG, PNG, WebP, BMP or TIFF"],
    )


class ProtocolProblem(Schema):
    """What every error answers where a protocol wants it in this shape."""

    error: str = Field(
        description="One sentence: what is wrong, and what was expected.",
        examples=["faces: expected the shape [N, 48, 48], found [2, 48]"],
    )


class Status(Schema):
    """A probe's answer."""

    status: str = Field(examples=["ok"])


class Box(Schema):
    """A rectangle in pixels of the image after its EXIF orientation is applied."""

    x: Pixels = Field(description="Left edge.", examples=[231])
    y: Pixels = Field(description="Upper edge.", examples=[84])
    width: Pixels = Field(examples=[176])
    height: Pixels = Field(examples=[176])


def request_schema(model: type[BaseModel]) -> dict:
    """The JSON schema of a body that is read by hand, with nothing referred to by name.

    FastAPI keeps only the names that it has found itself.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def spelled_out(part: Any) -> Any:
        if isinstance(part, list):
            return [spelled_out(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return spelled_out(definitions[part["$ref"].rpartition("/")[2]])
        return {key: spelled_out(value) for key, value in part.items()}

    return spelled_out(schema)


EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVQIHWNoAAAAggCB8KrjIgAAAABJRU5ErkJggg=="
)
"""A PNG of one grey pixel, for examples that work."""

Point = tuple[float, float]


class Square(Schema):
    """What the model was shown: a square of the image, turned with the face in it."""

    x: float = Field(description="Its centre, in pixels.", examples=[319.1])
    y: float = Field(examples=[171.4])
    side: float = Field(description="In pixels.", examples=[160.2])
    angle: float = Field(description="In radians, clockwise.", examples=[-0.017])


class Face(Schema):
    """One face of the image."""

    box: Box
    confidence: Probability = Field(
        description="How sure the detector is that this is a face.", examples=[0.97]
    )
    emotion: str = Field(description="The most probable emotion.", examples=["happy"])
    probabilities: dict[str, Probability] = Field(
        description="Calibrated probability of each emotion; they sum to 1.",
        examples=[
            {
                "angry": 0.011,
                "disgust": 0.001,
                "fear": 0.012,
                "happy": 0.921,
                "sad": 0.009,
                "surprise": 0.026,
                "neutral": 0.02,
            }
        ],
    )
    square: Square
    eyes: tuple[Point, Point] | None = Field(
        None,
        description="(x, y) in pixels of the eye at the image's left and of the one at its right,"
        " or null where the detector gives none.",
        examples=[[[286.4, 151.2], [352.9, 150.1]]],
    )


class ImageSize(Schema):
    """Size of the image in pixels, after its EXIF orientation is applied."""

    width: Pixels = Field(examples=[640])
    height: Pixels = Field(examples=[480])


class ModelIdentity(Schema):
    """Which model answered."""

    name: str = Field(description="What the model recognizes.", examples=["emotion"])
    version: str = Field(
        description="SHA-256 of the model file's bytes.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    dataset: str = Field(description="What it was trained on.", examples=["fer2013"])


class Faces(Schema):
    """Every face that was found, the largest first; none is no error."""

    image: ImageSize
    faces: list[Face]
    truncated: bool = Field(
        description="Whether there are more faces than the server answers for one image."
    )


class Prediction(Faces):
    """What was found in one image."""

    model: ModelIdentity


class BatchFile(Schema):
    """One file of a batch."""

    filename: str = Field(description="As it was sent.", examples=["portrait.jpg"])


class BatchFaces(Faces, BatchFile):
    """What was found in one file of a batch."""


class BatchError(BatchFile):
    """Why one file of a batch has no faces to tell of."""

    error: str = Field(description="One sentence: what is wrong with this file.")


class BatchPrediction(Schema):
    """One result for each file, in the order in which they were sent."""

    results: list[BatchFaces | BatchError]
    model: ModelIdentity


class StreamTimes(Schema):
    """Milliseconds of each step with one frame."""

    decode: float = Field(examples=[1.9])
    detect: float = Field(examples=[9.4])
    classify: float = Field(examples=[2.2])


class StreamFrame(Schema):
    """Which frame of a stream an answer is for."""

    frame: int = Field(
        ge=1, description="The number of the frame; the first sent is 1.", examples=[42]
    )
    dropped: int = Field(
        ge=0,
        description="Frames before it, since the last answer, that a newer one replaced.",
        examples=[2],
    )


class StreamFaces(Prediction, StreamFrame):
    """What was found in one frame."""

    milliseconds: StreamTimes


class StreamError(StreamFrame):
    """Why one frame has no faces to tell of; the stream goes on."""

    status: int = Field(
        description="What `POST /predict` would answer for this frame.", examples=[422]
    )
    error: str = Field(description="One sentence: what is wrong, and what was expected.")


class StreamEnd(Schema):
    """Why the server closes a stream; the last message."""

    status: int = Field(description="What `POST /predict` would answer.", examples=[401])
    error: str = Field(description="One sentence: what is wrong, and what was expected.")


class Calibration(Schema):
    """Probabilities are the softmax of scale · logits + bias, in the order of the labels."""

    scale: list[float] = Field(examples=[[1.02, 0.97, 1.1, 1.21, 0.94, 1.13, 0.98]])
    bias: list[float] = Field(examples=[[0.1, -0.32, 0.04, 0.21, 0.19, -0.11, -0.11]])


class ModelDescription(ModelIdentity):
    """What the model file says of itself, and what was measured on it."""

    labels: list[str] = Field(
        description="The emotions, in the order of the model's output.",
        examples=[["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]],
    )
    format: str = Field(description="The contract the file keeps.", examples=["fer-onnx/2"])
    parameters_digest: str = Field(description="SHA-256 of the parameters of its training.")
    data_digest: str = Field(description="SHA-256 of the data of its training.")
    calibration: Calibration
    metrics: dict = Field(description="Headline metrics measured when the file was exported.")
    evaluation: dict | None = Field(
        description="The committed metrics by split, if they were measured on this very file;"
        " otherwise null."
    )


class ServedVersion(Schema):
    """One version of the model that is served, or that should be."""

    source: str = Field(
        description="The file, or the file of a git revision.",
        examples=["models/fer2013/model.onnx of revision v1.0"],
    )
    revision: str | None = Field(description="The git revision in the settings.")
    commit: str | None = Field(description="The commit that it was when it was loaded.")
    default: bool = Field(description="Whether it answers where no version is asked for.")
    problem: str | None = Field(description="Why it cannot answer, or null if it can.")
    model: ModelDescription | None = Field(description="Null unless it can answer.")


class ServedVersions(Schema):
    """All of them, and what they have in common."""

    models: list[ServedVersion]
    detectors: list[str] = Field(
        description="What `faces` may be on this server.", examples=[["yunet", "whole"]]
    )


# ---------------------------------------------------------------- the Open Inference Protocol


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
    """What else there is to know of a tensor."""

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

    binary_data_size: int = Field(description="Bytes after the JSON, float32, little-endian.")


class OutputTensor(Schema):
    """A tensor that comes out."""

    name: str = Field(examples=["probabilities"])
    datatype: str = Field(examples=["FP32"])
    shape: list[int] = Field(examples=[[1, 7]])
    data: list[float] | None = Field(
        None,
        description="The values, row by row.",
        examples=[[0.011, 0.001, 0.012, 0.921, 0.009, 0.026, 0.02]],
    )
    parameters: OutputParameters | None = None


class ProtocolAnswer(Schema):
    """The probabilities of each face."""

    model_name: str = Field(examples=["emotion"])
    model_version: str
    id: str | None = Field(None, description="As it came.")
    outputs: list[OutputTensor]


# ---------------------------------------------------------------- DeepFace's shape


class Region(Schema):
    """Where a face is, in pixels; left and right are the person's own."""

    x: Pixels
    y: Pixels
    w: Pixels
    h: Pixels
    left_eye: tuple[int, int] | None = Field(description="(x, y); null where unknown.")
    right_eye: tuple[int, int] | None = Field(description="(x, y); null where unknown.")


class Analysis(Schema):
    """One face."""

    emotion: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(
        description="Percent, not 0 … 1; they sum to 100.",
        examples=[
            {
                "angry": 1.1,
                "disgust": 0.1,
                "fear": 1.2,
                "happy": 92.1,
                "sad": 0.9,
                "surprise": 2.6,
                "neutral": 2.0,
            }
        ],
    )
    dominant_emotion: str = Field(examples=["happy"])
    region: Region
    face_confidence: Probability = Field(
        description="How sure the detector is; 0 where none looked or none found a face."
    )


class Analyses(Schema):
    """Every face, the largest first."""

    results: list[Analysis]
