"""The addresses of the Open Inference Protocol v2."""

from time import perf_counter
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Header, HTTPException, Path, Request, Response

from api.dependencies import Counters, Limits, Models, Slots
from api.errors import OVERLOAD, documented
from api.metrics import Metrics
from api.models.served_model import ServedModel
from api.models.served_models import ready_model
from api.open_inference.schemas import (
    BOX_SIDES,
    BOXES,
    CONFIDENCE,
    OUTPUTS,
    InferenceRequest,
    ProtocolAlive,
    ProtocolAnswer,
    ProtocolModel,
    ProtocolModelReady,
    ProtocolReady,
    ProtocolServer,
    Tensor,
    TensorParameters,
)
from api.open_inference.tensors import (
    HEADER_LENGTH,
    Inference,
    TensorError,
    read_request,
    write_answer,
)
from api.options import NoQuery
from api.request_body import BINARY
from api.schemas import ProtocolProblem, request_schema
from api.settings import Settings
from recognizer.classifier import INPUT, OUTPUT, SIZE
from recognizer.errors import ImageError, TooManyPixelsError


async def no_query(query: NoQuery) -> None:
    """Refuse every option in the query: the protocol puts options into `parameters`."""


router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"], dependencies=[Depends(no_query)])
probes = APIRouter(prefix="/v2/health", tags=["Open Inference Protocol"])

INVALID = {422: "The path cannot be read, or the query has an option"}
UNKNOWN = documented(
    {404: "No such model or version is served", **INVALID, 503: "The model is not ready"},
    ProtocolProblem,
)


# ---------------------------------------------------------------- the server


@router.get("", responses=documented(INVALID, ProtocolProblem))
async def server_metadata(request: Request) -> ProtocolServer:
    """The server's name and version, and the extensions of the protocol that it has."""
    app = request.app
    return ProtocolServer(name=app.title, version=app.version, extensions=["binary_tensor_data"])


@probes.get("/live")
async def server_live() -> ProtocolAlive:
    """The process is alive; the same as `/livez`."""
    return ProtocolAlive(live=True)


@probes.get("/ready", responses=documented({503: "Not yet, or not at all"}, shape=ProtocolProblem))
async def server_ready(models: Models) -> ProtocolReady:
    """Every version in the settings is ready; the same as `/readyz`."""
    if models.problem:
        raise HTTPException(503, models.problem)
    return ProtocolReady(ready=True)


# ---------------------------------------------------------------- a model

Name = Annotated[
    str, Path(description="The model's name.", json_schema_extra={"enum": [ServedModel.name]})
]
VersionInPath = Annotated[
    str,
    Path(
        description="A version's SHA-256, or at least the first 8 digits. `GET /models` lists them."
    ),
]


async def default_version(response: Response, models: Models, name: Name) -> ServedModel:
    """The version that answers by default."""
    return _find(response, models, name, None)


async def named_version(
    response: Response, models: Models, name: Name, version: VersionInPath
) -> ServedModel:
    """The version in the path."""
    return _find(response, models, name, version)


def _find(response: Response, models: Models, name: str, version: str | None) -> ServedModel:
    if name != ServedModel.name:
        raise HTTPException(
            404, f"no model {name[:100]!r} is served: expected {ServedModel.name!r}"
        )
    return ready_model(models, response, version)


DefaultVersion = Annotated[ServedModel, Depends(default_version)]
NamedVersion = Annotated[ServedModel, Depends(named_version)]


@router.get("/models/{name}", responses=UNKNOWN, response_model_exclude_none=True)
async def model_metadata(models: Models, model: DefaultVersion) -> ProtocolModel:
    """The versions that are served, and their input and output tensors."""
    return _metadata(models, model)


@router.get(
    "/models/{name}/versions/{version}", responses=UNKNOWN, response_model_exclude_none=True
)
async def model_version_metadata(models: Models, model: NamedVersion) -> ProtocolModel:
    """The same for one version."""
    return _metadata(models, model)


def _metadata(models: Models, model: ServedModel) -> ProtocolModel:
    versions = [served.version for served in models.all if not served.problem]
    labels = {OUTPUT: list(model.classifier.labels), BOXES: list(BOX_SIDES)}
    return ProtocolModel(
        name=model.name,
        versions=list(dict.fromkeys(versions)),
        platform="onnxruntime_onnx",
        inputs=[Tensor(name=INPUT, datatype="UINT8", shape=[-1, SIZE, SIZE])],
        outputs=[
            Tensor(
                name=name,
                datatype=datatype,
                shape=[-1, len(labels[name])] if name in labels else [-1],
                parameters=TensorParameters(labels=labels[name]) if name in labels else None,
            )
            for name, datatype in OUTPUTS.items()
        ],
    )


@router.get("/models/{name}/ready", responses=UNKNOWN)
async def model_ready(model: DefaultVersion) -> ProtocolModelReady:
    """The version that answers by default has passed a warm-up inference."""
    return ProtocolModelReady(name=model.name, ready=True)


@router.get("/models/{name}/versions/{version}/ready", responses=UNKNOWN)
async def model_version_ready(model: NamedVersion) -> ProtocolModelReady:
    """This version has passed a warm-up inference."""
    return ProtocolModelReady(name=model.name, ready=True)


