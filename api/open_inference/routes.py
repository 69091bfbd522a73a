"""The routes of the Open Inference Protocol v2."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Request, Response

from api.errors import status_of
from api.models.served_model import ServedModel
from api.models.served_models import ServedModels, ready_model
from api.open_inference.inference import infer, parse
from api.open_inference.schemas import (
    BOX_SIDES,
    BOXES,
    OUTPUTS,
    InferenceRequest,
    InferenceResponse,
    ProtocolAlive,
    ProtocolModel,
    ProtocolModelReady,
    ProtocolReady,
    ProtocolServer,
    Tensor,
    TensorParameters,
)
from api.open_inference.tensors import HEADER_LENGTH, Inference, TensorError
from api.openapi import BINARY, NO_OPTIONS, OVERLOAD, error_responses, reference, request_body
from api.options import ModelOptions, NoQuery
from api.request_body import body_of, in_thread
from api.schemas import ProtocolProblem
from api.state import Server, ServerState
from recognizer.classifier import INPUT, OUTPUT, SIZE
from recognizer.errors import ImageError


async def no_query(query: NoQuery) -> None:
    """Refuse options in the query: in this protocol, options are `parameters` in the body."""


router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"], dependencies=[Depends(no_query)])
probes = APIRouter(prefix="/v2/health", tags=["Open Inference Protocol"])

INVALID = {422: "The path cannot be parsed, or the query has an option"}
MODEL_ERRORS = error_responses(
    {404: "No such model or version is served", **INVALID, 503: "The model is not ready"},
    ProtocolProblem,
    NO_OPTIONS,
)


# ---------------------------------------------------------------- server


@router.get("", responses=error_responses(INVALID, ProtocolProblem, NO_OPTIONS))
async def server_metadata(request: Request) -> ProtocolServer:
    """The name and the version of the server, and the supported extensions of the protocol."""
    app = request.app
    return ProtocolServer(name=app.title, version=app.version, extensions=["binary_tensor_data"])


@probes.get("/live")
async def server_live() -> ProtocolAlive:
    """The process is alive; the same as `/livez`."""
    return ProtocolAlive(live=True)


@probes.get("/ready", responses=error_responses({503: "A model is not ready"}, ProtocolProblem))
async def server_ready(server: Server) -> ProtocolReady:
    """All versions in the settings are ready; the same as `/readyz`."""
    if server.models.problem:
        raise HTTPException(503, server.models.problem)
    return ProtocolReady(ready=True)


# ---------------------------------------------------------------- model

Name = Annotated[
    str,
    Path(
        description=f"`{ServedModel.name}` is the default model; the name of a dataset, for example"
        " `ferplus`, is the model that was trained on it.",
        examples=[ServedModel.name],
    ),
]
VersionInPath = Annotated[
    str,
    Path(
        description="The SHA-256 of a version, or at least the first 8 digits. `GET /models` lists"
        " the served versions."
    ),
]


async def default_version(response: Response, server: Server, name: Name) -> ServedModel:
    """The first version of the model."""
    return _find(response, server.models, name, None)


async def named_version(
    response: Response, server: Server, name: Name, version: VersionInPath
) -> ServedModel:
    """The version in the path."""
    return _find(response, server.models, name, version)


def _find(response: Response, models: ServedModels, name: str, version: str | None) -> ServedModel:
    return ready_model(models, response, _options(name, version))


async def chosen_version(server: Server, name: Name) -> ServedModel:
    """The model for a prediction; the candidate gets its share of the default model's."""
    return server.models.choose(_options(name, None))


def _options(name: str, version: str | None) -> ModelOptions:
    return ModelOptions(model=None if name == ServedModel.name else name, version=version)


DefaultVersion = Annotated[ServedModel, Depends(default_version)]
ChosenVersion = Annotated[ServedModel, Depends(chosen_version)]
NamedVersion = Annotated[ServedModel, Depends(named_version)]


@router.get("/models/{name}", responses=MODEL_ERRORS, response_model_exclude_none=True)
async def model_metadata(server: Server, name: Name, model: DefaultVersion) -> ProtocolModel:
    """The served versions, and the input and output tensors of the first one."""
    return _metadata(server.models, name, model)


