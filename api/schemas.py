"""The shapes of the answers, as /docs shows them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=0)]


class Schema(BaseModel):
    """Reads from objects with the same attributes as well as from dictionaries."""

    model_config = ConfigDict(from_attributes=True)


class Problem(Schema):
    """What every error answers."""

    detail: str = Field(description="One sentence: what is wrong, and what was expected.")


class Status(Schema):
    """A probe's answer."""

    status: str = Field(examples=["ok"])


class Box(Schema):
    """A rectangle in pixels of the image after its EXIF orientation is applied."""

    x: Pixels = Field(description="Left edge.", examples=[231])
    y: Pixels = Field(description="Upper edge.", examples=[84])
    width: Pixels = Field(examples=[176])
    height: Pixels = Field(examples=[176])


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


class ModelDescription(ModelIdentity):
    """What the model file says of itself, and what was measured on it."""

    labels: list[str] = Field(
        description="The emotions, in the order of the model's output.",
        examples=[["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]],
    )
    format: str = Field(description="The contract the file keeps.", examples=["fer-onnx/1"])
    parameters_digest: str = Field(description="SHA-256 of the parameters of its training.")
    data_digest: str = Field(description="SHA-256 of the data of its training.")
    temperature: float = Field(
        description="The logits are divided by it to calibrate the probabilities.",
        examples=[1.21],
    )
    metrics: dict = Field(description="Headline metrics measured when the file was exported.")
    evaluation: dict | None = Field(
        description="The committed metrics by split, if they were measured on this very file;"
        " otherwise null."
    )
