"""`GET /model` and `GET /models`: the served versions."""

from dataclasses import asdict

from fastapi import APIRouter, Depends, Response

from api.models.served_model import ServedModel
from api.models.served_models import ServedModels, ready_model
from api.openapi import NO_OPTIONS, error_responses
from api.options import NoQuery, QueryModel, refuse_repeated
from api.schemas import ModelDescription, ServedVersion, ServedVersions
from api.state import Server

router = APIRouter(tags=["model"], dependencies=[Depends(refuse_repeated)])


@router.get(
    "/model",
    responses=error_responses(
        {
            404: "No such model or version is served",
            422: "The query cannot be parsed",
            503: "No model is ready",
        }
    ),
)
async def describe_model(
    server: Server, response: Response, options: QueryModel
) -> ModelDescription:
    """The metadata of the model file, and the committed metrics of its dataset."""
    return _description(ready_model(server.models, response, options))


@router.get(
    "/models", responses=error_responses({422: "The query has an option"}, examples=NO_OPTIONS)
)
async def list_models(server: Server, options: NoQuery) -> ServedVersions:
    """All versions in the settings, each with its committed metrics or with its error."""
    return served_versions(server.models)


def served_versions(models: ServedModels) -> ServedVersions:
    """All models with their metrics or with their error."""
    served = models.all
    return ServedVersions(
        models=[
            ServedVersion(
                source=str(model.source),
                revision=model.source.revision,
                commit=model.source.commit,
                default=model is served[0],
                problem=model.problem,
                model=None if model.problem else _description(model),
            )
            for model in served
        ],
        detectors=list(models.detectors),
    )


def _description(model: ServedModel) -> ModelDescription:
    return ModelDescription(
        name=model.name,
        version=model.version,
        alias=model.alias,
        evaluation=model.evaluation,
        confidence=model.confidence,
        emotion_shares=model.emotion_shares,
        **asdict(model.classifier.metadata),
    )
