"""Probes: is the process alive, and can it answer?"""

from fastapi import APIRouter

from api.schemas import Problem, Status
from api.served_model import ReadyModel

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Status:
    """The process is alive."""
    return Status(status="ok")


@router.get("/readyz", responses={503: {"model": Problem, "description": "Not yet, or not at all"}})
async def readyz(model: ReadyModel) -> Status:
    """A warm-up inference has passed and images can be sent; otherwise 503 says why not."""
    return Status(status="ready")
