"""DeepFace's `POST /analyze` for the emotion, so that its clients can switch by their address."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from api.errors import OVERLOAD, documented
from api.image_files import content_type_of, form_of, from_base64
from api.options import Options, Version
from api.schemas import (
    EXAMPLE_IMAGE,
    Analyses,
    Analysis,
    ProtocolProblem,
    Region,
    request_schema,
)
from api.served_model import Recognition, ServedModel
from api.served_models import ready_model
from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.recognizer import RecognizedFace

router = APIRouter(tags=["DeepFace's shape"])

BACKENDS = {"opencv": "yunet", "yunet": "yunet", "skip": "whole", "whole": "whole"}
"""Our detector for each `detector_backend`; DeepFace's others are not served."""


def _listed(actions: Any) -> Any:
    """One action, or several in one text as forms send them: "['emotion']"."""
    if isinstance(actions, str):
        return [name for name in re.split(r"[\s,\[\]()'\"]+", actions) if name]
    return actions


class AnalyzeRequest(BaseModel):
    """What to analyze, and how."""

    img: str = Field(
        description="The file in base64, with or without `data:image/jpeg;base64,` before it. An"
        " address or a path is refused: this server opens neither."
    )
    actions: Annotated[list[Literal["emotion"]], BeforeValidator(_listed)] = Field(
        ["emotion"], min_length=1, description="`emotion` is the only one."
    )
    detector_backend: Literal[tuple(BACKENDS)] = Field(
        "opencv",
        description="`opencv` and `yunet` are YuNet, run by OpenCV; `skip` takes the whole image as one face.",
    )
    align: bool = Field(True, description="Turn each face upright.")
    enforce_detection: bool = Field(
        True,
        description="Without a face: true is an error 400, false takes the whole image as one.",
    )
    anti_spoofing: Literal[False] = Field(False, description="There is none.")


SCHEMA = request_schema(AnalyzeRequest)
SCHEMA["examples"] = [{"img": EXAMPLE_IMAGE, "actions": ["emotion"], "detector_backend": "skip"}]
FORM = {
    "schema": {
        "type": "object",
        "required": ["img"],
        "properties": {
            **SCHEMA["properties"],
            "img": {"type": "string", "format": "binary", "description": "The image."},
        },
    }
}
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": SCHEMA},
        "multipart/form-data": FORM,
    },
}
PROBLEMS = {
    400: "The body cannot be read, the image is none, no face is found in it, or something is asked"
    " for that is not served: another action, another detector, an address or a path",
    404: "The version that was asked for is not served",
    413: "Too many bytes or too many pixels",
    415: "The content type is neither a form nor JSON",
    422: "A parameter cannot be read, or the detector is one that this server does not have",
    **OVERLOAD,
}


@router.post(
    "/analyze",
    openapi_extra={"requestBody": BODY},
    responses=documented(PROBLEMS, ProtocolProblem),
)
async def analyze(request: Request, response: Response, options: Version) -> Analyses:
    """Tell the emotion of every face in percent, in the shape of DeepFace's own server."""
    model = ready_model(request, response, options.version)
    data, wanted = await _read(request)
    try:
        found, detected = await request.app.state.slots.run(_recognize, model, data, wanted)
    except ImageError as error:
        status = 413 if isinstance(error, TooManyPixelsError) else 400
        raise HTTPException(status, f"img: {error}") from error
    request.app.state.metrics.observe(found, model.version)
    if not found.faces:
        raise HTTPException(
            400,
            "img: no face was found; send a clearer picture, or enforce_detection=false to take the"
            " whole image as one face",
        )
    return Analyses(results=[_analysis(face, detected) for face in found.faces])


async def _read(request: Request) -> tuple[bytes, AnalyzeRequest]:
    """The image file, and what to do with it."""
    content_type = content_type_of(request)
    if content_type == "application/json":
        wanted = _validated(AnalyzeRequest.model_validate_json, await request.body())
        return _file(wanted.img), wanted
    if content_type in {"multipart/form-data", "application/x-www-form-urlencoded"}:
        limit = request.app.state.settings.max_bytes
        async with form_of(request, max_files=1, max_part_size=limit) as form:
            fields = dict(form)
            if actions := form.getlist("actions"):
                fields["actions"] = ",".join(map(str, actions))
            image = fields.get("img")
            if isinstance(image, UploadFile):
                wanted = _validated(AnalyzeRequest.model_validate, {**fields, "img": ""})
                return await image.read(), wanted
            wanted = _validated(AnalyzeRequest.model_validate, fields)
            return _file(wanted.img), wanted
    raise HTTPException(
        415,
        f"content type {content_type[:100]!r} is not supported: send JSON with the image in base64"
        " as 'img', or a form with the file as 'img'",
    )


def _validated(read, body: bytes | dict) -> AnalyzeRequest:
    try:
        return read(body)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the body"
        message = problem["msg"][:1].lower() + problem["msg"][1:]
        found = f" (found {str(problem['input'])[:100]!r})" if problem["loc"][1:] else ""
        raise HTTPException(400, f"{where}: {message}{found}") from None


def _file(text: str) -> bytes:
    try:
        return from_base64(text)
    except ValueError:
        raise HTTPException(
            400,
            "img: expected the file in base64, with or without 'data:image/jpeg;base64,' before"
            " it; addresses and paths are never opened",
        ) from None


def _recognize(model: ServedModel, data: bytes, wanted: AnalyzeRequest) -> tuple[Recognition, bool]:
    """What was found, and whether a detector found it."""
    faces = BACKENDS[wanted.detector_backend]
    found = model.recognize(data, Options(faces=faces, align=wanted.align))
    if found.faces or wanted.enforce_detection:
        return found, faces != "whole"
    return model.recognize(data, Options(faces="whole")), False


def _analysis(face: RecognizedFace, detected: bool) -> Analysis:
    box = face.box
    # Here left and right are the person's own: the other way round in the image.
    right, left = face.eyes or (None, None)
    return Analysis(
        emotion={name: round(100 * p, 4) for name, p in face.probabilities.items()},
        dominant_emotion=face.emotion,
        region=Region(
            x=box.x,
            y=box.y,
            w=box.width,
            h=box.height,
            left_eye=left and tuple(map(round, left)),
            right_eye=right and tuple(map(round, right)),
        ),
        face_confidence=face.confidence if detected else 0,
    )
