"""What can be set from the environment, with defaults that suit one small machine."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Each field is an environment variable of the same name in capitals.

    A list is written with commas.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    model_path: Path = Path("models/fer2013/model.onnx")
    """The model file that is served, unless a request names another version."""

    metrics_dir: Path = Path("metrics")
    """Folder with <dataset>/evaluation.json, the committed metrics that `GET /models` shows."""

    model_rev: Annotated[str, Field(min_length=1)] | None = None
    """A git revision: `model_path` and `metrics_dir` are read as they were committed there."""

    extra_model_paths: Annotated[tuple[Path, ...], NoDecode] = ()
    """Further model files, served side by side with the first."""

    extra_model_revs: Annotated[tuple[str, ...], NoDecode] = ()
    """Further git revisions whose `model_path` is served side by side with the first."""

    max_head_bytes: Count = 64 * 1024
    """Largest head of a request: its first line and its header fields. More is answered 431."""

    max_bytes: Count = 10 * 1024 * 1024
    """Largest request body, and largest frame of a stream, in bytes."""

    max_pixels: Count = 25_000_000
    """Largest width · height of an image, judged before it is decoded."""

    max_faces: Count = 100
    """Faces of one image that are classified and answered: the largest."""

    max_batch: Count = 32
    """Image files in one request: `POST /predict/batch`, or a BYTES tensor of `…/infer`."""

    max_tensor_faces: Count = 1024
    """Faces in one UINT8 tensor of `POST /v2/models/…/infer`."""

    max_concurrency: Count = os.cpu_count() or 1
    """Images that are decoded and recognized at the same time; others wait."""

    max_queue: Annotated[int, Field(ge=0)] = 32
    """Requests that wait until an image can be recognized; more are answered 429."""

    queue_seconds: Seconds = 5
    """Longest such wait; after it the answer is 429."""

    deadline_seconds: Seconds = 30
    """From the first byte of a request to its answer; after it the answer is 408 or 504.

    A connection whose request's head is not complete after this time is closed.
    """

    max_streams: Count = 16
    """Open connections to `/stream`; one more is answered 429 and closed."""

    stream_idle_seconds: Seconds = 60
    """A stream that sends no frame for this long is closed."""

    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    """If set, predictions, models and metrics need it in the header X-API-Key; probes do not."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Sites whose pages may ask this server, or * for all. None by default."""

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


def load_settings() -> Settings:
    """Read the environment; a value that does not fit ends the process with one line."""
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
