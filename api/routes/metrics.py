"""The metrics for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.dependencies import Counters

router = APIRouter(tags=["health"])

TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get("/metrics", response_class=Response, responses={200: TEXT})
async def metrics(counters: Counters) -> Response:
    """Requests, times, faces and predictions, in Prometheus' text format."""
    return Response(generate_latest(counters.registry), media_type=CONTENT_TYPE_LATEST)
