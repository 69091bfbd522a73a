"""What is being served."""

from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from api.errors import documented
from api.options import Version
from api.schemas import ModelDescription, ServedVersion, ServedVersions
from api.served_model import ServedModel
from api.served_models import ready_model

router = APIRouter(tags=["model"])


@router.get(
    "/model",
    responses=documented(
        {
            404: "No such version is served",
            422: "A parameter cannot be read",
            503: "No model is ready",
        }
    ),
)
async def describe(request: Request, response: Response, options: Version) -> ModelDescription:
    """What the model file says of itself, and the committed metrics of its dataset."""
    return _description(ready_model(request, response, options.version))


@router.get("/models")
async def describe_all(request: Request) -> ServedVersions:
    """Every version in the settings, with its committed metrics or with what is wrong with it."""
    models = request.app.state.models
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
        **asdict(model.classifier.metadata),
    )
