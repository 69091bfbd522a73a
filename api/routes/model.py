"""The versions that are served."""

from dataclasses import asdict

from fastapi import APIRouter, Depends, Response

from api.dependencies import Models
from api.errors import documented
from api.models.served_model import ServedModel
from api.models.served_models import ready_model
from api.options import NoQuery, Version, refuse_repeated
from api.schemas import ModelDescription, ServedVersion, ServedVersions

router = APIRouter(tags=["model"], dependencies=[Depends(refuse_repeated)])


@router.get(
    "/model",
    responses=documented(
        {
            404: "No such version is served",
            422: "The query cannot be read",
            503: "No model is ready",
        }
    ),
)
async def describe_model(models: Models, response: Response, options: Version) -> ModelDescription:
    """The metadata of the model file, and the committed metrics of its dataset."""
    return _description(ready_model(models, response, options.version))


@router.get("/models", responses=documented({422: "The query has an option"}))
async def list_models(models: Models, options: NoQuery) -> ServedVersions:
    """Every version in the settings, with its committed metrics or with its error."""
    return ServedVersions(
        models=[
            ServedVersion(
                source=str(model.source),
                revision=model.source.revision,
                commit=model.source.commit,
                default=model is models.default,
                problem=model.problem,
                model=None if model.problem else _description(model),
            )
            for model in models.all
        ],
        detectors=list(models.detectors),
    )


def _description(model: ServedModel) -> ModelDescription:
    return ModelDescription(
        name=model.name,
        version=model.version,
        evaluation=model.evaluation,
        confidence=model.confidence,
        **asdict(model.classifier.metadata),
    )
