"""Probes: `/livez` for the process, `/readyz` for the models."""

from fastapi import APIRouter, HTTPException

from api.openapi import error_responses
from api.schemas import Status
from api.state import Server

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Status:
    """The process is alive."""
    return Status(status="ok")


@router.get("/readyz", responses=error_responses({503: "A model is not ready"}))
async def readyz(server: Server) -> Status:
    """All versions have passed a warm-up inference. Otherwise the status is 503."""
    if server.models.problem:
        raise HTTPException(503, server.models.problem)
    return Status(status="ready")
