"""The settings, from environment variables; the defaults suit one small machine."""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import joblib
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

MISSPELLED = 0.88
"""Similarity (difflib) above which an environment variable is a misspelled one of ours.

One letter more, less or other in names of nine letters: MAX_BITES is one, MAX_FILES is not.
"""


class Settings(BaseSettings):
    """Each field is an environment variable of the same name in capitals.

    A list is written with commas.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    model_path: Path = Path("models/fer2013/model.onnx")
    """The model file that answers unless a request asks for another version."""

    metrics_dir: Path = Path("metrics")
    """Folder with <dataset>/evaluation.json, the committed metrics that `GET /model` shows."""

    model_rev: Annotated[str, Field(min_length=1)] | None = None
    """A git revision: `model_path` and `metrics_dir` are read as they were committed there."""

    extra_model_paths: Annotated[tuple[Path, ...], NoDecode] = ()
    """Further model files, served beside the first."""

    extra_model_revs: Annotated[tuple[str, ...], NoDecode] = ()
    """Further git revisions whose `model_path` is served beside the first."""

    max_head_bytes: Count = 64 * 1024
    """Largest head of a request: its first line and its header fields. More is answered 431."""

    max_bytes: Count = 10 * 1024 * 1024
    """Largest request body, and largest frame of a stream, in bytes."""

    max_pixels: Count = 25_000_000
    """Largest width · height of an image, checked before it is decoded."""

    max_faces: Count = 100
    """Faces of one image that are classified and answered: the largest."""

    max_batch: Count = 32
    """Image files in one request: `POST /predict/batch`, or a BYTES tensor of `…/infer`."""

    max_tensor_faces: Count = 1024
    """Faces in one UINT8 tensor of `POST /v2/models/…/infer`."""

    max_concurrency: Count = Field(default_factory=joblib.cpu_count)
    """Images that are decoded and recognized at the same time; others wait.

    By default the processors that this process may use: those of its affinity mask, or fewer
    where a container has a CPU quota.
    """

    max_queue: Annotated[int, Field(ge=0)] = 32
    """Requests that wait for a free slot; more are answered 429."""

    queue_seconds: Seconds = 5
    """Longest wait for a free slot; after it the answer is 429."""

    deadline_seconds: Seconds = 30
    """From the first byte of a request to its answer; after it the answer is 408 or 504.

    A connection whose request's head is not complete after this time is closed.
    """

    max_streams: Count = 16
    """Open connections to `/stream`; one more is answered 429 and closed."""

    stream_idle_seconds: Seconds = 60
    """A stream that sends no frame for this long is closed."""

    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    """If set, all but probes and pages need it, as `X-API-Key` or `Authorization: Bearer`."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Sites whose pages may send requests to this server, or * for all. None by default."""

    git_commit: str | None = None
    """Commit of this code, for the metrics. Without it, git is asked where the code is a clone."""

    @field_validator("cors_origins", "extra_model_paths", "extra_model_revs", mode="before")
    @classmethod
    def _split(cls, items: object) -> object:
        if isinstance(items, str):
            return [item.strip() for item in items.split(",") if item.strip()]
        return items

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
    """The environment variables that are nearly one of ours, each with the right name."""
    names = [name.upper() for name in Settings.model_fields]
    for variable in sorted(variables):
        if variable.upper() not in names:
            nearest = get_close_matches(variable.upper(), names, n=1, cutoff=MISSPELLED)
            if nearest:
                yield variable, nearest[0]


def load_settings() -> Settings:
    """Read the environment; an error in it ends the process with one line."""
    for variable, name in misspelled(os.environ):
        raise SystemExit(
            f"error: environment variable {variable}: unknown, did you mean {name}? (unset it if it"
            " belongs to another program)"
        )
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"])).upper()
        reason = problem["msg"].removeprefix("Value error, ")
        reason = reason[:1].lower() + reason[1:]
        raise SystemExit(
            f"error: environment variable {name}: {reason} (found {problem['input']!r})"
        ) from None