@router.get(
    "/models/{name}/versions/{version}", responses=MODEL_ERRORS, response_model_exclude_none=True
)
async def model_version_metadata(server: Server, name: Name, model: NamedVersion) -> ProtocolModel:
    """The served versions, and the input and output tensors of this version."""
    return _metadata(server.models, name, model)


def _metadata(models: ServedModels, name: str, model: ServedModel) -> ProtocolModel:
    versions = [
        served.version
        for served in models.all
        if not served.problem and name in (ServedModel.name, served.classifier.dataset)
    ]
    labels = {OUTPUT: list(model.classifier.labels), BOXES: list(BOX_SIDES)}
    return ProtocolModel(
        name=name,
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


@router.get("/models/{name}/ready", responses=MODEL_ERRORS)
async def model_ready(name: Name, _model: DefaultVersion) -> ProtocolModelReady:
    """The model has passed a warm-up inference."""
    return ProtocolModelReady(name=name, ready=True)


@router.get("/models/{name}/versions/{version}/ready", responses=MODEL_ERRORS)
async def model_version_ready(name: Name, _model: NamedVersion) -> ProtocolModelReady:
    """This version has passed a warm-up inference."""
    return ProtocolModelReady(name=name, ready=True)


# ---------------------------------------------------------------- inference

INFERENCE_BODY = request_body(
    "One input `faces`. BYTES [N]: N photos as image files, in base64 in the JSON or as binary data"
    " after it; the largest face of each is classified. UINT8 [N, 48, 48]: N cropped grey faces.",
    {"application/json": reference(InferenceRequest), "application/octet-stream": BINARY},
)
BINARY_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}}
}
INFERENCE_RESPONSES = BINARY_RESPONSE | error_responses(
    {
        400: "The request violates the protocol or does not fit the model, a file is not an image,"
        " or no face was detected in it",
        404: "No such model or version is served",
        413: "Too many bytes, faces, files or pixels",
        415: "The body is compressed",
        **INVALID,
        **OVERLOAD,
    },
    ProtocolProblem,
    {415: "the body is compressed: send it uncompressed", **NO_OPTIONS},
)


async def inference_body(
    request: Request,
    server: Server,
    header_length: Annotated[
        str | None,
        Header(
            alias=HEADER_LENGTH,
            description="Length of the JSON in bytes, if binary data follows it.",
            json_schema_extra={"type": "integer", "minimum": 0},
        ),
    ] = None,
) -> tuple[Inference, int]:
    """The parsed body, and the sum of its photos' pixels."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "the body is compressed: send it uncompressed")
    body = await body_of(request)
    try:
        return await in_thread(request, len(body), parse, body, header_length, server.settings)
    except TensorError as error:
        raise HTTPException(400, str(error)) from error


InferenceBody = Annotated[tuple[Inference, int], Depends(inference_body)]


@router.post(
    "/models/{name}/infer",
    openapi_extra=INFERENCE_BODY,
    response_model=InferenceResponse,
    responses=INFERENCE_RESPONSES,
)
async def model_infer(
    name: Name, model: ChosenVersion, body: InferenceBody, server: Server
) -> Response:
    """Classify the faces in photos, or cropped faces, with the first version of the model."""
    return await _infer(name, model, body, server)


@router.post(
    "/models/{name}/versions/{version}/infer",
    openapi_extra=INFERENCE_BODY,
    response_model=InferenceResponse,
    responses=INFERENCE_RESPONSES,
)
async def model_version_infer(
    name: Name, model: NamedVersion, body: InferenceBody, server: Server
) -> Response:
    """Classify the faces in photos, or cropped faces, with this version."""
    return await _infer(name, model, body, server)


async def _infer(
    name: str, model: ServedModel, body: tuple[Inference, int], server: ServerState
) -> Response:
    inference, pixels = body
    if inference.model_name not in (None, name):
        found = f"{inference.model_name!r:.100}, but the address has {name!r}"
        raise HTTPException(400, f"JSON field model_name: {found}")
    try:
        content, headers = await server.slots.run(pixels, infer, inference, name, model, server)
    except (TensorError, ImageError) as error:
        too_large = isinstance(error, ImageError) and status_of(error) == 413
        raise HTTPException(413 if too_large else 400, str(error)) from error
    return Response(content, headers={**headers, **model.headers})