# ---------------------------------------------------------------- inference

INFERENCE = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "One input `faces`. BYTES [N]: N photos as image files, in base64 in"
            " the JSON or as they are in the binary data; the largest face of each is classified."
            " UINT8 [N, 48, 48]: N grey faces that are cut out already.",
            "content": {
                "application/json": {"schema": request_schema(InferenceRequest)},
                "application/octet-stream": {"schema": BINARY},
            },
        },
    },
    "response_model": ProtocolAnswer,
    "responses": {200: {"content": {"application/octet-stream": {}}}}
    | documented(
        {
            400: "The request does not fit the protocol or the model, a file is no image, or no"
            " face was found in it",
            404: "No such model or version is served",
            413: "Too many bytes, faces, files or pixels",
            415: "The body is compressed",
            **INVALID,
            **OVERLOAD,
        },
        ProtocolProblem,
    ),
}


async def inference_body(
    request: Request,
    header_length: Annotated[
        str | None,
        Header(
            alias=HEADER_LENGTH,
            description="Length of the JSON where binary data follows it.",
            json_schema_extra={"type": "integer", "minimum": 0},
        ),
    ] = None,
) -> tuple[bytes, str | None]:
    """The body, and the header that gives the length of its JSON."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "the body is compressed: send it as it is")
    return await request.body(), header_length


InferenceBody = Annotated[tuple[bytes, str | None], Depends(inference_body)]


@router.post("/models/{name}/infer", **INFERENCE)
async def model_infer(
    model: DefaultVersion, body: InferenceBody, slots: Slots, limits: Limits, metrics: Counters
) -> Response:
    """Classify the faces in photos, or faces that are cut out already, by the default version."""
    return await _infer(model, body, slots, limits, metrics)


@router.post("/models/{name}/versions/{version}/infer", **INFERENCE)
async def model_version_infer(
    model: NamedVersion, body: InferenceBody, slots: Slots, limits: Limits, metrics: Counters
) -> Response:
    """Classify the faces in photos, or faces that are cut out already, by this version."""
    return await _infer(model, body, slots, limits, metrics)


async def _infer(
    model: ServedModel, body: InferenceBody, slots: Slots, limits: Limits, metrics: Counters
) -> Response:
    # Many numbers in JSON take a while to read, so that is done in the slot's thread, too.
    try:
        answer, headers = await slots.run(_answer, model, body, limits, metrics)
    except (TensorError, ImageError) as error:
        status = 413 if isinstance(error, TooManyPixelsError) else 400
        raise HTTPException(status, str(error)) from error
    return Response(answer, headers={**headers, "X-Model-Version": model.version})


def _answer(
    model: ServedModel, body: tuple[bytes, str | None], limits: Settings, metrics: Metrics
) -> tuple[bytes, dict[str, str]]:
    inference = read_request(*body)
    photos = isinstance(inference.faces, list)
    limit = limits.max_batch if photos else limits.max_tensor_faces
    if len(inference.faces) > limit:
        what = "files" if photos else "faces"
        raise HTTPException(413, f"{INPUT}: more than {limit} {what} in one tensor")
    classify = _classify_photos if photos else _classify_tensor
    return write_answer(inference, model.name, model.version, classify(model, inference, metrics))


def _classify_tensor(
    model: ServedModel, inference: Inference, metrics: Metrics
) -> dict[str, np.ndarray]:
    """The outputs for faces that are cut out already."""
    start = perf_counter()
    probabilities = model.classifier.predict(inference.faces)
    metrics.steps.labels("classify").observe(perf_counter() - start)
    metrics.count_predictions(
        ((model.classifier.labels[row.argmax()], float(row.max())) for row in probabilities),
        model.version,
    )
    count = len(probabilities)
    return {
        OUTPUT: probabilities,
        BOXES: np.tile(np.int32([0, 0, SIZE, SIZE]), (count, 1)),
        CONFIDENCE: np.ones(count, np.float32),
    }


def _classify_photos(
    model: ServedModel, inference: Inference, metrics: Metrics
) -> dict[str, np.ndarray]:
    """The outputs for the largest face of each photo."""
    count = len(inference.faces)
    outputs = {
        OUTPUT: np.empty((count, len(model.classifier.labels)), np.float32),
        BOXES: np.empty((count, len(BOX_SIDES)), np.int32),
        CONFIDENCE: np.empty(count, np.float32),
    }
    for number, data in enumerate(inference.faces):
        try:
            found = model.recognize(data, inference.options, 1)
        except ImageError as error:
            raise type(error)(f"{INPUT}[{number}]: {error}") from error
        metrics.observe(found, model.version)
        if not found.faces:
            raise TensorError(
                f"{INPUT}[{number}]: no face was found; send a clearer photo, or the parameter"
                " faces = 'whole' to take the whole image as one face"
            )
        face = found.faces[0]
        outputs[OUTPUT][number] = list(face.probabilities.values())
        outputs[BOXES][number] = [getattr(face.box, side) for side in BOX_SIDES]
        outputs[CONFIDENCE][number] = face.confidence
    return outputs
