"""What can be set from the environment, with defaults that suit one small machine."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Each field is an environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    model_path: Path = Path("models/fer2013/model.onnx")
    """The model file that is served."""

    metrics_dir: Path = Path("metrics")
    """Folder with <dataset>/evaluation.json, the committed metrics that `GET /model` shows."""

    max_bytes: Count = 10 * 1024 * 1024
    """Largest request body in bytes."""

    max_pixels: Count = 25_000_000
    """Largest width · height of an image, judged before it is decoded."""

    max_faces: Count = 100
    """Faces of one image that are classified and answered: the largest."""

    max_batch: Count = 32
    """Files in one `POST /predict/batch`."""

    max_concurrency: Count = os.cpu_count() or 1
    """Images that are decoded and recognized at the same time; others wait."""

    max_queue: Annotated[int, Field(ge=0)] = 32
    """Requests that wait until an image can be recognized; more are answered 429."""

    queue_seconds: Seconds = 5
    """Longest such wait; after it the answer is 429."""

    deadline_seconds: Seconds = 30
    """From the first byte of a request to its answer; after it the answer is 408 or 504."""

    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    """If set, predictions, models and metrics need it in the header X-API-Key; probes do not."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Sites whose pages may ask this server, separated by commas, or * for all. None by default."""

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, origins: object) -> object:
        if isinstance(origins, str):
            return [origin.strip() for origin in origins.split(",") if origin.strip()]
        return origins


def load_settings() -> Settings:
    """Read the environment; a value that does not fit ends the process with one line."""
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"])).upper()
        raise SystemExit(
            f"error: environment variable {name}: {problem['msg'].lower()}"
            f" (found {problem['input']!r})"
        ) from None
