"""The page at `/`, its files, and what it needs to recognize faces on the visitor's device."""

from typing import Any

import anyio
from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from api.on_device import STATIC, device_files, device_models
from api.state import Server

router = APIRouter(include_in_schema=False)
files = StaticFiles(directory=STATIC)


@router.get("/")
async def page() -> FileResponse:
    """The page for visitors."""
    return FileResponse(STATIC / "index.html")


@router.get("/device/choices.json")
async def choices(server: Server) -> dict[str, Any]:
    """Whether this server predicts, and the models that can run on the visitor's device."""
    metrics = server.settings.metrics_dir
    return {"server": True, "models": await anyio.to_thread.run_sync(device_models, metrics)}


@router.get("/device/{name}")
async def device_file(name: str) -> FileResponse:
    """A model or the alignment, for the visitor's device."""
    path = device_files().get(name)
    if path is None:
        raise HTTPException(404, f"there is no file {name!r} for the page")
    return FileResponse(path)
