"""What can be set from the environment, with defaults that suit one small machine."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Count = Annotated[int, Field(ge=1)]


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

    max_concurrency: Count = os.cpu_count() or 1
    """Images that are decoded and recognized at the same time; others wait."""


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
