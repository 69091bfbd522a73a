"""The Open Inference Protocol v2 (KServe, Triton): its routes, and tensors instead of photos."""

from time import perf_counter
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response

from api.errors import OVERLOAD, documented
from api.options import Options
from api.schemas import (
    ProtocolAlive,
    ProtocolAnswer,
    ProtocolModel,
    ProtocolModelReady,
    ProtocolProblem,
    ProtocolReady,
    ProtocolServer,
    Tensor,
    TensorParameters,
    request_schema,
)
from api.served_model import ServedModel
from api.served_models import ready_model
from api.tensors import HEADER_LENGTH, InferenceRequest, TensorError, read_request, write_answer
from recognizer.classifier import INPUT, OUTPUT
from recognizer.errors import ImageError, TooManyPixelsError
from recognizer.faces import SIZE

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
probes = APIRouter(prefix="/v2/health", tags=["Open Inference Protocol"])

UNKNOWN = documented(
    {
        404: "No such model or version is served",
        422: "The path cannot be read",
        503: "The model is not ready",
    },
    ProtocolProblem,
)


# ---------------------------------------------------------------- the server


@router.get("")
async def server_metadata(request: Request) -> ProtocolServer:
    """Which server this is, and what it can beyond the protocol."""
    app = request.app
    return ProtocolServer(name=app.title, version=app.version, extensions=["binary_tensor_data"])


@probes.get("/live")
async def live() -> ProtocolAlive:
    """The process is alive; the same as `/livez`."""
    return ProtocolAlive(live=True)


@probes.get("/ready", responses=documented({503: "Not yet, or not at all"}, shape=ProtocolProblem))
async def ready(request: Request) -> ProtocolReady:
    """Every version in the settings is ready; the same as `/readyz`."""
    if problem := request.app.state.models.problem:
        raise HTTPException(503, problem)
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


async def default_version(request: Request, response: Response, name: Name) -> ServedModel:
    """The version that answers where none is asked for."""
    return _find(request, response, name, None)


async def named_version(
    request: Request, response: Response, name: Name, version: VersionInPath
) -> ServedModel:
    """The version in the path."""
    return _find(request, response, name, version)


def _find(request: Request, response: Response, name: str, version: str | None) -> ServedModel:
    if name != ServedModel.name:
        raise HTTPException(
            404, f"no model {name[:100]!r} is served: expected {ServedModel.name!r}"
        )
    return ready_model(request, response, version)


DefaultVersion = Annotated[ServedModel, Depends(default_version)]
NamedVersion = Annotated[ServedModel, Depends(named_version)]


@router.get("/models/{name}", responses=UNKNOWN, response_model_exclude_none=True)
async def model_metadata(request: Request, model: DefaultVersion) -> ProtocolModel:
    """The versions that are served, and the tensors that go in and come out."""
    return _metadata(request, model)


@router.get(
    "/models/{name}/versions/{version}", responses=UNKNOWN, response_model_exclude_none=True
)
async def version_metadata(request: Request, model: NamedVersion) -> ProtocolModel:
    """The same for one version."""
    return _metadata(request, model)


def _metadata(request: Request, model: ServedModel) -> ProtocolModel:
    versions = [served.version for served in request.app.state.models.all if not served.problem]
    labels = list(model.classifier.labels)
    return ProtocolModel(
        name=model.name,
        versions=list(dict.fromkeys(versions)),
        platform="onnxruntime_onnx",
        inputs=[Tensor(name=INPUT, datatype="UINT8", shape=[-1, SIZE, SIZE])],
        outputs=[
            Tensor(
                name=OUTPUT,
                datatype="FP32",
                shape=[-1, len(labels)],
                parameters=TensorParameters(labels=labels),
            )
        ],
    )


@router.get("/models/{name}/ready", responses=UNKNOWN)
async def model_ready(model: DefaultVersion) -> ProtocolModelReady:
    """The version that answers by default has passed a warm-up inference."""
    return ProtocolModelReady(name=model.name, ready=True)


