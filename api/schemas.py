"""The JSON of the responses, as /docs shows it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Probability = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=0)]
Point = tuple[float, float]

UNKNOWN_FORMAT = (
    "not an image of a known format: expected JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC"
)
"""The error for a file that is no image, for the examples."""


class Schema(BaseModel):
    """A model that is also read from objects with the same attributes."""

    model_config = ConfigDict(from_attributes=True)


def example(value: dict[str, JsonValue]) -> ConfigDict:
    """The configuration of a model with one example."""
    return ConfigDict(json_schema_extra={"examples": [value]})


class Problem(Schema):
    """The body of every error."""

    detail: str = Field(
        description="One sentence: what is wrong and what is expected.",
        examples=[UNKNOWN_FORMAT],
    )


class ProtocolProblem(Schema):
    """The body of every error of a protocol's routes."""

    error: str = Field(
        description="One sentence: what is wrong and what is expected.",
        examples=["faces: expected the shape [N, 48, 48], found [2, 48]"],
    )


class Status(Schema):
    """The response of a probe."""

    status: str = Field(examples=["ok"])


class Box(Schema):
    """A rectangle in pixels of the image, after its EXIF orientation is applied."""

    x: Pixels = Field(description="Left edge.", examples=[231])
    y: Pixels = Field(description="Top edge.", examples=[84])
    width: Pixels = Field(examples=[176])
    height: Pixels = Field(examples=[176])


class Square(Schema):
    """The part of the image that was classified: a square, rotated with the face."""

    x: float = Field(description="Centre, in pixels.", examples=[319.1])
    y: float = Field(description="Centre, in pixels.", examples=[171.4])
    side: float = Field(description="Length of a side, in pixels.", examples=[160.2])
    angle: float = Field(description="Rotation in radians, clockwise.", examples=[-0.017])


class Face(Schema):
    """One face of the image."""

    box: Box
    confidence: Probability = Field(description="Confidence of the detection.", examples=[0.97])
    emotion: str | None = Field(
        description="The most probable emotion; null where its probability is below the option"
        " `min_probability`.",
        examples=["happy"],
    )
    probabilities: dict[str, Probability] = Field(
        description="Calibrated probability of each emotion; they sum to 1.",
        examples=[{"happy": 0.921, "neutral": 0.053, "surprise": 0.026}],
    )
    square: Square
    eyes: tuple[Point, Point] | None = Field(
        description="Both eyes as (x, y) in pixels, the one on the left of the image first; null if"
        " the detector finds none.",
        examples=[[[286.4, 151.2], [352.9, 150.1]]],
    )


class ImageSize(Schema):
    """Size of the image in pixels, after its EXIF orientation is applied."""

    width: Pixels = Field(examples=[640])
    height: Pixels = Field(examples=[480])


