"""The requests and answers of DeepFace's `POST /analyze`."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from api.base64_file import DESCRIPTION
from api.options import VersionOption
from api.request_body import Base64File, FileOrBase64
from api.schemas import EXAMPLE_IMAGE, Pixels, Probability, Schema

BACKENDS = {"opencv": "yunet", "yunet": "yunet", "skip": "whole", "whole": "whole"}
"""Our detector for each `detector_backend`; DeepFace's others are not served."""


def _listed(actions: Any) -> Any:
    """The names of actions, also from one text as forms send them: "['emotion']"."""
    texts = [actions] if isinstance(actions, str) else actions
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return actions
    return [name for text in texts for name in re.split(r"[\s,\[\]()'\"]+", text) if name]


def _not_served(value: bool) -> bool:
    if value:
        raise ValueError("not served, expected false")
    return value


class AnalyzeOptions(VersionOption):
    """The options of a request, in the query or in the body."""

    actions: Annotated[list[Literal["emotion"]], BeforeValidator(_listed)] = Field(
        ["emotion"], min_length=1, description="`emotion` is the only one."
    )
    detector_backend: Literal[tuple(BACKENDS)] = Field(
        "opencv",
        description="`opencv`, DeepFace's default, and `yunet` are YuNet, run by OpenCV; `skip`"
        " and `whole` take the whole image as one face.",
    )
    align: bool = Field(True, description="Turn each face upright before it is classified.")
    enforce_detection: bool = Field(
        True,
        description="Without a face: true is an error 400, false takes the whole image as one.",
    )
    min_confidence: float = Field(
        0,
        ge=0,
        le=1,
        description="Leave out faces with a lower confidence of the detector.",
    )
    anti_spoofing: Annotated[bool, AfterValidator(_not_served)] = Field(
        False, description="Not served: only false.", json_schema_extra={"const": False}
    )


class AnalyzeJson(AnalyzeOptions):
    """A request in JSON."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"img": EXAMPLE_IMAGE, "detector_backend": "skip"}]}
    )

    img: Base64File = Field(
        description=f"{DESCRIPTION} Addresses and paths are refused: this server opens neither."
    )


class AnalyzeForm(AnalyzeOptions):
    """A request as a form."""

    img: FileOrBase64 = Field(description="The image: a file, or its bytes in base64.")


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
        description="Confidence of the detector; 0 where no detector ran or none found a face."
    )


class Analyses(Schema):
    """Every face, the largest first."""

    results: list[Analysis]
