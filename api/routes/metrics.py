"""`GET /metrics` for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.state import Server

router = APIRouter(tags=["health"])

TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get("/metrics", response_class=Response, responses={200: TEXT})
async def metrics(server: Server) -> Response:
    """Requests, durations, faces and predictions, in the text format of Prometheus."""
    return Response(generate_latest(server.metrics.registry), media_type=CONTENT_TYPE_LATEST)
