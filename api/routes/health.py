"""Probes: the process is alive, and it can answer."""

from fastapi import APIRouter, HTTPException

from api.dependencies import Models
from api.schemas import Problem, Status

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Status:
    """The process is alive."""
    return Status(status="ok")


@router.get("/readyz", responses={503: {"model": Problem, "description": "Not yet, or not at all"}})
async def readyz(models: Models) -> Status:
    """Every version in the settings has passed a warm-up inference; otherwise 503 says why not."""
    if models.problem:
        raise HTTPException(503, models.problem)
    return Status(status="ready")
