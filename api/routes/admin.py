"""`POST /admin/reload`: new models without a restart."""

import logging

import anyio
from fastapi import APIRouter, Depends, HTTPException

from api.openapi import NO_OPTIONS, error_responses
from api.options import NoQuery, refuse_repeated
from api.routes.model import served_versions
from api.schemas import ServedVersions
from api.state import Server
from recognizer.errors import ModelError

log = logging.getLogger(__name__)

router = APIRouter(prefix="/admin", tags=["model"], dependencies=[Depends(refuse_repeated)])


@router.post(
    "/reload",
    responses=error_responses(
        {
            403: "The server has no API key",
            409: "A model cannot be loaded; the server keeps the models that it has",
            422: "The query has an option",
            504: "It takes longer than DEADLINE_SECONDS; `GET /models` shows when it has succeeded",
        },
        examples=NO_OPTIONS,
    ),
)
async def reload_models(server: Server, options: NoQuery) -> ServedVersions:
    """Serve the models that the settings name now: changed files, moved branches, `MODEL_DIR`.

    They are loaded beside the present models, then all workers switch. Requests and streams in
    progress keep their model. If one cannot be loaded, nothing changes.
    """
    if server.settings.api_key is None:
        raise HTTPException(403, "only a server with API_KEY can be told to reload its models")
    try:
        await anyio.to_thread.run_sync(server.reload)
    except ModelError as error:
        log.error("not reloaded: %s", error)
        raise HTTPException(409, f"not reloaded: {error}") from error
    log.info("reloaded")
    return served_versions(server.models)
