"""The requests and responses of DeepFace's `POST /analyze`."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from api.base64_file import DESCRIPTION
from api.openapi import EXAMPLE_IMAGE
from api.options import Align, DetectorName, MinConfidence, MinProbability, ModelOptions
from api.request_body import Base64File, FileOrBase64
from api.schemas import Pixels, Probability, Schema, example

Backend = Literal["opencv", "yunet", "skip", "whole"]

BACKENDS: dict[Backend, DetectorName] = {
    "opencv": "yunet",
    "yunet": "yunet",
    "skip": "whole",
    "whole": "whole",
}
"""The detector for each `detector_backend`; DeepFace's other backends are not supported."""


def _split_actions(actions: Any) -> Any:
    """The names of actions, also from a string as forms contain it: "['emotion']"."""
    texts = [actions] if isinstance(actions, str) else actions
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return actions
    return [name for text in texts for name in re.split(r"[\s,\[\]()'\"]+", text) if name]


def _refuse_true(value: bool) -> bool:
    if value:
        raise ValueError("not supported, expected false")
    return value


class AnalyzeOptions(ModelOptions):
    """The options of a request, in the query or in the body."""

    actions: Annotated[list[Literal["emotion"]], BeforeValidator(_split_actions)] = Field(
        ["emotion"], min_length=1, description="Only `emotion` is supported."
    )
    detector_backend: Backend = Field(
        "opencv",
        description="`opencv` (DeepFace's default) and `yunet` are the detector YuNet; `skip` and"
        " `whole` take the whole image as one face.",
    )
    align: Align = True
    enforce_detection: bool = Field(
        True,
        description="If no face is detected: true is an error 400, false takes the whole image as"
        " one face.",
    )
    min_confidence: MinConfidence = 0
    min_probability: MinProbability = 0
    anti_spoofing: Annotated[bool, AfterValidator(_refuse_true)] = Field(
        False, description="Not supported: only false.", json_schema_extra={"const": False}
    )


class AnalyzeJson(AnalyzeOptions):
    """A request in JSON."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"img": EXAMPLE_IMAGE, "detector_backend": "skip"}]}
    )

    img: Base64File = Field(
        description=f"{DESCRIPTION} URLs and paths are refused; the server never opens them."
    )


class AnalyzeForm(AnalyzeOptions):
    """A request as a form."""

    img: FileOrBase64 = Field(description="The image: a file, or its bytes in base64.")


class Region(Schema):
    """The position of a face in pixels; left and right are from the person's view."""

    x: Pixels
    y: Pixels
    w: Pixels
    h: Pixels
    left_eye: tuple[int, int] | None = Field(description="(x, y); null if unknown.")
    right_eye: tuple[int, int] | None = Field(description="(x, y); null if unknown.")


class Analysis(Schema):
    """One face."""

    emotion: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(
        description="Probability of each emotion in percent; the sum is 100.",
        examples=[{"happy": 92.1, "neutral": 5.3, "surprise": 2.6}],
    )
    dominant_emotion: str | None = Field(
        description="Null where its probability is below the option `min_probability`.",
        examples=["happy"],
    )
    region: Region
    face_confidence: Probability = Field(
        description="Confidence of the detection; 0 if the whole image is taken as one face."
    )


class Analyses(Schema):
    """All faces, the largest first."""

    model_config = example(
        {
            "results": [
                {
                    "emotion": {"happy": 92.1, "neutral": 5.3, "surprise": 2.6},
                    "dominant_emotion": "happy",
                    "region": {
                        **{"x": 231, "y": 84, "w": 176, "h": 176},
                        **{"left_eye": [353, 150], "right_eye": [286, 151]},
                    },
                    "face_confidence": 0.97,
                }
            ]
        }
    )

    results: list[Analysis]
