"""The shapes of the answers, as /docs shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=0)]


class Schema(BaseModel):
    """Reads from objects with the same attributes as well as from dictionaries."""

    model_config = ConfigDict(from_attributes=True)


class Problem(Schema):
    """The body of every error."""

    detail: str = Field(
        description="One sentence: what is wrong, and what was expected.",
        examples=["not an image of a known format: expected JPEG, PNG, WebP, BMP or TIFF"],
    )


class ProtocolProblem(Schema):
    """The body of every error at the addresses of a protocol."""

    error: str = Field(
        description="One sentence: what is wrong, and what was expected.",
        examples=["faces: expected the shape [N, 48, 48], found [2, 48]"],
    )


class Status(Schema):
    """The answer of a probe."""

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


def form_schema(model: type[BaseModel]) -> dict:
    """The JSON schema of a form: its required fields alone.

    Options are described in the query. Listed here as well, /docs would send made-up values of
    each in every form.
    """
    schema = request_schema(model)
    fields = {name: schema["properties"][name] for name in schema["required"]}
    return {"type": "object", "required": schema["required"], "properties": fields}


EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVQIHWNoAAAAggCB8KrjIgAAAABJRU5ErkJggg=="
)
"""A PNG of one grey pixel, for examples that work."""

Point = tuple[float, float]


class Square(Schema):
    """The part of the image that was classified: a square, turned with the face."""

    x: float = Field(description="Its centre, in pixels.", examples=[319.1])
    y: float = Field(examples=[171.4])
    side: float = Field(description="In pixels.", examples=[160.2])
    angle: float = Field(description="In radians, clockwise.", examples=[-0.017])


class Face(Schema):
    """One face of the image."""

    box: Box
    confidence: Probability = Field(
        description="Confidence of the detector that this is a face.", examples=[0.97]
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
    """The model that answered."""

    name: str = Field(description="What the model recognizes.", examples=["emotion"])
    version: str = Field(
        description="SHA-256 of the model file's bytes.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    dataset: str = Field(description="The dataset of its training.", examples=["fer2013"])


class Faces(Schema):
    """Every face that was found, the largest first; none is no error."""

    image: ImageSize
    faces: list[Face]
    truncated: bool = Field(
        description="Whether there are more faces than the server answers for one image."
    )


class Prediction(Faces):
    """The faces in one image."""

    model: ModelIdentity


class BatchFile(Schema):
    """One file of a batch."""

    filename: str = Field(description="As it was sent.", examples=["portrait.jpg"])


class BatchFaces(Faces, BatchFile):
    """The faces in one file of a batch."""


class BatchError(BatchFile):
    """The error of one file of a batch."""

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
    """The frame of a stream that an answer is for."""

    frame: int = Field(
        ge=1, description="The number of the frame; the first sent is 1.", examples=[42]
    )
    dropped: int = Field(
        ge=0,
        description="Frames before it, since the last answer, that a newer one replaced.",
        examples=[2],
    )


class StreamFaces(Prediction, StreamFrame):
    """The faces in one frame."""

    milliseconds: StreamTimes


class StreamError(StreamFrame):
    """The error of one frame; the stream goes on."""

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


CONFIDENCE_BINS = tuple(round(upper / 15, 4) for upper in range(1, 16))
"""Upper edges of the bins for the probability of the predicted emotion.

`evaluate` counts the test images in these bins, and `GET /metrics` the faces of requests.
"""


class ConfidenceBin(Schema):
    """A point of the cumulative distribution of the probability of the predicted emotion."""

    up_to: Probability = Field(description="A probability.", examples=[0.6667])
    share: Probability = Field(
        description="Share of the images whose predicted emotion has at most this probability.",
        examples=[0.4260],
    )


class ModelDescription(ModelIdentity):
    """The metadata of the model file, and the metrics that were measured on it."""

    labels: list[str] = Field(
        description="The emotions, in the order of the model's output.",
        examples=[["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]],
    )
    format: str = Field(description="The format of the file.", examples=["fer-onnx/2"])
    parameters_digest: str = Field(description="SHA-256 of the parameters of its training.")
    data_digest: str = Field(description="SHA-256 of the data of its training.")
    calibration: Calibration
    metrics: dict = Field(description="Headline metrics measured when the file was exported.")
    evaluation: dict | None = Field(
        description="The committed metrics by split, if they were measured on this very file;"
        " otherwise null."
    )
    confidence: list[ConfidenceBin] | None = Field(
        description="How sure the model was on PrivateTest, in the bins of `fer_confidence` in"
        " `GET /metrics`: where the shares there differ much, the photos differ from the dataset."
        " Null where `evaluation` is null or the table was not committed."
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
    """All versions, and the detectors of this server."""

    models: list[ServedVersion]
    detectors: list[str] = Field(
        description="What `faces` may be on this server.", examples=[["yunet", "whole"]]
    )
