"""The settings, read from environment variables. The defaults suit one small machine."""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import joblib
from pydantic import (
    DirectoryPath,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from uvicorn.main import main as uvicorn_command

from api.errors import validation_message
from recognizer.released_models import PACKAGED

MODELS = PACKAGED if PACKAGED.is_dir() else Path("models")

MODEL = MODELS / "fer2013/model.onnx"

BESIDE = (MODELS / "ferplus/model.onnx",)
"""The released models that are served beside `MODEL`."""

METRICS = Path(__file__).with_name("committed_metrics")
"""Folder of an installed package, as `PACKAGED`; the build copies the metrics into it."""

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

MISSPELLED = 0.88
"""Similarity (difflib) above which an environment variable counts as a misspelled setting.

It allows one wrong letter in nine: MAX_BITES is a misspelled MAX_BYTES, MAX_FILES is not.
"""


class Settings(BaseSettings):
    """Each field is read from the environment variable of the same name in capitals.

    The items of a list are separated by commas.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    model_path: Path = MODEL
    """The model file that is used unless a request names another model."""

    metrics_dir: Path = METRICS if METRICS.is_dir() else Path("metrics")
    """Folder with <dataset>/evaluation.json, the committed metrics for `GET /model`."""

    model_rev: Annotated[str, Field(min_length=1)] | None = None
    """A git revision: `model_path` and `metrics_dir` are read as they were committed there."""

    extra_model_paths: Annotated[tuple[Path, ...], NoDecode] = Field(
        default_factory=lambda given: (
            BESIDE if given.get("model_path") == MODEL and given.get("model_rev") is None else ()
        )
    )
    """Further model files that are served; by default, `ferplus` beside the default model."""

    extra_model_revs: Annotated[tuple[str, ...], NoDecode] = ()
    """Further git revisions whose `model_path` is served."""

    model_dir: DirectoryPath | None = None
    """A folder whose files NAME.onnx are served, each as the version NAME.

    `stable.onnx` is used instead of `model_path` unless a request names a model.
    """

    candidate_share: Annotated[float, Field(ge=0, le=1)] = 0
    """Share of the requests without `model` and `version` that `candidate.onnx` answers."""

    candidate_shadow: bool = False
    """Whether `candidate.onnx` also classifies the faces of `stable.onnx`, for the metrics only."""

    max_head_bytes: Count = 64 * 1024
    """Largest head of a request (its first line and its header fields); above it, 431."""

    max_bytes: Count = 10 * 1024 * 1024
    """Largest request body, and largest frame of a stream, in bytes; above it, 413."""

    max_bytes_in_flight: Count = Field(
        default_factory=lambda data: max(128 * 1024 * 1024, 2 * data["max_bytes"])
    )
    """Most bytes of all request bodies together that one process holds; above it, 429."""

    max_pixels: Count = 25_000_000
    """Largest width × height of an image, checked before it is decoded; above it, 413.

    Requests with more than half of it together leave one slot to the others.
    """

    max_faces: Count = 100
    """Most faces of one image that are classified and returned; the largest faces come first."""

    max_batch: Count = 32
    """Most image files in one request (`/predict/batch`, a BYTES tensor of `…/infer`)."""

    max_batch_pixels: Count = 50_000_000
    """Most pixels of all images in one request, checked before any is decoded; above it, 413."""

    max_tensor_faces: Count = 1024
    """Most faces in one UINT8 tensor of `POST /v2/models/…/infer`."""

    max_concurrency: Count = Field(default_factory=joblib.cpu_count)
    """Images that are processed at the same time; further ones wait.

    The default is the number of processors that the process may use: those of its affinity mask,
    or fewer if its container has a CPU quota.
    """

    max_queue: Annotated[int, Field(ge=0)] = 32
    """Most requests that wait for a free slot; above it, 429."""

    queue_seconds: Seconds = 5
    """Longest wait for a free slot; after it, 429."""

    deadline_seconds: Seconds = 30
    """Longest time from the first byte of a request to its response; after it, 408 or 504.

    A connection whose request's head is not complete after this time is closed.
    """

    max_streams: Count = 16
    """Most open connections to `/stream`; one more is closed with status 429."""

    stream_idle_seconds: Seconds = 60
    """A stream without a new frame for this time is closed."""

    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    """If set, all routes except probes and pages require it (`X-API-Key` or `Bearer`)."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Sites whose pages may send requests to this server; * allows all sites."""

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names under which clients address this server, besides localhost and IP addresses.

    `*.x` allows all names below x, and * all names.
    """

    git_commit: str | None = None
    """Commit of this code, for the metrics; by default that of the clone, if the code is in one."""

    @field_validator(
        "allowed_hosts", "cors_origins", "extra_model_paths", "extra_model_revs", mode="before"
    )
    @classmethod
    def _split(cls, items: object) -> object:
        if isinstance(items, str):
            return [item.strip() for item in items.split(",") if item.strip()]
        return items

    @field_validator("max_bytes_in_flight")
    @classmethod
    def _at_least_one_body(cls, count: int, info: ValidationInfo) -> int:
        if count < info.data.get("max_bytes", 0):
            raise ValueError(f"expected at least MAX_BYTES, {info.data['max_bytes']}")
        return count

    @field_validator("candidate_share", "candidate_shadow")
    @classmethod
    def _with_a_candidate(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("model_dir") is None:
            raise ValueError("needs MODEL_DIR, the folder with candidate.onnx")
        return value

    @field_validator("model_rev", "extra_model_revs")
    @classmethod
    def _inside_the_repository(cls, revisions: object, info: ValidationInfo) -> object:
        for name in ("model_path", "metrics_dir"):
            path = info.data.get(name)
            if revisions and path is not None and path.is_absolute():
                raise ValueError(
                    f"a revision needs a {name.upper()} relative to the folder that the server is"
                    f" started in, but it is {path}"
                )
        return revisions


def misspelled(variables: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The environment variables that look like misspelled settings, with the correct name.

    uvicorn's options are variables as well, such as UVICORN_PORT.
    """
    names = [name.upper() for name in Settings.model_fields]
    names += [f"UVICORN_{str(option.name).upper()}" for option in uvicorn_command.params]
    for variable in sorted(variables):
        if variable.upper() not in names:
            nearest = get_close_matches(variable.upper(), names, n=1, cutoff=MISSPELLED)
            if nearest:
                yield variable, nearest[0]


def load_settings() -> Settings:
    """Read the environment; an invalid variable ends the process with one line."""
    for variable, name in misspelled(os.environ):
        raise SystemExit(
            f"error: environment variable {variable}: unknown, did you mean {name}? (unset it if it"
            " belongs to another program)"
        )
    try:
        return Settings()
    except ValidationError as error:
        message = validation_message(error, "environment variable", str.upper)
        raise SystemExit(f"error: {message}") from None
