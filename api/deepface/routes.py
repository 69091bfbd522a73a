"""DeepFace's `POST /analyze`, for the emotion."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.exceptions import HTTPException

from api.deepface.schemas import (
    BACKENDS,
    Analyses,
    Analysis,
    AnalyzeForm,
    AnalyzeJson,
    AnalyzeOptions,
    Region,
)
from api.dependencies import Counters, Limits, Models, Slots
from api.errors import OVERLOAD, documented
from api.models.served_model import Recognition, ServedModel
from api.options import Options, merged, refuse_repeated
from api.request_body import content_type_of, form_of, json_of
from api.schemas import ProtocolProblem, form_schema, request_schema
from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.recognizer import RecognizedFace

router = APIRouter(tags=["DeepFace"], dependencies=[Depends(refuse_repeated)])

FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}

# FastAPI describes one content type for a body, and this route takes several.
BODY = {
    "required": True,
    "description": "The options of the query may stand in the JSON or the form instead.",
    "content": {
        "application/json": {"schema": request_schema(AnalyzeJson)},
        "multipart/form-data": {"schema": form_schema(AnalyzeForm)},
    },
}
PROBLEMS = {
    400: "The body cannot be read, the image cannot be decoded, no face was found, or the request"
    " asks for what is not served: another action, another detector, an address, a path",
    404: "No such version is served",
    413: "Too many bytes or too many pixels",
    415: "The content type is neither a form nor JSON",
    422: "An option in the query is unknown, out of range or given twice",
    **OVERLOAD,
}


@dataclass(frozen=True)
class Analyzed:
    """A request to analyze one image."""

    data: bytes
    """The image file."""
    options: AnalyzeOptions


async def image_to_analyze(
    request: Request, query: Annotated[AnalyzeOptions, Query()], limits: Limits
) -> Analyzed:
    """Read the image and the options, from a form or from JSON."""
    content_type = content_type_of(request)
    if content_type == "application/json":
        body = await json_of(request, AnalyzeJson, status=400)
        return Analyzed(body.img, merged(query, body, ("query", "JSON"), status=400))
    if content_type in FORMS:
        form = await form_of(request, AnalyzeForm, max_part_size=limits.max_bytes, status=400)
        return Analyzed(form.img, merged(query, form, ("query", "form"), status=400))
    raise HTTPException(
        415,
        f"content type {content_type[:100]!r} is not supported: send JSON with the image in base64"
        " as 'img', or a form with the file as 'img'",
    )


@router.post(
    "/analyze",
    openapi_extra={"requestBody": BODY},
    responses=documented(PROBLEMS, ProtocolProblem),
)
async def analyze(
    response: Response,
    image: Annotated[Analyzed, Depends(image_to_analyze)],
    models: Models,
    slots: Slots,
    metrics: Counters,
) -> Analyses:
    """Recognize the emotion of every face, in percent, in the shape of DeepFace's own server."""
    model = models.find(image.options.version)
    response.headers["X-Model-Version"] = model.version
    try:
        found = await slots.run(_recognize, model, image.data, image.options)
    except ImageError as error:
        status = 413 if isinstance(error, TooManyPixelsError) else 400
        raise HTTPException(status, f"img: {error}") from error
    metrics.observe(found, model.version)
    if not found.faces:
        raise HTTPException(
            400,
            "img: no face was found; send a clearer photo, or enforce_detection=false to take the"
            " whole image as one face",
        )
    return Analyses(results=[_analysis(face, found.detector) for face in found.faces])


def _recognize(model: ServedModel, data: bytes, options: AnalyzeOptions) -> Recognition:
    asked = Options(
        faces=BACKENDS[options.detector_backend],
        align=options.align,
        min_confidence=options.min_confidence,
    )
    found = model.recognize(data, asked)
    if found.faces or options.enforce_detection:
        return found
    return model.recognize(data, Options(faces="whole"))


def _analysis(face: RecognizedFace, detector: str) -> Analysis:
    box = face.box
    # DeepFace's left and right are the person's own, so they are the other way round in the image.
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
        face_confidence=0 if detector == "whole" else face.confidence,
    )
