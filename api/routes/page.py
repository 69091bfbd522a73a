"""The page at `/`, and its files."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

STATIC = Path(__file__).parents[1] / "static"

router = APIRouter(include_in_schema=False)
files = StaticFiles(directory=STATIC)


@router.get("/")
async def page() -> FileResponse:
    """The page for visitors."""
    return FileResponse(STATIC / "index.html")