@router.get("/models/{name}/versions/{version}/ready", responses=UNKNOWN)
async def version_ready(model: NamedVersion) -> ProtocolModelReady:
    """This version has passed a warm-up inference."""
    return ProtocolModelReady(name=model.name, ready=True)


# ---------------------------------------------------------------- inference

INFERENCE = {
    "openapi_extra": {
        "parameters": [
            {
                "name": HEADER_LENGTH,
                "in": "header",
                "schema": {"type": "integer", "minimum": 0},
                "description": "Length of the JSON where binary data follows it.",
            }
        ],
        "requestBody": {
            "required": True,
            "description": "One input `faces`: UINT8 [N, 48, 48], or BYTES [N] with an image file"
            " of one face each, in base64 in the JSON or as it is in the binary data.",
            "content": {
                "application/json": {"schema": request_schema(InferenceRequest)},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
    },
    "response_model": ProtocolAnswer,
    "responses": {200: {"content": {"application/octet-stream": {}}}}
    | documented(
        {
            400: "The request does not fit the protocol or the model, or a file is no image",
            404: "No such model or version is served",
            413: "Too many bytes, faces, files or pixels",
            415: "The body is compressed",
            422: "The path cannot be read",
            **OVERLOAD,
        },
        ProtocolProblem,
    ),
}


@router.post("/models/{name}/infer", **INFERENCE)
async def infer(request: Request, model: DefaultVersion) -> Response:
    """Classify faces that are cut out already, by the default version."""
    return await _infer(request, model)


@router.post("/models/{name}/versions/{version}/infer", **INFERENCE)
async def infer_by_version(request: Request, model: NamedVersion) -> Response:
    """Classify faces that are cut out already, by this version."""
    return await _infer(request, model)


async def _infer(request: Request, model: ServedModel) -> Response:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "the body is compressed: send it as it is")
    body = await request.body()
    header_length = request.headers.get(HEADER_LENGTH)
    state = request.app.state
    # A body of many numbers takes a while to read, so that is done in the slot's thread, too.
    try:
        answer, headers = await state.slots.run(_answer, state, model, body, header_length)
    except (TensorError, ImageError) as error:
        status = 413 if isinstance(error, TooManyPixelsError) else 400
        raise HTTPException(status, str(error)) from error
    return Response(answer, headers={**headers, "X-Model-Version": model.version})


def _answer(state, model: ServedModel, body: bytes, header_length: str | None):
    inference = read_request(body, header_length)
    files = isinstance(inference.faces, list)
    limit = state.settings.max_batch if files else state.settings.max_tensor_faces
    if len(inference.faces) > limit:
        what = "files" if files else "faces"
        raise HTTPException(413, f"{INPUT}: more than {limit} {what} in one tensor")
    classify = _classify_files if files else _classify_pixels
    return write_answer(
        inference, model.name, model.version, classify(state, model, inference.faces)
    )


def _classify_pixels(state, model: ServedModel, faces: np.ndarray) -> np.ndarray:
    start = perf_counter()
    probabilities = model.classifier.predict(faces)
    state.metrics.steps["classify"].observe(perf_counter() - start)
    emotions = (model.classifier.labels[k] for k in probabilities.argmax(axis=1))
    state.metrics.count_predictions(emotions, model.version)
    return probabilities


def _classify_files(state, model: ServedModel, files: list[bytes]) -> np.ndarray:
    """Each file is one face; its probabilities are those that `/predict?faces=whole` answers."""
    rows = np.empty((len(files), len(model.classifier.labels)), np.float32)
    for number, data in enumerate(files):
        try:
            found = model.recognize(data, Options(faces="whole"))
        except ImageError as error:
            raise type(error)(f"{INPUT}[{number}]: {error}") from error
        rows[number] = list(found.faces[0].probabilities.values())
        state.metrics.observe(found, model.version)
    return rows
