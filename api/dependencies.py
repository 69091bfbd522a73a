"""What the handlers need of the application, as types of their parameters."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from api.metrics import Metrics
from api.models.served_models import ServedModels
from api.settings import Settings
from api.slots import InferenceSlots


async def _settings(connection: HTTPConnection) -> Settings:
    return connection.app.state.settings


async def _models(connection: HTTPConnection) -> ServedModels:
    return connection.app.state.models


async def _slots(connection: HTTPConnection) -> InferenceSlots:
    return connection.app.state.slots


async def _metrics(connection: HTTPConnection) -> Metrics:
    return connection.app.state.metrics


Limits = Annotated[Settings, Depends(_settings)]
Models = Annotated[ServedModels, Depends(_models)]
Slots = Annotated[InferenceSlots, Depends(_slots)]
Counters = Annotated[Metrics, Depends(_metrics)]
