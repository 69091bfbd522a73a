"""What is being served."""

from dataclasses import asdict

from fastapi import APIRouter

from api.schemas import ModelDescription, Problem
from api.served_model import ReadyModel

router = APIRouter(tags=["model"])


@router.get("/model", responses={503: {"model": Problem, "description": "No model is ready"}})
async def describe(model: ReadyModel) -> ModelDescription:
    """What the model file says of itself, and the committed metrics of its dataset."""
    return ModelDescription(
        name=model.name,
        version=model.classifier.version,
        evaluation=model.evaluation,
        **asdict(model.classifier.metadata),
    )
