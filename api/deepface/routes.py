"""DeepFace's `POST /analyze`, for the emotion only."""

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
from api.errors import status_of
from api.models.served_model import Recognition, ServedModel
from api.openapi import OVERLOAD, error_responses, form_schema, reference, request_body
from api.options import EmotionOptions, merged, refuse_repeated
from api.pixels import claimed_pixels
from api.request_body import content_type_of, form_of, in_thread, json_of
from api.schemas import Face, Point, ProtocolProblem
from api.slots import Check
from api.state import Server
from recognizer.errors import ImageError

router = APIRouter(tags=["DeepFace"], dependencies=[Depends(refuse_repeated)])

FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}

BODY = request_body(
    "The options of the query may be sent in the JSON or in the form instead.",
    {"application/json": reference(AnalyzeJson), "multipart/form-data": form_schema(AnalyzeForm)},
)
ERRORS = error_responses(
    {
        400: "The body cannot be parsed, the image cannot be decoded, no face was detected, or the"
        " request uses what is not supported: another action, another detector, a URL, a path",
        404: "No such model or version is served",
        413: "Too many bytes or too many pixels",
        415: "The content type is neither a form nor JSON",
        422: "An option in the query is unknown, out of range or repeated",
        **OVERLOAD,
    },
    ProtocolProblem,
    {
        415: "content type 'text/plain' is not supported: send JSON with the image in base64 as"
        " 'img', or a form with the file as 'img'"
    },
)


@dataclass(frozen=True)
class AnalyzeRequest:
    """One image file and the options."""

    data: bytes
    pixels: int
    options: AnalyzeOptions


async def analyze_request(
    request: Request, query: Annotated[AnalyzeOptions, Query()], server: Server
) -> AnalyzeRequest:
    """Read the image and the options, from a form or from JSON."""
    data, options = await _image_and_options(request, query, server.settings.max_bytes)
    pixels = await in_thread(request, len(data), claimed_pixels, [data], server.settings)
    return AnalyzeRequest(data, pixels, options)


async def _image_and_options(
    request: Request, query: AnalyzeOptions, max_bytes: int
) -> tuple[bytes, AnalyzeOptions]:
    content_type = content_type_of(request)
    if content_type == "application/json":
        body = await json_of(request, AnalyzeJson, status=400)
        return body.img, merged(query, body, ("query", "JSON"), status=400)
    if content_type in FORMS:
        form = await form_of(request, AnalyzeForm, max_part_size=max_bytes, status=400)
        return form.img, merged(query, form, ("query", "form"), status=400)
    raise HTTPException(
        415,
        f"content type {content_type[:100]!r} is not supported: send JSON with the image in base64"
        " as 'img', or a form with the file as 'img'",
    )


@router.post("/analyze", openapi_extra=BODY, responses=ERRORS)
async def analyze(
    image: Annotated[AnalyzeRequest, Depends(analyze_request)], server: Server, response: Response
) -> Analyses:
    """Predict the emotion of every face, in percent, in the format of DeepFace's server."""
    model = server.models.choose(image.options)
    response.headers.update(model.headers)
    try:
        result = await server.slots.run(image.pixels, _recognize, model, image.data, image.options)
    except ImageError as error:
        status = 413 if status_of(error) == 413 else 400
        raise HTTPException(status, f"img: {error}") from error
    server.observe(result, model)
    if not result.faces:
        raise HTTPException(
            400,
            "img: no face was detected; send a clearer photo, or enforce_detection=false to take"
            " the whole image as one face",
        )
    return Analyses(results=[_analysis(face, result.detector) for face in result.faces])


def _recognize(
    check: Check, model: ServedModel, data: bytes, options: AnalyzeOptions
) -> Recognition:
    face_options = EmotionOptions(
        faces=BACKENDS[options.detector_backend],
        align=options.align,
        min_confidence=options.min_confidence,
        min_probability=options.min_probability,
    )
    result = model.recognize(check, data, face_options)
    if result.faces or options.enforce_detection:
        return result
    whole = EmotionOptions(faces="whole", min_probability=options.min_probability)
    return model.recognize(check, data, whole)


def _analysis(face: Face, detector: str) -> Analysis:
    box = face.box
    # DeepFace names the eyes from the person's view: their right eye is on the left of the image.
    right, left = face.eyes or (None, None)
    return Analysis(
        emotion={name: round(100 * p, 4) for name, p in face.probabilities.items()},
        dominant_emotion=face.emotion,
        region=Region(
            x=box.x,
            y=box.y,
            w=box.width,
            h=box.height,
            left_eye=left and _rounded(left),
            right_eye=right and _rounded(right),
        ),
        face_confidence=0 if detector == "whole" else face.confidence,
    )


def _rounded(point: Point) -> tuple[int, int]:
    x, y = point
    return round(x), round(y)