class ModelIdentity(Schema):
    """The model that was used."""

    name: str = Field(description="What the model recognizes.", examples=["emotion"])
    version: str = Field(
        description="SHA-256 of the model file's bytes.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    dataset: str = Field(description="The dataset that it was trained on.", examples=["fer2013"])
    alias: Literal["stable", "candidate"] | None = Field(
        None,
        exclude_if=lambda alias: alias is None,
        description="The name of the file in `MODEL_DIR`, if it is one of these.",
    )


MODEL: dict[str, JsonValue] = {
    "name": "emotion",
    "version": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "dataset": "fer2013",
}
FACES: dict[str, JsonValue] = {
    "image": {"width": 640, "height": 480},
    "faces": [
        {
            "box": {"x": 231, "y": 84, "width": 176, "height": 176},
            "confidence": 0.97,
            "emotion": "happy",
            "probabilities": {"happy": 0.921, "neutral": 0.053, "surprise": 0.026},
            "square": {"x": 319.1, "y": 171.4, "side": 160.2, "angle": -0.017},
            "eyes": [[286.4, 151.2], [352.9, 150.1]],
        }
    ],
    "truncated": False,
}
"""Parts of the examples of whole responses."""


class Faces(Schema):
    """All detected faces, the largest first. The list may be empty."""

    image: ImageSize
    faces: list[Face]
    truncated: bool = Field(
        description="Whether more faces were detected than the server returns for one image."
    )


class Prediction(Faces):
    """The faces in one image."""

    model_config = example({**FACES, "model": MODEL})

    model: ModelIdentity


class BatchFile(Schema):
    """One file of a batch."""

    filename: str = Field(description="As the client sent it.", examples=["portrait.jpg"])


class BatchFaces(Faces, BatchFile):
    """The faces in one file of a batch."""


class BatchError(BatchFile):
    """The error of one file of a batch."""

    error: str = Field(description="One sentence: what is wrong with this file.")


class BatchPrediction(Schema):
    """One result per file, in the order of the request."""

    model_config = example(
        {
            "results": [
                {"filename": "portrait.jpg", **FACES},
                {
                    "filename": "notes.txt",
                    "error": UNKNOWN_FORMAT,
                },
            ],
            "model": MODEL,
        }
    )

    results: list[BatchFaces | BatchError]
    model: ModelIdentity


class StreamTimes(Schema):
    """Duration of each step for one frame, in milliseconds."""

    decode: float = Field(examples=[1.9])
    detect: float = Field(examples=[9.4])
    classify: float = Field(examples=[2.2])


class StreamFrame(Schema):
    """The frame of a stream that a message belongs to."""

    frame: int = Field(
        ge=1, description="The number of the frame; the first one is 1.", examples=[42]
    )
    dropped: int = Field(
        ge=0,
        description="Number of frames since the last message that newer frames replaced.",
        examples=[2],
    )


class StreamFaces(Prediction, StreamFrame):
    """The faces in one frame."""

    milliseconds: StreamTimes


class StreamError(StreamFrame):
    """The error of one frame; the stream continues."""

    status: int = Field(description="The status of `POST /predict` for this frame.", examples=[422])
    error: str = Field(description="One sentence: what is wrong and what is expected.")


class StreamEnd(Schema):
    """The last message of a stream that the server closes."""

    status: int = Field(
        description="The status of `POST /predict` in the same case.", examples=[401]
    )
    error: str = Field(description="One sentence: what is wrong and what is expected.")


class Calibration(Schema):
    """The probabilities are softmax(scale · logits + bias), in the order of the labels."""

    scale: list[float] = Field(examples=[[1.02, 0.97, 1.1]])
    bias: list[float] = Field(examples=[[0.1, -0.32, 0.22]])


class ConfidenceBin(Schema):
    """A point of the cumulative distribution of the probability of the predicted emotion."""

    up_to: Probability = Field(description="Upper edge of a bin.", examples=[0.6667])
    share: Probability = Field(
        description="Share of the images whose predicted emotion has at most this probability.",
        examples=[0.4260],
    )


class DistributionBin(Schema):
    """A point of a cumulative distribution over faces."""

    up_to: float = Field(description="Upper edge of a bin, in grey levels.", examples=[128])
    share: Probability = Field(
        description="Share of the faces with at most this value.", examples=[0.4902]
    )


class TrainingDistribution(Schema):
    """The faces of Training, as `export` has measured them. All are crops of 48×48 pixels."""

    faces: int = Field(description="Their number.", examples=[28005])
    emotion_shares: dict[str, Probability] = Field(description="The share of each label.")
    brightness: list[DistributionBin] = Field(
        description="Of the mean grey level of a face, in the buckets of `fer_face_brightness`."
    )
    contrast: list[DistributionBin] = Field(
        description="Of the standard deviation of the grey levels of a face, in the buckets of"
        " `fer_face_contrast`."
    )


DESCRIPTION: dict[str, JsonValue] = {
    **MODEL,
    "labels": ["happy", "neutral", "surprise"],
    "format": "fer-onnx/2",
    "parameters_digest": "0c2ff0a5a0e4e1e4a6a8d28b6ee4b95ff8cb4bca5d9eb0e5f1d4ed2bd4f0ab31",
    "data_digest": "7d1a54127b222502f5b79b5fb0803061152a44f92b37e23c6527baf665d4da9a",
    "calibration": {"scale": [1.02, 0.97, 1.1], "bias": [0.1, -0.32, 0.22]},
    "metrics": {"PublicTest": {"accuracy": 0.7051}},
    "evaluation": {"PrivateTest": {"accuracy": 0.703}},
    "confidence": [{"up_to": 0.6667, "share": 0.426}, {"up_to": 1, "share": 1}],
    "emotion_shares": {"happy": 0.51, "neutral": 0.32, "surprise": 0.17},
    "training_distribution": {
        "faces": 28005,
        "emotion_shares": {"happy": 0.5, "neutral": 0.34, "surprise": 0.16},
        "brightness": [{"up_to": 128, "share": 0.4902}, {"up_to": 240, "share": 0.9999}],
        "contrast": [{"up_to": 60, "share": 0.6756}, {"up_to": 110, "share": 1}],
    },
}
"""An example of a model's description, shortened."""


class ModelDescription(ModelIdentity):
    """The metadata of the model file, and the metrics that were measured on it."""

    model_config = example(DESCRIPTION)

    labels: list[str] = Field(
        description="The emotions, in the order of the model's output.",
        examples=[["happy", "neutral", "surprise"]],
    )
    format: str = Field(description="The format of the file.", examples=["fer-onnx/2"])
    parameters_digest: str = Field(description="SHA-256 of the training parameters.")
    data_digest: str = Field(description="SHA-256 of the training data.")
    calibration: Calibration
    metrics: dict[str, Any] = Field(
        description="Headline metrics, measured when the file was exported."
    )
    evaluation: dict[str, Any] | None = Field(
        description="The committed metrics by split; null unless they were measured on this file."
    )
    confidence: list[ConfidenceBin] | None = Field(
        description="The confidence of the model on PrivateTest, in the bins of `fer_confidence` in"
        " `GET /metrics`. If the shares there are very different, the photos differ from the"
        " dataset. Null if `evaluation` is null or the table is not committed."
    )
    emotion_shares: dict[str, Probability] | None = Field(
        description="The share of each predicted emotion on PrivateTest, to compare with"
        " `fer_predictions_total` in `GET /metrics`. Null as `confidence`."
    )
    training_distribution: TrainingDistribution | None = Field(
        description="The faces that the model was trained on, to compare with those of requests in"
        " `GET /metrics`. Null if the metadata of the model file lack it."
    )


class ServedVersion(Schema):
    """One version of the model in the settings."""

    source: str = Field(
        description="The file, or the file and its git revision.",
        examples=["models/fer2013/model.onnx of revision v1.0"],
    )
    revision: str | None = Field(description="The git revision in the settings.")
    commit: str | None = Field(description="The commit of this revision when it was loaded.")
    default: bool = Field(description="Whether it is used if a request names no version.")
    problem: str | None = Field(description="Why it is not ready; null if it is.")
    model: ModelDescription | None = Field(description="Null unless it is ready.")


class ServedVersions(Schema):
    """All versions and all detectors of this server."""

    model_config = example(
        {
            "models": [
                {
                    "source": "models/fer2013/model.onnx",
                    "revision": None,
                    "commit": None,
                    "default": True,
                    "problem": None,
                    "model": DESCRIPTION,
                },
                {
                    "source": "models/ferplus/model.onnx",
                    "revision": None,
                    "commit": None,
                    "default": False,
                    "problem": "models/ferplus/model.onnx: cannot be read: No such file or"
                    " directory",
                    "model": None,
                },
            ],
            "detectors": ["yunet", "whole"],
        }
    )

    models: list[ServedVersion]
    detectors: list[str] = Field(
        description="The values of the option `faces`.", examples=[["yunet", "whole"]]
    )
