"""Probes: is the process alive, and can it answer?"""

from fastapi import APIRouter, HTTPException, Request

from api.schemas import Problem, Status

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Status:
    """The process is alive."""
    return Status(status="ok")


@router.get("/readyz", responses={503: {"model": Problem, "description": "Not yet, or not at all"}})
async def readyz(request: Request) -> Status:
    """Every version in the settings has passed a warm-up inference; otherwise 503 says why not."""
    if problem := request.app.state.models.problem:
        raise HTTPException(503, problem)
    return Status(status="ready")
