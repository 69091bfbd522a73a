"""`GET /metrics` for Prometheus."""

import logging

import anyio
from fastapi import APIRouter, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.openapi import error_responses
from api.state import Server

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"])

TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: TEXT, **error_responses({503: "A worker does not answer in time"})},
)
async def metrics(server: Server) -> Response:
    """Requests, durations, faces and predictions, in the text format of Prometheus.

    With several workers, each sample has the label `worker`.
    """
    try:
        text = await anyio.to_thread.run_sync(server.scrape)
    except OSError as error:
        log.error("no metrics: %s", error)
        raise HTTPException(503, "a worker does not answer; try again later") from error
    return Response(text, media_type=CONTENT_TYPE_LATEST)
